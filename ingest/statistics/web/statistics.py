"""Return views, visitors and visits of a site. docs/collect.md defines the numbers.

Visits are made when they are asked for, from the rows: workers share no memory, and items come late. What a view says
of itself (its page, its browser) is counted by rows. What is true of a whole visit (where it came from, where it began
and ended) is counted by visits.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from string import Template
from typing import Any, NamedTuple

import msgspec
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
#: Numbers of an answer. All but the visitors of several days are in every one.
NUMBERS = ("views", "visits", "bounceRate", "duration", "engaged", "visitors", "visitorDays", "unattributed")
TRAFFIC = {"human": "bot = ''", "all": "1", "bots": "bot != ''"}

_VISITS = Template(statement("ingest/statistics/web/statistics.visits.sql"))
_ROWS = Template(statement("ingest/statistics/web/statistics.rows.sql"))

#: What is known of a view, and may be asked of the first view of a visit.
_FACTS = ("host", "page", "referrer", "source", "medium", "campaign", "ad", "country", "device", "browser", "os")
_OF_ROWS = {name: f"toString({'path' if name == 'page' else name})" for name in _FACTS}
#: The hour in UTC at which an hour of the zone begins.
_HOUR = "formatDateTime(toStartOfHour(toTimeZone({}, {{tz:String}})), '%Y-%m-%dT%H:%i:%SZ', 'UTC')"


def _ms(item: str) -> str:
    """Return the time of an item, in milliseconds."""
    return f"toInt64(bitShiftRight({item}, 64))"


def _engaged(item: str) -> str:
    """Return the milliseconds for which the page of a leave was visible."""
    return f"toInt64(intDiv(toUInt32({item}), 4))"


#: The place of an item's kind among those of the table, from 0 on.
_KIND = "bitAnd(toUInt8(item), 3)"
_VIEW, _EVENT, _OUT = 0, 2, 3
_IS_VIEW, _IS_ACT = f"{_KIND} = {_VIEW}", f"{_KIND} >= {_EVENT}"
#: The sorted items of a visitor, cut where half an hour is between one and the next.
_CHAINS = (
    f"arraySplit((item, former) -> {_ms('item')} - {_engaged('item')} - {_ms('former')} > 1800000, items, "
    "arrayPopBack(arrayPushFront(items, toUInt128(0))))"
)
#: What is marked of the first and the last view of a chain.
_FIRST = f"marks[indexOf(keys, arrayFirst(item -> {_IS_VIEW}, chain))]"
_LAST = f"marks[indexOf(keys, arrayLast(item -> {_IS_VIEW}, chain))]"
#: Whether an item is one of a kind in a chain.
_IS_OF = f"item BETWEEN chain[1] AND chain[-1] AND {_KIND} = {{}}"
#: Numbers of all visits, and of the rows of the range.
_NUMBERS_OF_ALL = 9


class _By(NamedTuple):
    """One way to part the numbers. Without `row`, visits alone decide, by what is marked of their views."""

    #: The value of a row.
    row: str | None
    #: The value of a visit. Where it has several, all that are marked of its items, it is in each of them.
    visit: str = ""
    #: What is marked of an item.
    mark: str = ""
    #: Which rows have the value, and which kind of items.
    of: str = "kind = 'view'"
    kind: int = _VIEW
    #: Which of the marks of such items are values.
    has: str = "1"
    is_time: bool = False


BY: Mapping[str, _By] = {
    "hour": _By(
        _HOUR.format("time"), _HOUR.format(f"fromUnixTimestamp64Milli({_ms('chain[1]')})"), of="1", is_time=True
    ),
    "day": _By("toString(day)", "toString(its_day)", of="1", is_time=True),
    "page": _By("path", mark="path"),
    "entry": _By(None, _FIRST, "path"),
    "exit": _By(None, _LAST, "path"),
    **{name: _By(None, _FIRST, _OF_ROWS[name]) for name in ("referrer", "source", "medium", "campaign", "ad")},
    **{name: _By(_OF_ROWS[name], _FIRST, _OF_ROWS[name]) for name in ("host", "country", "device", "browser", "os")},
    "event": _By("name", mark="name", of="kind = 'event'", kind=_EVENT),
    "out": _By("target", mark="target", of="kind = 'out'", kind=_OUT),
    "banner": _By("toString(banner)", mark="toString(banner)", of="kind = 'view' AND banner > 0", has="mark != '0'"),
}
#: What a filter may name: of a view, and of a visit by its first view, whose mark begins with the value asked for.
_ROW_FIELDS: Mapping[str, Field] = {name: Text(expression) for name, expression in _OF_ROWS.items()}
_VISIT_FIELDS: Mapping[str, Field] = {
    name: Text(f"tupleElement({_FIRST}, {place})") for place, name in enumerate(_FACTS, 2)
}


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
    values = query(request, ("site", "from", "to", "by", "traffic", "filter", "limit", "metrics"))
    first, last = day(values, "from"), day(values, "to")
    if first > last:
        raise invalid("to", "has to be the same day as from, or a later one: both are in the range.")
    if (last - first) >= timedelta(days=DAYS_MOST):
        raise invalid("to", f"is too late: a range has at most {DAYS_MOST} days.")
    _check_metrics(values, is_one_day=first == last)
    traffic = choice(values, "traffic", TRAFFIC, "human")
    limit = integer(values, "limit", 1, ROWS_MOST, ROWS)
    by = None if "by" not in values else choice(values, "by", BY, "")
    text, of_rows = asked_for(values, "filter", _ROW_FIELDS)
    _, of_visits = asked_for(values, "filter", _VISIT_FIELDS)
    site = await _site(request, values)
    parameters = {"site": site.name, "from": str(first), "to": str(last), "tz": site.timezone}
    asked = _Asked(site, parameters, TRAFFIC[traffic], of_rows, of_visits, first == last)
    rows = None
    if by is None:
        totals, _ = await _of_visits(request, asked, None, 0, [])
    else:
        totals, rows = await _parted(request, asked, BY[by], limit)
    if (media := exports.wanted(request)) in exports.FILES:
        name = ("web", site.name, by or "totals", f"{first:%Y%m%d}", f"{last:%Y%m%d}")
        return await exports.response(
            request, media, _table(name, rows if rows is not None else [WebRow("", *msgspec.structs.astuple(totals))])
        )
    return as_json(
        WebStatistics(
            site=site.name,
            from_=first,
            to=last,
            tz=site.timezone,
            traffic=traffic,  # type: ignore[arg-type]
            by=UNSET if by is None else by,
            filter=text,
            visitors=totals.visitor_days if asked.is_one_day else UNSET,
            totals=totals,
            rows=UNSET if rows is None else rows,
        )
    )


def _check_metrics(values: Mapping[str, str], *, is_one_day: bool) -> None:
    """Raise Invalid for a number that there is not, and for one that nobody can know."""
    asked = values["metrics"].split(",") if "metrics" in values else []
    if any(name not in NUMBERS for name in asked):
        raise invalid("metrics", f"has to name some of {', '.join(NUMBERS)}, with commas between them.")
    if "visitors" in asked and not is_one_day:
        raise invalid(
            "metrics",
            "asks for the visitors of several days. Nobody is recognised on another day, so nobody can know them. "
            "Ask for visitorDays, the sum over days, or for a single day.",
        )


async def _site(request: Request, values: Mapping[str, str]) -> Site:
    """Return the site that is asked for. Raise Malformed or Invalid, and PostgresUnavailable if nobody can say."""
    if "site" not in values:
        raise malformed("site", "is missing. Give the name of a site, as `tallybook sites list` shows it.")
    site = await request.state.sites.found(values["site"])
    if site is None:
        raise invalid("site", "is no site. `tallybook sites list` shows those that there are.")
    return site


async def _parted(request: Request, asked: _Asked, by: _By, limit: int) -> tuple[WebNumbers, list[WebRow]]:
    """Return the numbers of the whole range, and those by the value: the most first, or in the order of time."""
    most = _TIMES_MOST if by.is_time else limit
    if by.row is None:
        totals, visits = await _of_visits(request, asked, by, most, [])
        return totals, [WebRow(value, one[4], *_visited(one), one[5], 0, 0) for value, one in visits.items()]
    rows = await _of_rows(request, asked, by, most)
    totals, visits = await _of_visits(request, asked, by, most, [] if by.is_time else list(rows))
    values = sorted({*rows, *visits}) if by.is_time else list(rows)
    made = []
    for value in values:
        views, unattributed, visitors, items = rows.get(value, (0, 0, 0, 0))
        made.append(WebRow(value, views, *_visited(visits.get(value)), visitors, unattributed, items))
    return totals, made


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
    request: Request, asked: _Asked, by: _By | None, most: int, wanted: Sequence[str]
) -> tuple[WebNumbers, dict[str, Sequence[Any]]]:
    """Return the numbers of the whole range, and those of visits by value. The statement reads the items once."""
    has_filter = bool(asked.visits.parameters)
    sql = _VISITS.substitute(
        arrays=_arrays(by, has_filter),
        chains=_CHAINS,
        values="emptyArrayString()" if by is None else _values(by, has_filter),
        is_view=_IS_VIEW,
        is_act=_IS_ACT,
        engaged=_engaged("item"),
        duration=f"{_ms('chain[-1]')} - {_ms('chain[1]')}",
        gap=f"{_ms('tail.1[1]')} - {_engaged('tail.1[1]')} - {_ms('ended')}",
        traffic=asked.traffic,
        rows=asked.rows.sql,
        filter=asked.visits.sql,
        order="value" if by is not None and by.is_time else "numbers[1] DESC, value",
    )
    parameters = {**asked.parameters, **asked.rows.parameters, **asked.visits.parameters}
    parameters |= {"most": most, "values": list(wanted)}
    whole: Sequence[int] = (0,) * _NUMBERS_OF_ALL
    visits = dict[str, Sequence[Any]]()
    for value, numbers in await exports.rows(request, sql, parameters):
        if value is None:
            whole = numbers
        else:
            visits[str(value)] = numbers
    views, unattributed, visitors = whole[-3:]
    return WebNumbers(views, *_visited(whole), visitors, unattributed), visits


def _arrays(by: _By | None, has_filter: bool) -> str:
    """Return what is collected of a visitor: the items, and what is marked of some of them. Nothing else is read."""
    arrays = "arraySort(groupArrayIf(item, visitor > 0)) AS items"
    if not has_filter and (by is None or not by.mark):
        return f"{arrays}, CAST([], 'Array(UInt128)') AS keys, CAST([], 'Array(String)') AS marks"
    mark, of = ("''", "0") if by is None or not by.mark else (by.mark, by.of)
    if has_filter:
        mark, of = f"({mark}, {', '.join(_OF_ROWS.values())})", f"kind = 'view' OR {of}"
    of = f"visitor > 0 AND ({of})"
    return f"{arrays}, groupArrayIf(item, {of}) AS keys, groupArrayIf({mark}, {of}) AS marks"


def _values(by: _By, has_filter: bool) -> str:
    """Return the values of a visit, which is `chain`, as an array."""
    first = "tupleElement({}, 1)" if has_filter and by.mark else "{}"
    if by.visit:
        return f"[{first.format(by.visit)}]"
    marked = f"arrayFilter((mark, item) -> {_IS_OF.format(by.kind)}, marks, keys)"
    return f"arrayDistinct(arrayFilter(mark -> {by.has}, arrayMap(mark -> {first.format('mark')}, {marked})))"


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
