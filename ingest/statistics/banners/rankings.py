"""Return the banners that lead a range, by clicks, impressions or the rate of clicks, as JSON or CSV."""

from collections.abc import Mapping
from typing import Any, get_args

from starlette.responses import Response

from ingest.http.query import choice, flag, integer, invalid, query
from ingest.state import Request
from ingest.statistics import csv
from ingest.statistics.answers import Metric, Place, RatePlace, RateTop, Top
from ingest.statistics.banners import metrics as banner_metrics
from ingest.statistics.banners.questions import asked_range, wants_csv
from ingest.statistics.banners.series import coverage, marks, stamps
from ingest.statistics.exports import as_json
from ingest.statistics.ranges import Range

#: Places of a ranking.
PLACES_MOST = 1000
PLACES = 10
#: Longest range of a ranking, in days.
RANKING_DAYS_MOST = 366
#: Viewable impressions that a banner needs to be ranked by its rate, unless `min` is given, and the most of `min`.
VIEWABLE_LEAST, VIEWABLE_LEAST_MOST = 100, 1_000_000_000


async def top_banners(request: Request) -> Response:
    """Return the banners that lead a range."""
    values = query(request, ("tsFrom", "tsTo", "tz", "limit", "partial", "metric", "min", "traffic"))
    metric = choice(values, "metric", get_args(Metric), "clicks")
    limit = integer(values, "limit", 1, PLACES_MOST, PLACES)
    if "min" in values and metric != "ctr":
        raise invalid("min", "goes with metric=ctr alone.")
    asked = await asked_range(request, values, most_days=RANKING_DAYS_MOST)
    if metric == "ctr":
        return await _by_rate(request, values, asked, limit)
    ranking = await request.state.reader.top(
        asked.start,
        asked.end,
        limit,
        partial=flag(values, "partial"),
        kinds=banner_metrics.kinds(metric, banner_metrics.traffic(values)),
    )
    covered = coverage(asked, ranking.as_of, ranking.missing)
    if not wants_csv(request):
        return as_json(Top(banners=[Place(banner_id=banner, count=n) for banner, n in ranking.banners], **covered))
    columns = {
        "bannerId": [str(banner) for banner, _ in ranking.banners],
        "count": [str(count) for _, count in ranking.banners],
    }
    return csv.response(("top", *stamps(asked)), columns, marks(covered))


async def _by_rate(request: Request, values: Mapping[str, str], asked: Range, limit: int) -> Response:
    least = integer(values, "min", 1, VIEWABLE_LEAST_MOST, VIEWABLE_LEAST)
    traffic = banner_metrics.traffic(values)
    both = [kind for what in ("clicks", "viewable") for kind in banner_metrics.kinds(what, traffic)]
    found = await request.state.reader.rates(
        asked.start, asked.end, limit, least, partial=flag(values, "partial"), kinds=both
    )
    covered: dict[str, Any] = coverage(asked, found.as_of, found.missing)
    places = [_place(*one) for one in found.banners]
    if not wants_csv(request):
        return as_json(RateTop(banners=places, left_out=found.left_out, **covered))
    columns = {
        "bannerId": [str(one.banner_id) for one in places],
        "clicks": [str(one.clicks) for one in places],
        "viewable": [str(one.viewable) for one in places],
        "ctr": [banner_metrics.cell(one.ctr) for one in places],
        "ctrLow": [banner_metrics.cell(one.ctr_low) for one in places],
        "ctrHigh": [banner_metrics.cell(one.ctr_high) for one in places],
    }
    left_out = {"tallybook-left-out": str(found.left_out)}
    return csv.response(("top-ctr", *stamps(asked)), columns, {**marks(covered), **left_out})


def _place(banner: int, clicks: int, viewable: int) -> RatePlace:
    low, high = banner_metrics.interval(clicks, viewable)
    return RatePlace(
        banner_id=banner,
        clicks=clicks,
        viewable=viewable,
        ctr=banner_metrics.ctr(clicks, viewable),
        ctr_low=low,
        ctr_high=high,
    )
