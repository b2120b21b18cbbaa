"""Statistics of product events: daily users, the most frequent types, retention. docs/analytics.md defines them.

Every number is exact: an event counts once however often it was sent, and whatever ClickHouse has merged. Counts of
events read `EVENTS`. Sets of users are blind to rows that are there twice, and the gate to the table
(`shared/events/insert_gate.py`) lets no id in a second time with other contents: they read the table itself, at half
the cost. A user is told from others by `user_hash`, the 128 bits of SipHash by which ClickHouse compares texts in exact
sets, too: stored, it is there without the text being read and hashed again. Days are whole days of the zone `tz`; both
ends of a range are in it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from string import Template
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.http.query import choice, flag, integer, invalid, query
from ingest.segments.condition import EVERYTHING, Condition, condition
from ingest.segments.fields import Document, Field, Text
from ingest.segments.parser import LENGTH_MOST, parse
from ingest.segments.syntax import write
from ingest.statistics import exports
from ingest.statistics.days import Days, between, day, days, zone_of
from ingest.statistics.exports import Table
from shared.errors import Busy, ClickHouseUnavailable, Invalid, Malformed
from shared.events.table import EVENTS, TABLE, property_of
from shared.stores.postgres import statement

Window = Literal["day", "week"]

#: What a segment of events may name.
FIELDS: Mapping[str, Field] = {
    "event_type": Text("event_type"),
    "user_id": Text("user_id"),
    "properties": Document(property_of),
}
#: Days of a range, types in a ranking, and windows of a triangle: they are bits of a UInt64, one of them is for before.
DAYS_MOST, TYPES_MOST, WINDOWS_MOST = 1098, 1000, 60
_TYPES, _WINDOWS = 10, 3
_TYPE_MOST = 64
_WINDOW_DAYS: Mapping[str, int] = {"day": 1, "week": 7}
_DAY_S = 86_400

#: HyperLogLog with 2^17 registers of 64 bits: its standard error is 1.04 / sqrt(2^17), 0.29 %. Three of them are
#: exceeded once in 370 days.
_UNIQUE = {False: "uniqExact", True: "uniqCombined64(17)"}
ERROR = 0.009

_DAU = Template(statement("ingest/statistics/events.dau.sql"))
_DAU_OF_ZONE = Template(statement("ingest/statistics/events.dau_of_zone.sql"))
_TOP = Template(statement("ingest/statistics/events.top.sql"))
_RETENTION = Template(statement("ingest/statistics/events.retention.sql"))

_HEADERS = {"cache-control": "no-store", "vary": "accept"}
#: Of files, which have no room for what is true of all their rows.
_ERROR_HEADER = "x-relative-error"


class Ranged(Struct, kw_only=True):
    """What answers about a range of days say of it."""

    from_: Annotated[date, Meta(description="First day of the range")] = msgspec.field(name="from")
    to: Annotated[date, Meta(description="Last day of the range")]
    tz: Annotated[str, Meta(description="The zone of the days")]
    segment: Annotated[str, Meta(description="The segment in its shortest form")] | UnsetType = UNSET


class DayUsers(Struct, gc=False):
    """Users of one day."""

    date: date
    users: Annotated[int, Meta(ge=0, description="Different users with an event of the segment on that day")]


class DailyUsers(Ranged, kw_only=True):
    """Unique users of every day of the range, those without any included."""

    error: Annotated[float, Meta(description="With `approx`: relative error that 99.7 % of the days stay below")] = 0.0
    days: list[DayUsers]


class TypeCount(Struct, gc=False):
    """A type of events and how often it occurred."""

    event_type: str
    count: Annotated[int, Meta(ge=1)]


class TopEvents(Ranged, kw_only=True):
    """The most frequent types of events, best first; of equal ones the first by name."""

    events: list[TypeCount]


class Cohort(Struct, kw_only=True):
    """Users whose first activity lies in one window."""

    start: Annotated[date, Meta(description="First day of the window in which they came")]
    size: Annotated[int, Meta(ge=0, description="How many came")]
    users: Annotated[list[int], Meta(description="How many of them were active in that window, the next, and so on")]
    rates: Annotated[list[float | None], Meta(description="The same as shares of the size; null in an empty cohort")]


class Retention(Struct, kw_only=True):
    """A triangle: each later cohort has one window less behind it."""

    start_date: date
    window: Window
    tz: Annotated[str, Meta(description="The zone in which windows begin")]
    event_type: Annotated[str, Meta(description="What counts as activity, if not every event does")] | UnsetType = UNSET
    cohorts: list[Cohort]


# -- handlers ----------------------------------------------------------------------------------------------------------


async def daily_users(request: Request) -> Response:
    """Unique users by day."""
    values = query(request, ("from", "to", "segment", "tz", "approx"))
    asked = days(values, DAYS_MOST)
    is_approximate = flag(values, "approx")
    text, of = _segment(values)
    template = _DAU if asked.is_utc else _DAU_OF_ZONE
    sql = template.substitute(events=TABLE, segment=of.sql, unique=_UNIQUE[is_approximate])
    found = {name: users for name, users in await exports.rows(request, sql, {**asked.parameters, **of.parameters})}
    names: Sequence[Any] = asked.dates if asked.is_utc else range(1, len(asked.dates) + 1)
    users = [found.get(name, 0) for name in names]
    error = ERROR if is_approximate else 0.0
    if (media := exports.wanted(request)) in exports.FILES:
        columns = {"date": "Date", "users": "UInt64"}
        table = Table(_name("dau", asked), columns, list(zip(asked.dates, users, strict=True)))
        file = await exports.response(request, media, table)
        file.headers[_ERROR_HEADER] = str(error)
        return file
    return _json(DailyUsers(**_ranged(asked, text), error=error, days=list(map(DayUsers, asked.dates, users))))


async def top_events(request: Request) -> Response:
    """The most frequent types of events in a range."""
    values = query(request, ("from", "to", "segment", "tz", "limit"))
    asked = days(values, DAYS_MOST)
    limit = integer(values, "limit", 1, TYPES_MOST, _TYPES)
    text, of = _segment(values)
    sql = _TOP.substitute(events=EVENTS, segment=of.sql)
    found = await exports.rows(request, sql, {**asked.parameters, **of.parameters, "limit": limit})
    if (media := exports.wanted(request)) in exports.FILES:
        columns = {"event_type": "String", "count": "UInt64"}
        return await exports.response(request, media, Table(_name("top-events", asked), columns, found))
    return _json(TopEvents(**_ranged(asked, text), events=[TypeCount(name, count) for name, count in found]))


async def retention(request: Request) -> Response:
    """Cohorts of users by their first activity, and how many came back."""
    values = query(request, ("start_date", "windows", "window", "event_type", "tz"))
    zone, start = zone_of(values), day(values, "start_date")
    window = choice(values, "window", get_args(Window), "week")
    number = integer(values, "windows", 1, WINDOWS_MOST, _WINDOWS)
    event_type = values.get("event_type", "")
    if len(event_type) > _TYPE_MOST:
        raise invalid("event_type", f"has more than {_TYPE_MOST} characters.")
    width = _WINDOW_DAYS[window]
    asked = between(start, start + timedelta(days=number * width), zone, width)
    parameters = {**asked.parameters, "seconds": width * _DAY_S, "event_type": event_type}
    found = await exports.rows(request, _RETENTION.substitute(events=TABLE), parameters)
    cohorts = _triangle(asked.dates, {(cohort, active): users for cohort, active, users in found})
    if (media := exports.wanted(request)) in exports.FILES:
        return await exports.response(request, media, _flat(("retention", window, f"{start:%Y%m%d}"), cohorts))
    return _json(
        Retention(
            start_date=start,
            window=window,  # type: ignore[arg-type]
            tz=zone,
            event_type=event_type or UNSET,
            cohorts=cohorts,
        )
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def _segment(values: Mapping[str, str]) -> tuple[str | UnsetType, Condition]:
    """The segment in its shortest form, and what it means. Raises Malformed or Invalid."""
    if "segment" not in values:
        return UNSET, EVERYTHING
    node = parse(values["segment"], FIELDS)
    return write(node), condition(node, FIELDS)


def _triangle(starts: Sequence[date], users: Mapping[tuple[int, int], int]) -> list[Cohort]:
    """The cohorts; `users` are by number of cohort and window, from 1."""
    cohorts, windows = [], len(starts)
    for cohort, start in enumerate(starts, 1):
        counts = [users.get((cohort, window), 0) for window in range(cohort, windows + 1)]
        size = counts[0]
        rates = [round(count / size, 6) if size else None for count in counts]
        cohorts.append(Cohort(start=start, size=size, users=counts, rates=rates))
    return cohorts


def _flat(name: tuple[str, ...], cohorts: Sequence[Cohort]) -> Table:
    """One row for each cohort and window; the window of the cohort itself is 0."""
    columns = {"cohort": "Date", "window": "UInt8", "size": "UInt64", "users": "UInt64", "rate": "Nullable(Float64)"}
    rows = [
        (one.start, window, one.size, users, rate)
        for one in cohorts
        for window, (users, rate) in enumerate(zip(one.users, one.rates, strict=True))
    ]
    return Table(name, columns, rows)


def _ranged(asked: Days, segment: str | UnsetType) -> dict[str, Any]:
    """The fields of `Ranged`."""
    return {"from_": asked.dates[0], "to": asked.dates[-1], "tz": asked.zone, "segment": segment}


def _name(name: str, asked: Days) -> tuple[str, ...]:
    """A file's name, with the days."""
    return (*name.split("-"), f"{asked.dates[0]:%Y%m%d}", f"{asked.dates[-1]:%Y%m%d}")


