"""`GET /stats/pages`: what page views add up to, by minute or hour, in all and of the most viewed pages.

Minutes are read from `page_views_agg_minute`, which keeps them for a week, and hours from `page_views_agg_hour`, which
keeps them for good. Both hold states that are merged here: users are counted once however many minutes saw them, and
an average is a sum divided by a number, never an average of averages.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.http.query import choice, integer, invalid, query
from ingest.statistics.exports import rows
from ingest.statistics.range_ends import EdgeText, edge
from shared.errors import Busy, ClickHouseUnavailable, Invalid
from shared.stores.postgres import statement

PageStep = Literal["minute", "hour"]

#: Days for which minutes are kept (`shared/migrations/clickhouse/0003_page_views.sql`), and the longest range of hours.
MINUTES_DAYS, HOURS_DAYS = 7, 366
#: Pages that one request may ask for, and that it gets.
PAGES_MOST, _PAGES = 1000, 10
#: Characters of the name of a page.
_PAGE_MAX = 512
_DAY_S = 86_400
#: What a DateTime of ClickHouse holds. No view is of a later time.
_LAST_S = 2**32 - 1

_SERIES = statement("ingest/statistics/pages.series.sql")
_TOP = statement("ingest/statistics/pages.top.sql")
_NAMES = ("from", "to", "step", "page_id", "limit")
_SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600}
_HEADERS = {"cache-control": "no-store"}


class PageSums(Struct, kw_only=True):
    """What a number of views adds up to."""

    views: Annotated[int, Meta(ge=0, description="Page views")]
    users: Annotated[
        int, Meta(ge=0, description="Different users: exact up to some ten thousand, then within about 1 %")
    ]
    average_duration_ms: Annotated[float, Meta(ge=0, description="Mean duration of a view; 0 without views")]
    bounce_rate: Annotated[float, Meta(ge=0, le=1, description="Share of views that were bounces; 0 without views")]


class PageBucket(PageSums, kw_only=True):
    """Views of one minute or hour."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the minute or hour begins, in UTC")]


class PagePlace(PageSums, kw_only=True):
    """Views of one page."""

    page_id: str


class PageStatistics(Struct, kw_only=True):
    """Page views of a range: in all, by minute or hour (those without views are left out), and of the most viewed pages
    unless one page was asked for."""

    from_: Annotated[datetime, Meta(tz=True, description="Begin of the first bucket of the range")] = msgspec.field(
        name="from"
    )
    to: Annotated[datetime, Meta(tz=True, description="End of the last bucket of the range")]
    step: PageStep
    page_id: str | UnsetType = UNSET
    total: PageSums
    stats: list[PageBucket]
    pages: list[PagePlace] | UnsetType = UNSET


class _Asked(NamedTuple):
    """A question that was checked; whole buckets, in epoch seconds."""

    since: int
    until: int
    step: PageStep
    page: str | None
    most: int

    @property
    def parameters(self) -> dict[str, Any]:
        """As the statements want them."""
        table = f"page_views_agg_{self.step}"
        since, until = min(self.since, _LAST_S), min(self.until, _LAST_S)
        return {"table": table, "begin": self.step, "since": since, "until": until}


async def page_statistics(request: Request) -> Response:
    """Page views over a range."""
    asked = _asked(query(request, _NAMES))
    series = await rows(request, _SERIES, {**asked.parameters, "page": asked.page or ""})
    top = await _top(request, asked)
    total = PageSums(views=0, users=0, average_duration_ms=0, bounce_rate=0)
    stats = list[PageBucket]()
    for is_total, begin, *sums in series:
        if not is_total:
            stats.append(PageBucket(timestamp=datetime.fromtimestamp(begin, UTC), **_named(sums)))
        elif sums[0]:
            total = PageSums(**_named(sums))
    answer = PageStatistics(
        from_=datetime.fromtimestamp(asked.since, UTC),
        to=datetime.fromtimestamp(asked.until, UTC),
        step=asked.step,
        page_id=asked.page or UNSET,
        total=total,
        stats=stats,
        pages=top,
    )
    return Response(msgspec.json.encode(answer), headers=_HEADERS, media_type="application/json")


