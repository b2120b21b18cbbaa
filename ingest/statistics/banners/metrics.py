"""Return what is counted of banners, and the rate of clicks, for `metrics` and `traffic`.

Kinds are read one after another, clicks first, so a click is seldom there without its impression. Each number by itself
is exact. Without both parameters the routes answer as `ingest/statistics/banners/statistics.py` has it.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, NamedTuple, get_args

from starlette.responses import Response

from ingest.http.query import choice, invalid
from ingest.statistics import csv
from ingest.statistics.answers import Figures, Measured, Metric, MetricBucket, Traffic
from ingest.statistics.banners.questions import Asked
from ingest.statistics.banners.series import FINAL, coverage, marks, stamps
from ingest.statistics.ranges import Buckets, Range
from shared.counting import cells, rate
from shared.counting.reader import Reading

#: What each metric counts, in the order in which it is read.
WHAT: Mapping[str, int] = {"clicks": cells.CLICK, "served": cells.SERVED, "viewable": cells.VIEWABLE}
#: Digits after the point of a rate.
_DIGITS = 6


class Wanted(NamedTuple):
    """What `metrics` and `traffic` ask for."""

    metrics: tuple[str, ...]
    traffic: Traffic

    @property
    def what(self) -> list[str]:
        """Return the metrics to read, in the order of WHAT: a rate needs two of them."""
        rated = ("clicks", "viewable") if "ctr" in self.metrics else ()
        return [name for name in WHAT if name in (*self.metrics, *rated)]


def wanted(values: Mapping[str, str]) -> Wanted | None:
    """Return what the parameters ask for; None without `metrics` and `traffic`. Raise Invalid."""
    if "metrics" not in values and "traffic" not in values:
        return None
    names, known = tuple(values.get("metrics", "clicks").split(",")), get_args(Metric)
    if not set(names) <= set(known):
        raise invalid("metrics", f"has to name some of {', '.join(known)}, with commas between them.")
    if len(set(names)) < len(names):
        raise invalid("metrics", "names a metric twice.")
    return Wanted(names, traffic(values))


def traffic(values: Mapping[str, str]) -> Traffic:
    """Return the class of traffic that is asked for. Raise Invalid."""
    chosen: Traffic = choice(values, "traffic", get_args(Traffic), "human")  # type: ignore[assignment]
    return chosen


def kinds(what: str, asked: Traffic) -> list[int]:
    """Return the kinds that make up a metric."""
    human, bots = WHAT[what], WHAT[what] + cells.MACHINE
    return {"human": [human], "bots": [bots], "all": [human, bots]}[asked]


async def measured(asked: Asked, wanted_: Wanted) -> tuple[list[Measured], Figures, dict[str, Any]]:
    """Return the metrics of each banner, those of all of them, and the fields that all answers share."""
    buckets = asked.buckets()
    bounds = None if asked.range.step == "minute" else buckets.bounds
    readings: dict[str, list[Reading]] = {}
    for what in wanted_.what:
        readings[what] = [
            await asked.reader.read(
                asked.banners, asked.range.start, asked.range.end, bounds, partial=asked.partial, kind=kind
            )
            for kind in kinds(what, wanted_.traffic)
        ]
    each = [reading for of_metric in readings.values() for reading in of_metric]
    as_of = min(reading.as_of for reading in each)
    missing = sorted({store for reading in each for store in reading.missing}, reverse=True)
    final_before = 0.0 if missing else as_of - asked.settings.grace_s
    found, sums = [], dict.fromkeys(wanted_.what, 0)
    for banner in asked.banners:
        table = _Table(banner, readings)
        for what, count in table.totals.items():
            sums[what] += count
        stats = list(table.rows(buckets, wanted_, final_before, is_filled=asked.fill))
        found.append(Measured(banner_id=banner, totals=_figures(wanted_, table.totals), stats=stats))
        await asyncio.sleep(0)  # clicks are served between two banners of a long answer
    return found, _figures(wanted_, sums), coverage(asked.range, as_of, missing)


class _Table:
    """Counts of one banner by bucket and metric, from the points of all kinds."""

    def __init__(self, banner: int, readings: Mapping[str, Sequence[Reading]]) -> None:
        self._counts: dict[int, dict[str, int]] = {}
        self._growing: set[int] = set()
        self.totals = dict.fromkeys(readings, 0)
        for what, of_metric in readings.items():
            for reading in of_metric:
                for start, count, is_final in reading.points.get(banner, ()):
                    of_bucket = self._counts.setdefault(start, {})
                    of_bucket[what] = of_bucket.get(what, 0) + count
                    self.totals[what] += count
                    if not is_final:
                        self._growing.add(start)

    def rows(
        self, buckets: Buckets, wanted_: Wanted, final_before: float, *, is_filled: bool
    ) -> Iterator[MetricBucket]:
        """Yield the buckets, those without counts only when they are to be filled. One is final when it ends before
        `final_before`, in epoch seconds, and no kind of it may grow."""
        for label, start, end in zip(buckets.labels, buckets.bounds, buckets.bounds[1:], strict=False):
            counts = self._counts.get(start, {})
            if counts or is_filled:
                is_final = end <= final_before and start not in self._growing
                moment = datetime.fromtimestamp(label, UTC)
                yield MetricBucket(timestamp=moment, final=is_final, **_counted(wanted_, counts))


def _counted(wanted_: Wanted, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the fields of the metrics."""
    fields: dict[str, Any] = {name: counts.get(name, 0) for name in wanted_.metrics if name in WHAT}
    if "ctr" in wanted_.metrics:
        fields["ctr"] = ctr(counts.get("clicks", 0), counts.get("viewable", 0))
    return fields


def _figures(wanted_: Wanted, counts: Mapping[str, int]) -> Figures:
    """Return the sums, with the interval of the rate."""
    fields = _counted(wanted_, counts)
    if "ctr" in fields:
        fields["ctr_low"], fields["ctr_high"] = interval(counts["clicks"], counts["viewable"])
    return Figures(**fields)


def ctr(clicks: int, viewable: int) -> float | None:
    """Return the rate; None when nothing was viewable."""
    return round(clicks / viewable, _DIGITS) if viewable else None


def interval(clicks: int, viewable: int) -> tuple[float | None, float | None]:
    """Return the interval of the rate; None for both ends where the clicks are no share of the impressions."""
    if not viewable or clicks > viewable:
        return None, None
    low, high = rate.interval(clicks, viewable)
    return round(low, _DIGITS), round(high, _DIGITS)


def as_csv(
    name: Sequence[str], asked: Range, wanted_: Wanted, found: Sequence[Measured], covered: Mapping[str, Any]
) -> Response:
    """Return the metrics as a CSV file of this name and range: a column for each."""
    columns: dict[str, list[str]] = {"bannerId": [], "timestamp": []}
    columns |= {metric: [] for metric in (*wanted_.metrics, "final")}
    for one in found:
        columns["bannerId"] += repeat(str(one.banner_id), len(one.stats))
        columns["timestamp"] += csv.times([bucket.timestamp for bucket in one.stats])
        for metric in wanted_.metrics:
            columns[metric] += [cell(getattr(bucket, metric)) for bucket in one.stats]
        columns["final"] += [FINAL[bucket.final] for bucket in one.stats]
    return csv.response((*name, *stamps(asked)), columns, marks(covered))


def cell(value: Any) -> str:
    """Return a count or a rate as a cell; an empty one for a rate that is none."""
    return "" if value is None else f"{value:.{_DIGITS}f}" if isinstance(value, float) else str(value)