def _json(answer: Struct) -> Response:
    return Response(msgspec.json.encode(answer), headers=_HEADERS, media_type="application/json")


# -- operations --------------------------------------------------------------------------------------------------------

_DATE = Annotated[date, Meta(description="A date")]
_ZONE = Annotated[str, Meta(max_length=64)]
_SEGMENT = Annotated[str, Meta(min_length=1, max_length=LENGTH_MOST)]
_FROM, _TO = "2026-03-01", "2026-03-03"
_EXAMPLE_SEGMENT = "event_type:purchase and properties.country:UA"
_EXAMPLE_RANGE = {"from": _FROM, "to": _TO, "tz": "UTC"}

_DAYS = (
    Parameter("from", _DATE, "First day of the range", required=True, example=_FROM),
    Parameter("to", _DATE, f"Last day of the range, which has {DAYS_MOST:,} at most", required=True, example=_TO),
    Parameter(
        "segment",
        _SEGMENT,
        "Only these events: comparisons of `event_type`, `user_id` and `properties.<key>` with `: != < <= > >=`, "
        "joined by `and`, `or`, `not` and parentheses. A fault names its character, from 0",
        example=_EXAMPLE_SEGMENT,
    ),
)
_TZ = Parameter("tz", _ZONE, "Zone in which days begin, by its IANA name; UTC when not given", example="Europe/Berlin")
_ERRORS = (Malformed, Invalid, ClickHouseUnavailable, Busy)

OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/dau",
        handler=daily_users,
        scope="stats:read",
        body_use="refused",
        summary="Unique users by day",
        description="Every day of the range, those without users included. Exact, unless `approx=true` is asked for: "
        f"then `error` is the relative error that 99.7 % of the days stay below, {ERROR}.",
        tag="events",
        parameters=(*_DAYS, _TZ, Parameter("approx", bool, "Estimates, which take about half the time")),
        answers={
            200: Answer(
                "The users",
                DailyUsers,
                exports.MEDIA,
                headers={"X-Relative-Error": "Of CSV, NDJSON and Parquet: what `error` is in JSON"},
                example={
                    **_EXAMPLE_RANGE,
                    "segment": _EXAMPLE_SEGMENT,
                    "error": 0.0,
                    "days": [
                        {"date": "2026-03-01", "users": 12},
                        {"date": "2026-03-02", "users": 0},
                        {"date": "2026-03-03", "users": 7},
                    ],
                },
            )
        },
        errors=_ERRORS,
        order=400,
    ),
    Operation(
        method="GET",
        path="/stats/top-events",
        handler=top_events,
        scope="stats:read",
        body_use="refused",
        summary="The most frequent types of events",
        description="Best first; of equal ones the first by name.",
        tag="events",
        parameters=(
            *_DAYS,
            _TZ,
            Parameter("limit", Annotated[int, Meta(ge=1, le=TYPES_MOST)], f"Types to name, {_TYPES} when not given"),
        ),
        answers={
            200: Answer(
                "The types",
                TopEvents,
                exports.MEDIA,
                example={**_EXAMPLE_RANGE, "events": [{"event_type": "purchase", "count": 40}]},
            )
        },
        errors=_ERRORS,
        order=410,
    ),
    Operation(
        method="GET",
        path="/stats/retention",
        handler=retention,
        scope="stats:read",
        body_use="refused",
        summary="Who came back",
        description="A user belongs to the window of the first event ever, of `event_type` if that is given; whoever "
        "came before `start_date` belongs to none. `users` says how many of a cohort were active in their own window, "
        "in the next, and so on; a window that is not over counts what it has.",
        tag="events",
        parameters=(
            Parameter("start_date", _DATE, "First day of the first window", required=True, example="2026-03-02"),
            Parameter(
                "windows", Annotated[int, Meta(ge=1, le=WINDOWS_MOST)], f"How many windows, {_WINDOWS} when not given"
            ),
            Parameter("window", Window, "Length of a window, `week` (seven days) when not given"),
            Parameter("event_type", Annotated[str, Meta(max_length=_TYPE_MOST)], "What counts as activity"),
            _TZ,
        ),
        answers={
            200: Answer(
                "The cohorts",
                Retention,
                exports.MEDIA,
                example={
                    "start_date": "2026-03-02",
                    "window": "week",
                    "tz": "UTC",
                    "cohorts": [
                        {"start": "2026-03-02", "size": 4, "users": [4, 2], "rates": [1.0, 0.5]},
                        {"start": "2026-03-09", "size": 1, "users": [1], "rates": [1.0]},
                    ],
                },
            )
        },
        errors=_ERRORS,
        order=420,
    ),
]
