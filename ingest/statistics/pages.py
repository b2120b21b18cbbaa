"""Return sums of page views: in all, by minute or hour, and of the most viewed pages.

Minutes are read from `page_views_agg_minute`, which keeps them for a week, and hours from `page_views_agg_hour`, which
keeps them for good. Both hold states that are merged here: users are counted once however many minutes saw them, and
an average is a sum divided by a number, never an average of averages.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from msgspec import UNSET, UnsetType
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.http.query import choice, integer, invalid, query
from ingest.state import Request
from ingest.statistics.answers import PageBucket, PagePlace, PageStatistics, PageStep, PageSums
from ingest.statistics.exports import rows
from ingest.statistics.range_ends import edge
from shared.stores.postgres import statement

#: Days for which minutes are kept (`shared/migrations/clickhouse/0003_page_views.sql`), and the longest range of hours.
MINUTES_DAYS, HOURS_DAYS = 7, 366
#: Pages that one request may ask for, and that it gets.
PAGES_MOST, PAGES = 1000, 10
#: Characters of the name of a page.
PAGE_MAX = 512
_DAY_S = 86_400
#: What a DateTime of ClickHouse holds. No view is of a later time.
_LAST_S = 2**32 - 1

_SERIES = statement("ingest/statistics/pages.series.sql")
_TOP = statement("ingest/statistics/pages.top.sql")
_NAMES = ("from", "to", "step", "page_id", "limit")
_SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600}


class _Asked(NamedTuple):
    """Hold a checked question about whole buckets, in epoch seconds."""

    since: int
    until: int
    step: PageStep
    page: str | None
    most: int

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements."""
        table = f"page_views_agg_{self.step}"
        since, until = min(self.since, _LAST_S), min(self.until, _LAST_S)
        return {"table": table, "begin": self.step, "since": since, "until": until}


async def page_statistics(request: Request) -> Response:
    """Return page views over a range."""
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
    return as_json(answer)


def _asked(values: Mapping[str, str]) -> _Asked:
    """Return the checked question. Raise Malformed or Invalid."""
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
    if page is not None and not 0 < len(page) <= PAGE_MAX:
        raise invalid("page_id", f"has to have 1 to {PAGE_MAX} characters.")
    return _Asked(first, last, step, page, integer(values, "limit", 1, PAGES_MOST, PAGES))


async def _top(request: Request, asked: _Asked) -> list[PagePlace] | UnsetType:
    if asked.page is not None:
        return UNSET
    found = await rows(request, _TOP, {**asked.parameters, "most": asked.most})
    return [PagePlace(page_id=page, **_named(sums)) for page, *sums in found]


def _named(sums: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(("views", "users", "average_duration_ms", "bounce_rate"), sums, strict=True))
