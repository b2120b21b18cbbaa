"""What answers about clicks are made of: their types, and buckets made of what the reader found."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.http.openapi import BannerId
from ingest.statistics.ranges import Buckets, Range, Step
from shared.counting.reader import Point


class Bucket(Struct, gc=False):
    """Clicks of one minute, hour or day. While `final` is false they may still grow."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]
    count: Annotated[int, Meta(ge=0, description="Clicks of the bucket that lie in the range")]
    final: Annotated[bool, Meta(description="False while the count may still grow")]


class Covered(Struct, kw_only=True, rename="camel"):
    """What every answer says about its range and about the moment at which it was true."""

    ts_from: Annotated[datetime, Meta(tz=True, description="First minute of the range")]
    ts_to: Annotated[datetime, Meta(tz=True, description="End of the last minute of the range")]
    as_of: Annotated[
        datetime, Meta(tz=True, description="Every click acknowledged on this host before this is counted")
    ]
    partial: Annotated[bool, Meta(description="True when a store did not answer and `partial=true` was asked")] | (
        UnsetType
    ) = UNSET
    missing: Annotated[list[str], Meta(description="The stores that did not answer: redis, postgres")] | UnsetType = (
        UNSET
    )


class Stepped(Covered, kw_only=True, rename="camel"):
    """What answers with buckets say about them."""

    step: Step
    tz: Annotated[str, Meta(description="The zone in which hours and days begin, when one was given")] | UnsetType = (
        UNSET
    )


class BannerStatistics(Stepped, kw_only=True, rename="camel"):
    """Clicks of one banner. Buckets without clicks are left out, unless `fill=true`."""

    banner_id: BannerId
    total: Annotated[int, Meta(ge=0, description="All clicks of the range")]
    stats: list[Bucket]


class BannerSeries(Struct, kw_only=True, rename="camel"):
    """Clicks of one banner among several."""

    banner_id: BannerId
    total: Annotated[int, Meta(ge=0)]
    stats: list[Bucket]


class Statistics(Stepped, kw_only=True, rename="camel"):
    """Clicks of several banners, in the order in which they were asked for."""

    total: Annotated[int, Meta(ge=0, description="All clicks of all banners")]
    banners: list[BannerSeries]


class Place(Struct, kw_only=True, rename="camel"):
    """A banner and its clicks in the range."""

    banner_id: BannerId
    count: Annotated[int, Meta(ge=1)]


class Top(Covered, kw_only=True, rename="camel"):
    """The most clicked banners, best first; of equal ones the lower id is first."""

    banners: list[Place]


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