def _asked(values: Mapping[str, str]) -> _Asked:
    """Raises Malformed or Invalid."""
    since, until = edge(values, "from", days=0).epoch_ms, edge(values, "to", days=1).epoch_ms
    if since >= until:
        raise invalid("to", "has to be later than from: the range is [from, to), and a date is its whole day.")
    step: Any = choice(values, "step", get_args(PageStep), "hour")
    size_ms = _SECONDS[step] * 1000
    first, last = since // size_ms * size_ms // 1000, -(-until // size_ms) * size_ms // 1000
    if step == "minute" and first < time.time() - MINUTES_DAYS * _DAY_S:
        raise invalid("from", f"is more than {MINUTES_DAYS} days ago, and minutes are kept no longer. Use step=hour.")
    if last - first > HOURS_DAYS * _DAY_S:
        raise invalid("to", f"is more than {HOURS_DAYS} days after from, and that is the longest range.")
    page = values.get("page_id")
    if page is not None and not 0 < len(page) <= _PAGE_MAX:
        raise invalid("page_id", f"has to have 1 to {_PAGE_MAX} characters.")
    return _Asked(first, last, step, page, integer(values, "limit", 1, PAGES_MOST, _PAGES))


async def _top(request: Request, asked: _Asked) -> list[PagePlace] | UnsetType:
    if asked.page is not None:
        return UNSET
    found = await rows(request, _TOP, {**asked.parameters, "most": asked.most})
    return [PagePlace(page_id=page, **_named(sums)) for page, *sums in found]


def _named(sums: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("views", "users", "average_duration_ms", "bounce_rate"), sums, strict=True))


# -- operations --------------------------------------------------------------------------------------------------------

_EXAMPLE = {"views": 5, "users": 3, "average_duration_ms": 48_200.0, "bounce_rate": 0.2}

OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/pages",
        handler=page_statistics,
        scope="stats:read",
        body_use="refused",
        summary="Page views of a range, by minute or hour",
        description="Views, different users, mean duration and share of bounces: in all, by bucket, and of the most "
        "viewed pages. `from` is lowered and `to` raised to whole buckets. Views are there within seconds; those that "
        "come late are added to the minute in which they happened. While views come in, parts of one answer may "
        f"differ by the newest.\n\nMinutes are kept for {MINUTES_DAYS} days, hours for good.",
        parameters=(
            Parameter(
                "from",
                EdgeText,
                "Begin of the range, a date in UTC or an RFC 3339 time",
                required=True,
                example="2026-03-01",
            ),
            Parameter(
                "to",
                EdgeText,
                "End of the range; a date is in it as a whole, a time is not",
                required=True,
                example="2026-03-31",
            ),
            Parameter("step", PageStep, "Size of a bucket, `hour` when not given"),
            Parameter(
                "page_id",
                Annotated[str, Meta(min_length=1, max_length=_PAGE_MAX)],
                "Views of this page alone",
                example="/products/7",
            ),
            Parameter("limit", Annotated[int, Meta(ge=1, le=PAGES_MOST)], f"Pages to name, {_PAGES} when not given"),
        ),
        answers={
            200: Answer(
                "The views",
                PageStatistics,
                example={
                    "from": "2026-03-01T00:00:00Z",
                    "to": "2026-04-01T00:00:00Z",
                    "step": "hour",
                    "total": _EXAMPLE,
                    "stats": [{**_EXAMPLE, "timestamp": "2026-03-01T12:00:00Z"}],
                    "pages": [{**_EXAMPLE, "page_id": "/products/7"}],
                },
            )
        },
        errors=(Invalid, ClickHouseUnavailable, Busy),
        order=230,
    )
]
