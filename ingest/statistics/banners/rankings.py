"""Return the banners that lead a range, by clicks, impressions or the rate of clicks, as JSON or CSV."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_args

from msgspec import UNSET, Meta
from starlette.responses import Response

from ingest.http import cursor as cursors
from ingest.http.query import choice, flag, integer, invalid, malformed, query
from ingest.state import Request
from ingest.statistics import csv
from ingest.statistics.answers import Metric, Place, RatePlace, RateTop, Top
from ingest.statistics.banners import metrics as banner_metrics
from ingest.statistics.banners.questions import asked_range, wants_csv
from ingest.statistics.banners.series import coverage, marks, stamps
from ingest.statistics.exports import as_json
from ingest.statistics.ranges import Range, parse
from shared.counting.lane import BANNER_MAX
from shared.counting.reader import Reader
from shared.settings import Settings

#: Places of a ranking.
PLACES_MOST = 1000
PLACES = 10
#: Places of a ranking as CSV.
FILE_PLACES_MOST = 10_000
#: Ends of the range that a ranking is compared with.
AGAINST = ("againstFrom", "againstTo")
#: Banners that are read at once: fewer than a script of Redis can pass on.
_BANNERS_AT_ONCE = 1000
#: What a cursor of a ranking is bound to, and the place that it holds: count and banner.
_QUESTION = ("tsFrom", "tsTo", "tz", "metric", "traffic", *AGAINST)


class _Behind(NamedTuple):
    """The last place of a page."""

    clicks: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    banner: Annotated[int, Meta(ge=1, le=BANNER_MAX)]


#: Longest range of a ranking, in days.
RANKING_DAYS_MOST = 366
#: Viewable impressions that a banner needs to be ranked by its rate, unless `min` is given, and the most of `min`.
VIEWABLE_LEAST, VIEWABLE_LEAST_MOST = 100, 1_000_000_000


async def top_banners(request: Request) -> Response:
    """Return the banners that lead a range, with their counts in another one if that is asked for."""
    names = ("tsFrom", "tsTo", "tz", "limit", "partial", "metric", "min", "traffic", "cursor", *AGAINST)
    values = query(request, names)
    metric = choice(values, "metric", get_args(Metric), "clicks")
    most = FILE_PLACES_MOST if wants_csv(request) and metric != "ctr" else PLACES_MOST
    limit = integer(values, "limit", 1, most, PLACES)
    if "min" in values and metric != "ctr":
        raise invalid("min", "goes with metric=ctr alone.")
    asked = await asked_range(request, values, most_days=RANKING_DAYS_MOST)
    if metric == "ctr":
        if given := [name for name in ("cursor", *AGAINST) if name in values]:
            raise invalid(given[0], "does not go with metric=ctr.")
        return await _by_rate(request, values, asked, limit)
    return await _by_count(request, values, asked, limit, banner_metrics.kinds(metric, banner_metrics.traffic(values)))


async def _by_count(
    request: Request, values: Mapping[str, str], asked: Range, limit: int, kinds: Sequence[int]
) -> Response:
    partial, against = flag(values, "partial"), _against(values, request.state.settings)
    digest = cursors.digest_of(values, _QUESTION)
    behind = cursors.unpacked(values, digest, _Behind, _QUESTION)
    reader = request.state.reader
    ranking = await reader.top(asked.start, asked.end, limit + 1, behind=behind, partial=partial, kinds=kinds)
    page, missing = ranking.banners[:limit], set(ranking.missing)
    columns: dict[str, list[int]] = {"bannerId": [banner for banner, _ in page], "count": [n for _, n in page]}
    if against is not None:
        columns["before"], away = await _totals(reader, columns["bannerId"], against, kinds, partial)
        missing |= away
    following = cursors.packed((page[-1][1], page[-1][0]), digest) if len(ranking.banners) > limit else UNSET
    covered = coverage(asked, ranking.as_of, sorted(missing, reverse=True))
    if not wants_csv(request):
        places = [Place(*row) for row in zip(*columns.values(), strict=True)]
        return as_json(Top(banners=places, next=following, **covered))
    cells = {name: map(str, column) for name, column in columns.items()}
    file = csv.response(("top", *stamps(asked)), cells, marks(covered))
    if following is not UNSET:
        file.headers["link"] = cursors.link(values, following)
    return file


def _against(values: Mapping[str, str], settings: Settings) -> Range | None:
    """Return the range to compare with; None when none is asked for. Raise Malformed or Invalid."""
    if missing := [name for name in AGAINST if name not in values]:
        if len(missing) == len(AGAINST):
            return None
        raise malformed(missing[0], "is missing. A range to compare with has both ends.")
    times = {name: values[name] for name in (*AGAINST, "tz") if name in values}
    return parse(times, time.time(), settings.minute_s, most_days=RANKING_DAYS_MOST, names=AGAINST)


async def _totals(
    reader: Reader, banners: list[int], asked: Range, kinds: Sequence[int], partial: bool
) -> tuple[list[int], set[str]]:
    """Return the counts of the banners in a range, and the stores that did not answer."""
    totals, missing = dict.fromkeys(banners, 0), set[str]()
    bounds = [asked.start, asked.end]
    for at in range(0, len(banners), _BANNERS_AT_ONCE):
        some = banners[at : at + _BANNERS_AT_ONCE]
        for kind in kinds:
            reading = await reader.read(some, asked.start, asked.end, bounds, partial=partial, kind=kind)
            for banner, points in reading.points.items():
                totals[banner] += sum(count for _, count, _ in points)
            missing |= set(reading.missing)
    return list(totals.values()), missing


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
