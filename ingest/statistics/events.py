"""Return daily users, the most frequent event types, and retention. docs/analytics.md defines them.

Every number is exact: an event counts once, however often it was sent and whatever ClickHouse has merged. Counts of
events read `EVENTS`, which has each event once. Sets of users read the table itself, at half the cost. Double rows do
not change a set, and the gate to the table (`shared/events/insert_gate.py`) admits no id twice with other contents.

Users are compared by `user_hash`, the stored 128 bits of SipHash by which ClickHouse compares texts in exact sets, so
no text is read or hashed. Days are whole days of the zone `tz`; both ends of a range are in it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from string import Template
from typing import Any, get_args

from msgspec import UNSET, UnsetType
from starlette.responses import Response

from ingest.http.query import choice, flag, integer, invalid, query
from ingest.segments.condition import Condition, asked_for
from ingest.segments.fields import Document, Field, Text
from ingest.state import Request
from ingest.statistics import exports
from ingest.statistics.answers import (
    Cohort,
    DailyUsers,
    DayUsers,
    EventBucket,
    EventSeries,
    EventSums,
    Retention,
    TopEvents,
    TypeCount,
    Window,
)
from ingest.statistics.days import Days, between, day, days, zone_of
from ingest.statistics.exports import Table, as_json
from ingest.statistics.range_ends import AGAINST, has_against, span
from shared.events.table import EVENTS, TABLE, property_of
from shared.stores.postgres import statement

#: What a segment of events may name.
FIELDS: Mapping[str, Field] = {
    "event_type": Text("event_type"),
    "user_id": Text("user_id"),
    "properties": Document(property_of),
}
#: Days of a range, types in a ranking, and windows of a triangle: they are bits of a UInt64, one of them is for before.
DAYS_MOST, TYPES_MOST, WINDOWS_MOST = 1098, 1000, 60
TYPES, WINDOWS = 10, 3
TYPE_MOST = 64
#: Longest ranges of a series, in days, by step.
SERIES_DAYS: Mapping[str, int] = {"minute": 2, "hour": 62, "day": DAYS_MOST}
_WINDOW_DAYS: Mapping[str, int] = {"day": 1, "week": 7}
_DAY_S = 86_400

#: HyperLogLog with 2^17 registers of 64 bits: its standard error is 1.04 / sqrt(2^17), 0.29 %. Three of them are
#: exceeded once in 370 days.
_UNIQUE = {False: "uniqExact", True: "uniqCombined64(17)"}
ERROR = 0.009

_DAU = Template(statement("ingest/statistics/events.dau.sql"))
_DAU_OF_ZONE = Template(statement("ingest/statistics/events.dau_of_zone.sql"))
_USERS = Template(statement("ingest/statistics/events.users.sql"))
_SERIES = Template(statement("ingest/statistics/events.series.sql"))
_TOP = Template(statement("ingest/statistics/events.top.sql"))
_RETENTION = Template(statement("ingest/statistics/events.retention.sql"))

#: Of files, which have no room for what is true of all their rows.
_ERROR_HEADER = "x-relative-error"


# -- handlers ----------------------------------------------------------------------------------------------------------


async def daily_users(request: Request) -> Response:
    """Return unique users by day."""
    values = query(request, ("from", "to", "segment", "tz", "approx"))
    asked = days(values, DAYS_MOST)
    is_approximate = flag(values, "approx")
    text, of = asked_for(values, "segment", FIELDS)
    parameters = {**asked.parameters, **of.parameters}
    template = _DAU if asked.is_utc else _DAU_OF_ZONE
    sql = template.substitute(events=TABLE, segment=of.sql, unique=_UNIQUE[is_approximate])
    found = {name: users for name, users in await exports.rows(request, sql, parameters)}
    names: Sequence[Any] = asked.dates if asked.is_utc else range(1, len(asked.dates) + 1)
    users = [found.get(name, 0) for name in names]
    error = ERROR if is_approximate else 0.0
    if (media := exports.wanted(request)) in exports.FILES:
        columns = {"date": "Date", "users": "UInt64"}
        table = Table(_name("dau", asked), columns, list(zip(asked.dates, users, strict=True)))
        file = await exports.response(request, media, table)
        file.headers[_ERROR_HEADER] = str(error)
        return file
    whole = users[0]
    if len(users) > 1:  # no sum of days: whoever was there on two of them is one user
        sql = _USERS.substitute(events=TABLE, segment=of.sql, unique=_UNIQUE[is_approximate])
        [[whole]] = await exports.rows(request, sql, parameters)
    listed = list(map(DayUsers, asked.dates, users))
    return as_json(DailyUsers(**_ranged(asked, text), users=whole, error=error, days=listed))


async def event_series(request: Request) -> Response:
    """Return events and their users by minute, hour or day."""
    values = query(request, ("from", "to", "step", "segment", "tz", "event_type", "fill"))
    asked, is_filled, event_type = span(values, SERIES_DAYS, "day"), flag(values, "fill"), event_type_of(values)
    text, of = asked_for(values, "segment", FIELDS)
    sql = _SERIES.substitute(events=EVENTS, segment=of.sql, bucket=asked.bucket("toUnixTimestamp(occurred_at)"))
    parameters = {**asked.parameters, **of.parameters, "event_type": event_type}
    [(_, _, *whole), *found] = await exports.rows(request, sql, parameters)
    known = {begin: (count, users) for _, begin, count, users in found}
    begins = asked.labels if is_filled else sorted(known)
    stats = [EventBucket(*known.get(begin, (0, 0)), datetime.fromtimestamp(begin, UTC)) for begin in begins]
    if (media := exports.wanted(request)) in exports.FILES:
        columns = {"timestamp": exports.MOMENT, "count": "UInt64", "users": "UInt64"}
        rows = [(one.timestamp, one.count, one.users) for one in stats]
        return await exports.response(request, media, Table(("events", asked.step, *asked.days), columns, rows))
    return as_json(
        EventSeries(
            from_=asked.since.text,
            to=asked.until.text,
            step=asked.step,  # type: ignore[arg-type]
            tz=asked.zone,
            segment=text,
            event_type=event_type or UNSET,
            total=EventSums(*whole),
            stats=stats,
        )
    )


async def top_events(request: Request) -> Response:
    """Return the most frequent event types of a range."""
    values = query(request, ("from", "to", "segment", "tz", "limit", *AGAINST))
    asked = days(values, DAYS_MOST)
    limit = integer(values, "limit", 1, TYPES_MOST, TYPES)
    against = days(values, DAYS_MOST, AGAINST) if has_against(values) else None
    text, of = asked_for(values, "segment", FIELDS)
    sql = _TOP.substitute(events=EVENTS, segment=of.sql)
    found = await exports.rows(request, sql, {**asked.parameters, **of.parameters, "limit": limit})
    columns = {"event_type": "String", "count": "UInt64"}
    if against is not None:
        before = await _before(request, [name for name, _ in found], against, of)
        found = [(name, count, before.get(name, 0)) for name, count in found]
        columns["before"] = "UInt64"
    if (media := exports.wanted(request)) in exports.FILES:
        return await exports.response(request, media, Table(_name("top-events", asked), columns, found))
    return as_json(TopEvents(**_ranged(asked, text), events=[TypeCount(*row) for row in found]))


async def _before(request: Request, types: Sequence[str], asked: Days, of: Condition) -> dict[str, int]:
    """Return how often these types occurred in a range; those that did not are left out."""
    if not types:
        return {}
    sql = _TOP.substitute(events=EVENTS, segment=f"({of.sql}) AND has({{types:Array(String)}}, event_type)")
    parameters = {**asked.parameters, **of.parameters, "types": types, "limit": len(types)}
    found = await exports.rows(request, sql, parameters)
    return dict((name, count) for name, count in found)


async def retention(request: Request) -> Response:
    """Return cohorts of users by their first activity, and how many came back."""
    values = query(request, ("start_date", "windows", "window", "event_type", "tz"))
    zone, start = zone_of(values), day(values, "start_date")
    window = choice(values, "window", get_args(Window), "week")
    number = integer(values, "windows", 1, WINDOWS_MOST, WINDOWS)
    event_type = event_type_of(values)
    width = _WINDOW_DAYS[window]
    asked = between(start, start + timedelta(days=number * width), zone, width)
    parameters = {**asked.parameters, "seconds": width * _DAY_S, "event_type": event_type}
    found = await exports.rows(request, _RETENTION.substitute(events=TABLE), parameters)
    cohorts = _triangle(asked.dates, {(cohort, active): users for cohort, active, users in found})
    if (media := exports.wanted(request)) in exports.FILES:
        return await exports.response(request, media, _flat(("retention", window, f"{start:%Y%m%d}"), cohorts))
    return as_json(
        Retention(
            start_date=start,
            window=window,  # type: ignore[arg-type]
            tz=zone,
            event_type=event_type or UNSET,
            cohorts=cohorts,
        )
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def event_type_of(values: Mapping[str, str]) -> str:
    """Return the type of events that is asked for; empty for all of them. Raise Invalid."""
    event_type = values.get("event_type", "")
    if len(event_type) > TYPE_MOST:
        raise invalid("event_type", f"has more than {TYPE_MOST} characters.")
    return event_type


def _triangle(starts: Sequence[date], users: Mapping[tuple[int, int], int]) -> list[Cohort]:
    """Return the cohorts. `users` are by number of cohort and window, from 1."""
    cohorts, windows = [], len(starts)
    for cohort, start in enumerate(starts, 1):
        counts = [users.get((cohort, window), 0) for window in range(cohort, windows + 1)]
        size = counts[0]
        rates = [round(count / size, 6) if size else None for count in counts]
        cohorts.append(Cohort(start=start, size=size, users=counts, rates=rates))
    return cohorts


def _flat(name: tuple[str, ...], cohorts: Sequence[Cohort]) -> Table:
    """Return one row for each cohort and window. The window of the cohort itself is 0."""
    columns = {"cohort": "Date", "window": "UInt8", "size": "UInt64", "users": "UInt64", "rate": "Nullable(Float64)"}
    rows = [
        (one.start, window, one.size, users, rate)
        for one in cohorts
        for window, (users, rate) in enumerate(zip(one.users, one.rates, strict=True))
    ]
    return Table(name, columns, rows)


def _ranged(asked: Days, segment: str | UnsetType) -> dict[str, Any]:
    """Return the fields of `Ranged`."""
    return {"from_": asked.dates[0], "to": asked.dates[-1], "tz": asked.zone, "segment": segment}


def _name(name: str, asked: Days) -> tuple[str, ...]:
    """Return the name of a file, with its days."""
    return (*name.split("-"), f"{asked.dates[0]:%Y%m%d}", f"{asked.dates[-1]:%Y%m%d}")
