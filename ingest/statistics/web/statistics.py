"""Return views, visitors and visits of a site. docs/collect.md defines the numbers.

Visits are made when they are asked for, from the rows: workers share no memory, and items come late. What a view says
of itself (its page, its browser) is counted by rows. What is true of a whole visit (where it came from, where it began
and ended) is counted by visits.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from string import Template
from typing import Any, NamedTuple

from msgspec import UNSET
from starlette.responses import Response

from ingest.http.query import choice, integer, invalid, malformed, query
from ingest.segments.condition import Condition, asked_for
from ingest.segments.fields import Field, Text
from ingest.state import Request
from ingest.statistics import exports
from ingest.statistics.answers import WebNumbers, WebRow, WebStatistics
from ingest.statistics.days import day
from ingest.statistics.exports import Table, as_json
from shared.collect.sites import Site
from shared.stores.postgres import statement

#: Days of a range, and rows of an answer.
DAYS_MOST, ROWS_MOST, ROWS = 366, 1000, 100
#: Rows of an answer by day or hour: all of them, of which a day of 25 hours has most.
_TIMES_MOST = DAYS_MOST * 25
TRAFFIC = {"human": "bot = ''", "all": "1", "bots": "bot != ''"}

_VISITS = Template(statement("ingest/statistics/web/statistics.visits.sql"))
_ROWS = Template(statement("ingest/statistics/web/statistics.rows.sql"))

#: What is known of the first view of a visit, in the order of `facts` in the statement.
_FACTS = ("host", "page", "referrer", "source", "medium", "campaign", "ad", "country", "device", "browser", "os")
_OF_VISITS = {name: f"tupleElement(facts, {number})" for number, name in enumerate(_FACTS, 1)}
_OF_ROWS = {name: f"toString({'path' if name == 'page' else name})" for name in _FACTS}
#: The hour in UTC at which an hour of the zone begins.
_HOUR = "formatDateTime(toStartOfHour(toTimeZone({}, {{tz:String}})), '%Y-%m-%dT%H:%i:%SZ', 'UTC')"


class _By(NamedTuple):
    """One way to part the numbers: the value of a row, and that of a visit. Without the first, visits alone decide."""

    row: str | None
    visit: str
    #: Which rows have the value.
    of: str = "kind = 'view'"
    is_time: bool = False
    #: The column of rows of which a visit has several values; a visit is in each of them.
    several: str = ""


BY: Mapping[str, _By] = {
    "hour": _By(_HOUR.format("time"), _HOUR.format("fromUnixTimestamp64Milli(first)"), "1", is_time=True),
    "day": _By("toString(day)", "toString(day)", "1", is_time=True),
    "page": _By("path", "arrayJoin(several)", several="path"),
    "entry": _By(None, _OF_VISITS["page"]),
    "exit": _By(None, "exit"),
    **{name: _By(None, _OF_VISITS[name]) for name in ("referrer", "source", "medium", "campaign", "ad")},
    **{name: _By(_OF_ROWS[name], _OF_VISITS[name]) for name in ("host", "country", "device", "browser", "os")},
    "event": _By("name", "arrayJoin(several)", "kind = 'event'", several="name"),
    "out": _By("target", "arrayJoin(several)", "kind = 'out'", several="target"),
    "banner": _By("toString(banner)", "arrayJoin(several)", "kind = 'view' AND banner > 0", several="toString(banner)"),
}
#: What a filter may name: of a view, and of a visit by its first view.
_ROW_FIELDS: Mapping[str, Field] = {name: Text(expression) for name, expression in _OF_ROWS.items()}
_VISIT_FIELDS: Mapping[str, Field] = {name: Text(expression) for name, expression in _OF_VISITS.items()}


class _Asked(NamedTuple):
    """What a request asks for."""

    site: Site
    parameters: Mapping[str, Any]
    traffic: str
    rows: Condition
    visits: Condition
    is_one_day: bool


async def web_statistics(request: Request) -> Response:
    """Return views, visitors and visits of a site, by a value of theirs."""
    values = query(request, ("site", "from", "to", "by", "traffic", "filter", "limit"))
    first, last = day(values, "from"), day(values, "to")
    if first > last:
        raise invalid("to", "has to be the same day as from, or a later one: both are in the range.")
    if (last - first) >= timedelta(days=DAYS_MOST):
        raise invalid("to", f"is too late: a range has at most {DAYS_MOST} days.")
    traffic = choice(values, "traffic", TRAFFIC, "human")
    limit = integer(values, "limit", 1, ROWS_MOST, ROWS)
    by = None if "by" not in values else choice(values, "by", BY, "")
    text, of_rows = asked_for(values, "filter", _ROW_FIELDS)
    _, of_visits = asked_for(values, "filter", _VISIT_FIELDS)
    site = await _site(request, values)
    parameters = {"site": site.name, "from": str(first), "to": str(last), "tz": site.timezone}
    asked = _Asked(site, parameters, TRAFFIC[traffic], of_rows, of_visits, first == last)
    totals = await _totals(request, asked)
    rows = None if by is None else await _parted(request, asked, BY[by], limit)
    if (media := exports.wanted(request)) in exports.FILES:
        name = ("web", site.name, by or "totals", f"{first:%Y%m%d}", f"{last:%Y%m%d}")
        return await exports.response(request, media, _table(name, rows if rows is not None else [WebRow("", *totals)]))
    return as_json(
        WebStatistics(
            site=site.name,
            from_=first,
            to=last,
            tz=site.timezone,
            traffic=traffic,  # type: ignore[arg-type]
            by=UNSET if by is None else by,
            filter=text,
            visitors=totals[5] if asked.is_one_day else UNSET,
            totals=WebNumbers(*totals),
            rows=UNSET if rows is None else rows,
        )
    )


async def _site(request: Request, values: Mapping[str, str]) -> Site:
    """Return the site that is asked for. Raise Malformed or Invalid, and PostgresUnavailable if nobody can say."""
    if "site" not in values:
        raise malformed("site", "is missing. Give the name of a site, as `tallybook sites list` shows it.")
    site = await request.state.sites.found(values["site"])
    if site is None:
        raise invalid("site", "is no site. `tallybook sites list` shows those that there are.")
    return site


async def _totals(request: Request, asked: _Asked) -> tuple[Any, ...]:
    """Return the numbers of the whole range, in the order of WebNumbers."""
    whole = _By("''", "''", "1")
    found = await _of_rows(request, asked, whole, 1)
    made = await _of_visits(request, asked, whole, 1, [])
    views, unattributed, visitors, _ = found.get("", (0, 0, 0, 0))
    return (views, *_visited(made.get("")), visitors, unattributed)


async def _parted(request: Request, asked: _Asked, by: _By, limit: int) -> list[WebRow]:
    """Return the numbers by the value, the most first, or in the order of time."""
    most = _TIMES_MOST if by.is_time else limit
    if by.row is None:
        visits = await _of_visits(request, asked, by, most, [])
        return [WebRow(value, one[4], *_visited(one), one[5], 0, 0) for value, one in visits.items()]
    rows = await _of_rows(request, asked, by, most)
    visits = await _of_visits(request, asked, by, most, [] if by.is_time else list(rows)) if rows else {}
    values = sorted({*rows, *visits}) if by.is_time else list(rows)
    made = []
    for value in values:
        views, unattributed, visitors, items = rows.get(value, (0, 0, 0, 0))
        made.append(WebRow(value, views, *_visited(visits.get(value)), visitors, unattributed, items))
    return made


def _visited(one: Sequence[Any] | None) -> tuple[int, float | None, float | None, float | None]:
    """Return visits, share of bounces, and the mean duration and engaged time in seconds."""
    if not one or not one[0]:
        return 0, None, None, None
    visits, bounces, duration_ms, engaged_ms = one[:4]
    duration, engaged = (round(ms / visits / 1000, 3) for ms in (duration_ms, engaged_ms))
    return visits, round(bounces / visits, 6), duration, engaged


async def _of_rows(request: Request, asked: _Asked, by: _By, most: int) -> dict[str, Sequence[Any]]:
    sql = _ROWS.substitute(
        value=by.row,
        traffic=asked.traffic,
        of=by.of,
        filter=asked.rows.sql,
        order="value" if by.is_time else "items DESC, value",
    )
    found = await exports.rows(request, sql, {**asked.parameters, **asked.rows.parameters, "most": most})
    return {str(value): numbers for value, *numbers in found}


async def _of_visits(
    request: Request, asked: _Asked, by: _By, most: int, wanted: Sequence[str]
) -> dict[str, Sequence[Any]]:
    has_filter = bool(asked.visits.parameters)
    facts = [
        _OF_ROWS[name] if has_filter or _OF_VISITS[name] == by.visit else "''" for name in _FACTS
    ]  # what is not asked for is not read
    sql = _VISITS.substitute(
        value=by.visit,
        facts=f"({', '.join(facts)})",
        exit="path" if by.visit == "exit" else "''",
        one=by.several or "''",
        of=_of_items(by),
        traffic=asked.traffic,
        filter=asked.visits.sql,
        order="value" if by.is_time else "visits DESC, value",
    )
    parameters = {**asked.parameters, **asked.visits.parameters, "most": most, "values": list(wanted)}
    return {str(value): numbers for value, *numbers in await exports.rows(request, sql, parameters)}


def _of_items(by: _By) -> str:
    """Return which items of a visit have one of its several values. The columns of a banner are not among them."""
    return "0" if not by.several else by.of.replace("banner > 0", "one != '0'")


def _table(name: tuple[str, ...], rows: Sequence[WebRow]) -> Table:
    columns = {
        "value": "String",
        "views": "UInt64",
        "visits": "UInt64",
        "bounce_rate": "Nullable(Float64)",
        "duration": "Nullable(Float64)",
        "engaged": "Nullable(Float64)",
        "visitor_days": "UInt64",
        "unattributed": "UInt64",
        "items": "UInt64",
    }
    names = WebRow.__struct_fields__
    return Table(name, columns, [tuple(getattr(row, field) for field in names) for row in rows])
