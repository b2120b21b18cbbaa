"""Return clicks, or other metrics, of one banner and of several, as JSON or CSV."""

import asyncio
from typing import Any

from starlette.responses import Response

from ingest.http.query import parsed_banner, parsed_banners
from ingest.state import Request
from ingest.statistics.answers import BannerMetrics, BannerSeries, BannerStatistics, Metrics, Statistics
from ingest.statistics.banners import metrics as banner_metrics
from ingest.statistics.banners.questions import BANNERS_MOST, Asked
from ingest.statistics.banners.series import as_csv, coverage, filled, labelled
from ingest.statistics.exports import as_json

# -- handlers ----------------------------------------------------------------------------------------------------------


async def banner_statistics(request: Request) -> Response:
    """Return clicks, or other metrics, of one banner over a range."""
    banner = parsed_banner("bannerId", request.path_params["bannerId"])
    asked = await Asked.of(request, [banner])
    name = ("banner", str(banner), asked.range.step)
    if wanted := banner_metrics.wanted(asked.values):
        [measured], _, covered = await banner_metrics.measured(asked, wanted)
        if asked.is_csv:
            return banner_metrics.as_csv(name, asked.range, wanted, [measured], covered)
        return as_json(
            BannerMetrics(
                banner_id=banner,
                traffic=wanted.traffic,
                totals=measured.totals,
                stats=measured.stats,
                **covered,
                **asked.stepped,
            )
        )
    [one], covered = await _series(asked)
    if asked.is_csv:
        return as_csv(name, asked.range, [one], covered)
    return as_json(BannerStatistics(banner_id=banner, total=one.total, stats=one.stats, **covered, **asked.stepped))


async def statistics(request: Request) -> Response:
    """Return clicks, or other metrics, of several banners over a range."""
    banners = parsed_banners("bannerIds", request.query_params.get("bannerIds", ""), BANNERS_MOST)
    asked = await Asked.of(request, banners, "bannerIds")
    name = ("banners", asked.range.step)
    if wanted := banner_metrics.wanted(asked.values):
        measured, totals, covered = await banner_metrics.measured(asked, wanted)
        if asked.is_csv:
            return banner_metrics.as_csv(name, asked.range, wanted, measured, covered)
        return as_json(Metrics(traffic=wanted.traffic, totals=totals, banners=measured, **covered, **asked.stepped))
    series, covered = await _series(asked)
    if asked.is_csv:
        return as_csv(name, asked.range, series, covered)
    total = sum(one.total for one in series)
    return as_json(Statistics(total=total, banners=series, **covered, **asked.stepped))


# -- clicks ------------------------------------------------------------------------------------------------------------


async def _series(asked: Asked) -> tuple[list[BannerSeries], dict[str, Any]]:
    """Return the clicks of each banner, and the fields that all answers share."""
    buckets = asked.buckets()
    bounds = None if asked.range.step == "minute" else buckets.bounds
    reading = await asked.reader.read(asked.banners, asked.range.start, asked.range.end, bounds, partial=asked.partial)
    final_before = 0.0 if reading.missing else reading.as_of - asked.settings.grace_s
    series = []
    for banner in asked.banners:
        points = reading.points.get(banner, [])
        stats = filled(points, buckets, final_before) if asked.fill else labelled(points, buckets)
        series.append(BannerSeries(banner_id=banner, total=sum(count for _, count, _ in points), stats=stats))
        await asyncio.sleep(0)  # clicks are served between two banners of a long answer
    return series, coverage(asked.range, reading.as_of, reading.missing)
