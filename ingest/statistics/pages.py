"""Return sums of page views: in all, by minute, hour or day, and of the most viewed pages.

Minutes are read from `page_views_agg_minute`, which keeps them for a week, and hours from `page_views_agg_hour`, which
keeps them for good; days are made of hours. Both hold states that are merged here: users are counted once however many
minutes saw them, and an average is a sum divided by a number, never an average of averages.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from string import Template
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType
from starlette.responses import Response

from ingest.http.query import flag, integer, invalid, query
from ingest.state import Request
from ingest.statistics import csv, exports
from ingest.statistics.answers import PageBucket, PagePlace, PageStatistics, PageSums
from ingest.statistics.exports import Table, as_json, rows
from ingest.statistics.range_ends import AGAINST, ENDS, Span, has_against, span, whole
from shared.stores.postgres import statement

#: Days for which minutes are kept (`shared/migrations/clickhouse/0003_page_views.sql`).
MINUTES_DAYS = 7
#: Longest ranges in days, by step. The week of minutes has parts of eight days.
LONGEST_DAYS: Mapping[str, int] = {"minute": MINUTES_DAYS + 1, "hour": 366, "day": 3660}
#: Pages that one request may ask for, and that it gets.
PAGES_MOST, PAGES = 1000, 10
#: Characters of the name of a page.
PAGE_MAX = 512
_HOUR_S, _DAY_S = 3600, 86_400
#: What a DateTime of ClickHouse holds. No view is of a later time.
_LAST_S = 2**32 - 1
#: The table whose freshness an answer has.
_TABLE = "page_views_raw"

_SERIES = Template(statement("ingest/statistics/pages.series.sql"))
_TOP = statement("ingest/statistics/pages.top.sql")
_NAMES = ("from", "to", "step", "tz", "fill", "page_id", "limit", *AGAINST)
_COLUMNS = {"views": "UInt64", "users": "UInt64", "average_duration_ms": "Float64", "bounce_rate": "Float64"}
_NOTHING = (0, 0, 0.0, 0.0)


class _Stretch(NamedTuple):
    """Hold a range of whole buckets, in epoch seconds."""

    span: Span
    since: int
    until: int

    @property
    def sql(self) -> str:
        """Return the statement of the series."""
        return _SERIES.substitute(bucket=self.span.bucket("toUnixTimestamp({begin:Identifier})"))

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements."""
        kept = "minute" if self.span.step == "minute" else "hour"
        since, until = min(self.since, _LAST_S), min(self.until, _LAST_S)
        range_ = {"table": f"page_views_agg_{kept}", "begin": kept, "since": since, "until": until}
        return {**self.span.parameters, **range_}


class _Asked(NamedTuple):
    """Hold a checked question."""

    range: _Stretch
    #: The range to compare with.
    against: _Stretch | None
    is_filled: bool
    page: str | None
    most: int


async def page_statistics(request: Request) -> Response:
    """Return page views over a range."""
    asked, as_of = _asked(query(request, _NAMES)), datetime.fromtimestamp(time.time(), UTC)
    fresh_until = await request.state.freshness.until(request.state, _TABLE)
    span_ = asked.range.span
    total, known = await _series(request, asked.range, asked.page)
    begins = span_.labels if asked.is_filled else sorted(known)
    buckets = [(datetime.fromtimestamp(begin, UTC), known.get(begin, _NOTHING)) for begin in begins]
    if (media := exports.wanted(request)) in exports.FILES:
        listed = [(at, *sums) for at, sums in buckets]
        table = Table(("pages", span_.step, *span_.days), {"timestamp": exports.MOMENT, **_COLUMNS}, listed)
        file = await exports.response(request, media, table)
        file.headers["tallybook-as-of"] = csv.times([as_of])[0]
        return file
    former = None if asked.against is None else (await _series(request, asked.against, asked.page))[0]
    answer = PageStatistics(
        from_=datetime.fromtimestamp(asked.range.since, UTC),
        to=datetime.fromtimestamp(asked.range.until, UTC),
        as_of=as_of,
        fresh_until=fresh_until,
        step=span_.step,  # type: ignore[arg-type]
        tz=span_.zone,
        page_id=asked.page or UNSET,
        total=PageSums(**_named(total)),
        before=UNSET if former is None else PageSums(**_named(former)),
        stats=[PageBucket(timestamp=at, **_named(sums)) for at, sums in buckets],
        pages=await _top(request, asked),
    )
    return as_json(answer)


async def _series(
    request: Request, asked: _Stretch, page: str | None
) -> tuple[Sequence[Any], dict[int, Sequence[Any]]]:
    """Return what a range adds up to, and its buckets with views."""
    total: Sequence[Any] = _NOTHING
    known: dict[int, Sequence[Any]] = {}
    for is_total, begin, *sums in await rows(request, asked.sql, {**asked.parameters, "page": page or ""}):
        if not is_total:
            known[begin] = sums
        elif sums[0]:
            total = sums
    return total, known


def _stretch(values: Mapping[str, str], names: tuple[str, str] = ENDS) -> _Stretch:
    """Return a checked range. Raise Malformed or Invalid."""
    asked = whole(span(values, LONGEST_DAYS, "hour", names))
    since, until = asked.bounds[0], asked.bounds[-1]
    if asked.step == "minute" and since < time.time() - MINUTES_DAYS * _DAY_S:
        raise invalid(names[0], f"is more than {MINUTES_DAYS} days ago, and minutes are kept no longer. Use step=hour.")
    if asked.step != "minute" and any(begin % _HOUR_S for begin in asked.labels):
        raise invalid(
            "tz", f"is {asked.zone}, whose hours begin within hours of UTC, by which views are kept. Use UTC."
        )
    return _Stretch(asked, since, until)


def _asked(values: Mapping[str, str]) -> _Asked:
    """Return the checked question. Raise Malformed or Invalid."""
    asked, against = _stretch(values), _stretch(values, AGAINST) if has_against(values) else None
    page = values.get("page_id")
    if page is not None and not 0 < len(page) <= PAGE_MAX:
        raise invalid("page_id", f"has to have 1 to {PAGE_MAX} characters.")
    return _Asked(asked, against, flag(values, "fill"), page, integer(values, "limit", 1, PAGES_MOST, PAGES))


async def _top(request: Request, asked: _Asked) -> list[PagePlace] | UnsetType:
    if asked.page is not None:
        return UNSET
    found = await rows(request, _TOP, {**asked.range.parameters, "most": asked.most, "pages": []})
    if asked.against is None or not found:
        return [PagePlace(page_id=page, **_named(sums)) for page, *sums in found]
    parameters = {**asked.against.parameters, "most": len(found), "pages": [page for page, *_ in found]}
    before = {page: views for page, views, *_ in await rows(request, _TOP, parameters)}
    return [PagePlace(page_id=page, before=before.get(page, 0), **_named(sums)) for page, *sums in found]


def _named(sums: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("views", "users", "average_duration_ms", "bounce_rate"), sums, strict=True))
