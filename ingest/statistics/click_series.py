"""What answers about clicks are made of: their types, and buckets made of what the reader found."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ingest.statistics.answers import Bucket
from ingest.statistics.ranges import Buckets, Range
from shared.counting.reader import Point


def moment(second: float) -> datetime:
    """Epoch seconds as a time in UTC."""
    return datetime.fromtimestamp(second, UTC)


def labelled(points: Iterable[Point], buckets: Buckets) -> list[Bucket]:
    """The buckets that have clicks."""
    begin = datetime.fromtimestamp  # a local name, and tuples unpacked: this runs 45,000 times for a month of minutes
    if isinstance(buckets.labels, range) or buckets.bounds[:-1] == buckets.labels:  # minutes are named by their bounds
        return [Bucket(begin(start, UTC), count, is_final) for start, count, is_final in points]
    labels = dict(zip(buckets.bounds, buckets.labels, strict=False))
    return [Bucket(begin(labels[start], UTC), count, is_final) for start, count, is_final in points]


def filled(points: Iterable[Point], buckets: Buckets, final_before: float) -> list[Bucket]:
    """Every bucket; an empty one is final when it ends before `final_before`, in epoch seconds."""
    begin = datetime.fromtimestamp
    known = {start: (count, is_final) for start, count, is_final in points}
    every = []
    for label, start, end in zip(buckets.labels, buckets.bounds, buckets.bounds[1:], strict=False):
        count, is_final = known.get(start) or (0, end <= final_before)
        every.append(Bucket(begin(label, UTC), count, is_final))
    return every


def coverage(asked: Range, as_of: float, missing: Sequence[str]) -> dict[str, Any]:
    """The fields of `Covered`."""
    covered: dict[str, Any] = {"ts_from": moment(asked.start), "ts_to": moment(asked.end), "as_of": moment(as_of)}
    return {**covered, "partial": True, "missing": list(missing)} if missing else covered
