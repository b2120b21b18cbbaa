"""Exact totals at any moment, from three looks in one order: the lanes of this host, then Redis, then Postgres.

Clicks only move lane -> Redis -> Postgres, and the reader looks in that order, so nothing can pass it unseen. What it
saw early carries a name by which the later look tells whether it has arrived there meanwhile: lane entries their page's
seq, incarnations their id. So

    answer = rows + incarnations that are not in the ledger + lane entries of pages that Redis had not applied

A page may also pass both stores between the look at Redis and the one at Postgres: applied, sealed at once because its
minute is over, flushed. Its rows carry no name of the page, so a last look at Redis tells whether that is possible;
then the read is done again.
"""

import functools
import platform
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.counting import cells, keys, rate
from shared.counting.fleet import Fleet
from shared.counting.lane import View
from shared.errors import PostgresUnavailable, RedisUnavailable
from shared.settings import Settings
from shared.stores.postgres import POSTGRES_ERRORS, Pool, statement
from shared.stores.redis_client import REDIS_ERRORS, Script
from shared.telemetry.metrics import READS

_READ = Script("shared/counting/read.lua")
_STEADY = Script("shared/counting/steady.lua")
_MINUTES = statement("shared/counting/reader.minutes.sql")
_BUCKETS = statement("shared/counting/reader.buckets.sql")
_TOTAL = statement("shared/counting/reader.total.sql")
_TOP = statement("shared/counting/reader.top.sql")
#: The same of `banner_stats`; and of several kinds together, in both tables.
_KIND_MINUTES = statement("shared/counting/reader.kind_minutes.sql")
_KIND_BUCKETS = statement("shared/counting/reader.kind_buckets.sql")
_KIND_TOP = statement("shared/counting/reader.kind_top.sql")
_RATES = statement("shared/counting/reader.rates.sql")

#: Times that a read is done at most. One more is needed only when a minute was sealed or opened meanwhile.
_LOOKS = 5

#: Machines whose stores other processes see in order, so that lanes may be read while they are written.
_ORDERED_STORES = platform.machine() in ("x86_64", "AMD64")


#: Clicks of one bucket: (start in epoch seconds, clicks, whether it is final: over, and wholly in Postgres). A plain
#: tuple, because an answer has up to 45,000 of them.
Point = tuple[int, int, bool]


class Reading(NamedTuple):
    """`points` by banner, sorted, without empty buckets; `missing` names stores that did not answer (only when
    partial)."""

    as_of: float
    points: dict[int, list[Point]]
    missing: tuple[str, ...]


class Ranking(NamedTuple):
    """(banner, count), the largest first."""

    as_of: float
    banners: list[tuple[int, int]]
    missing: tuple[str, ...]


class Total(NamedTuple):
    """Clicks of all banners: `points` as those of one, and how many banners have any."""

    as_of: float
    points: list[Point]
    banners: int
    missing: tuple[str, ...]


class Rates(NamedTuple):
    """(banner, clicks, viewable), the best rate first; `left_out` counts the banners that are not ranked."""

    as_of: float
    banners: list[tuple[int, int, int]]
    left_out: int
    missing: tuple[str, ...]


class _Open(NamedTuple):
    """Counts on their way: `incarnation` is None while they are in a lane."""

    incarnation: str | None
    kind: int
    minute: int
    banner: int
    count: int  # type: ignore[assignment]


class _Waiting(NamedTuple):
    """A cell of a page that Redis had not applied."""

    shard: int
    lane: str
    seq: int
    cell: int


class _Snapshot(NamedTuple):
    """What lanes and Redis held: clicks, the ids of all live incarnations of the range, and where clicks of lanes were
    found."""

    clicks: list[_Open]
    incarnations: list[str]
    waiting: set[_Waiting]
    is_redis_missing: bool


#: A statement and its arguments.
_Question = tuple[str, list[Any]]

#: What is known of lanes and Redis when Redis does not tell.
_WITHOUT_REDIS = _Snapshot([], [], set(), True)


class Reader:
    """Reads of clicks, and of the other kinds that `cells.py` names. Any number of tasks may share one.

    A call costs at best one script per shard and one statement; another script for each shard whose lanes hold clicks
    of the range; and all of that again, five times at most, when clicks overtook it.
    """

    def __init__(self, settings: Settings, redis: "Redis", pool: Pool) -> None:
        self._settings = settings
        self._redis = redis
        self._pool = pool
        #: The lanes of this host.
        self.fleet = Fleet(settings.lanes_dir)

    async def read(
        self,
        banners: Sequence[int],
        start: int,
        end: int,
        bounds: Sequence[int] | None = None,
        *,
        partial: bool = False,
        kind: int = cells.CLICK,
    ) -> Reading:
        """What is counted of the banners under one kind in [start, end), epoch seconds on whole minutes.

        `bounds` cuts the range into buckets: their sorted starts and, last, the end; None means one bucket per minute.
        Raises RedisUnavailable or PostgresUnavailable; with `partial` it returns what is known and names what is
        missing.
        """
        as_of = time.time()
        ask = functools.partial(_question, list(banners), start, end, bounds, kind)
        snapshot, rows, missing = await self._look(banners, start, end, (kind,), ask, partial)
        counts: dict[int, dict[int, int]] = {banner: {} for banner in banners}
        known = set()
        for incarnation, banner, starts, clicks in rows:
            if incarnation is None:
                counts[banner] = dict(zip(starts, clicks, strict=True))
            else:
                known.add(incarnation)
        buckets = _Buckets(self._settings, bounds, as_of)
        for click in snapshot.clicks:
            if click.incarnation not in known:
                bucket, of_banner = buckets.of(click.minute), counts[click.banner]
                of_banner[bucket] = of_banner.get(bucket, 0) + click.count
        growing = {buckets.of(cells.minute_of(name)) for name in snapshot.incarnations if name not in known}
        growing |= {buckets.of(click.minute) for click in snapshot.clicks if click.incarnation is None}
        last_over = -1 if missing else buckets.last_over()
        points = {banner: _points(of_banner, last_over, growing) for banner, of_banner in counts.items()}
        return Reading(as_of, points, missing)

    async def top(
        self,
        start: int,
        end: int,
        limit: int,
        *,
        behind: tuple[int, int] | None = None,
        partial: bool = False,
        kinds: Sequence[int] = (cells.CLICK,),
    ) -> Ranking:
        """Return the banners with the highest counts of these kinds in [start, end), ties by id, behind the place
        (count, banner) if one is given. Raises as `read` does."""
        as_of = time.time()
        ask = functools.partial(_top_question, start, end, limit, kinds, behind)
        snapshot, rows, missing = await self._look([], start, end, kinds, ask, partial)
        if "postgres" in missing:
            rows = _ranked(snapshot.clicks, limit, behind)
        return Ranking(as_of, [(row["banner_id"], int(row["count"])) for row in rows], missing)

    async def total(self, start: int, end: int, bounds: Sequence[int] | None, *, partial: bool = False) -> Total:
        """Return the clicks of all banners in [start, end), cut by `bounds` as `read` does. Raises as `read` does."""
        as_of = time.time()
        ask = functools.partial(_total_question, start, end, bounds, self._settings.minute_s)
        snapshot, rows, missing = await self._look([], start, end, (cells.CLICK,), ask, partial)
        buckets = _Buckets(self._settings, bounds, as_of)
        counts = {bucket: clicks for incarnation, bucket, clicks in rows if bucket is not None}
        banners = next((clicks for incarnation, bucket, clicks in rows if incarnation is None and bucket is None), 0)
        known = {incarnation for incarnation, _, _ in rows if incarnation is not None}
        if "postgres" in missing:
            banners = len({click.banner for click in snapshot.clicks})
            for click in snapshot.clicks:
                bucket = buckets.of(click.minute)
                counts[bucket] = counts.get(bucket, 0) + click.count
        growing = {buckets.of(cells.minute_of(name)) for name in snapshot.incarnations if name not in known}
        growing |= {buckets.of(click.minute) for click in snapshot.clicks if click.incarnation is None}
        last_over = -1 if missing else buckets.last_over()
        return Total(as_of, _points(counts, last_over, growing), banners, missing)

    async def rates(
        self, start: int, end: int, limit: int, least: int, *, partial: bool = False, kinds: Sequence[int]
    ) -> Rates:
        """Return the banners with the highest rates of clicks to viewable impressions in [start, end), by the lower
        end of their interval, ties by id.

        Left out are banners with fewer than `least` viewable impressions, or with more clicks than them. `kinds` are
        those of clicks and of viewable impressions. Raises as `read` does.
        """
        as_of = time.time()
        ask = functools.partial(_rates_question, start, end, limit, least, kinds)
        snapshot, rows, missing = await self._look([], start, end, kinds, ask, partial)
        if "postgres" in missing:
            return _rated(snapshot.clicks, limit, least, as_of, missing)
        banners = [(row["banner_id"], int(row["clicks"]), int(row["viewable"])) for row in rows if row["banner_id"]]
        return Rates(as_of, banners, rows[0]["left_out"], missing)

    async def _look(
        self,
        banners: Sequence[int],
        start: int,
        end: int,
        kinds: Sequence[int],
        ask: Callable[[_Snapshot], _Question],
        partial: bool,
    ) -> tuple[_Snapshot, Sequence[Any], tuple[str, ...]]:
        """All looks, in their order, until nothing can have been seen twice."""
        for _ in range(_LOOKS):
            snapshot = await self._snapshot(banners, start, end, kinds, partial)
            rows, missing = await self._rows(ask(snapshot), partial)
            if missing or await self._is_steady(snapshot, partial):
                break
        else:
            if not partial:
                READS.labels("error").inc()
                raise RedisUnavailable
            snapshot = _WITHOUT_REDIS
            rows, missing = await self._rows(ask(snapshot), partial)  # those of a ranking have the open clicks in them
        missing = ("redis", *missing) if snapshot.is_redis_missing else missing
        READS.labels("partial" if missing else "ok").inc()
        return snapshot, rows, missing

    # -- Postgres --------------------------------------------------------------------------------------------------

    async def _rows(self, question: _Question, partial: bool) -> tuple[Sequence[Any], tuple[str, ...]]:
        sql, arguments = question
        try:
            return await self._pool.fetch(sql, *arguments), ()
        except POSTGRES_ERRORS as error:
            if not partial:
                READS.labels("error").inc()
                raise PostgresUnavailable from error
            return [], ("postgres",)

    # -- lanes and Redis -------------------------------------------------------------------------------------------

    async def _snapshot(
        self, banners: Sequence[int], start: int, end: int, kinds: Sequence[int], partial: bool
    ) -> _Snapshot:
        """Everything of the range that is not known to be in Postgres. The order matters: lanes, then Redis."""
        minutes = start // self._settings.minute_s, (end - 1) // self._settings.minute_s
        ranges = [[cells.cell(kind, minute) for minute in minutes] for kind in kinds]
        found = _Snapshot([], [], set(), False)
        try:
            if not _ORDERED_STORES:
                await self.fleet.drained()  # lanes that do not drain mean that Redis takes nothing
            views = self.fleet.views()
            for first, last in ranges:
                in_lanes = list(self.fleet.clicks(views, set(banners), first, last)) if _ORDERED_STORES else []
                for shard in range(self._settings.shards):
                    lanes = [view.id for view in views if self._shard_of(view) == shard]
                    applied, live = await self._live(shard, lanes, first, last, banners)
                    for lane, seq, cell, banner, n in in_lanes:
                        if lane in applied and seq > applied[lane]:
                            found.clicks.append(_Open(None, cells.kind_of(cell), cells.minute_of(cell), banner, n))
                            found.waiting.add(_Waiting(shard, lane, seq, cell))
                    for incarnation, counts in live:
                        found.incarnations.append(incarnation)
                        kind, minute = cells.kind_of(incarnation), cells.minute_of(incarnation)
                        found.clicks.extend(_Open(incarnation, kind, minute, banner, n) for banner, n in counts)
        except REDIS_ERRORS as error:
            if not partial:
                READS.labels("error").inc()
                raise RedisUnavailable from error
            return _WITHOUT_REDIS  # lane entries alone could be in Postgres already
        return found

    def _shard_of(self, view: View) -> int:
        return keys.shard_of(view.id, view.shards or self._settings.shards)

    async def _live(
        self, shard: int, lanes: list[str], first: int, last: int, banners: Sequence[int]
    ) -> tuple[dict[str, int], list[tuple[str, list[tuple[int, int]]]]]:
        """({lane: last seq applied}, [(incarnation, [(banner, count)])]) at one instant of one shard."""
        prefix = keys.prefix(shard)
        names = [prefix + "live", *(keys.lane_key(shard, lane) for lane in lanes)]
        positions, *live = await _READ(self._redis, names, [prefix, first, last, *banners])
        applied = {lane: int(seq) for lane, seq in zip(lanes, positions, strict=True)}
        return applied, [(name.decode(), list(_counts(banners, values))) for name, values in live]

    async def _is_steady(self, snapshot: _Snapshot, partial: bool) -> bool:
        """Whether no lane entry of the snapshot can have been in Postgres by now.

        A page that was applied since is in the open incarnation of its cell. Where that one was live at the former
        look, it has been open all the time, so nobody has flushed it.
        """
        try:
            for shard in {one.shard for one in snapshot.waiting}:
                of_shard = [one for one in snapshot.waiting if one.shard == shard]
                lanes, opened = list({one.lane for one in of_shard}), list({one.cell for one in of_shard})
                names = [keys.prefix(shard) + "cur", *(keys.lane_key(shard, lane) for lane in lanes)]
                positions, ids = await _STEADY(self._redis, names, opened)
                applied = {lane: int(seq) for lane, seq in zip(lanes, positions, strict=True)}
                is_open = {cell: name.decode() for cell, name in zip(opened, ids, strict=True)}
                for one in of_shard:
                    if one.seq <= applied[one.lane] and is_open[one.cell] not in snapshot.incarnations:
                        return False
        except REDIS_ERRORS as error:
            if not partial:
                READS.labels("error").inc()
                raise RedisUnavailable from error
            return False
        return True


def _question(
    banners: list[int], start: int, end: int, bounds: Sequence[int] | None, kind: int, snapshot: _Snapshot
) -> _Question:
    arguments: list[Any] = [banners, start, end, snapshot.incarnations]
    if bounds is not None:
        arguments.append(list(bounds))
    if kind == cells.CLICK:
        return (_MINUTES if bounds is None else _BUCKETS), arguments
    return (_KIND_MINUTES if bounds is None else _KIND_BUCKETS), [*arguments, kind]


def _top_question(
    start: int, end: int, limit: int, kinds: Sequence[int], behind: tuple[int, int] | None, snapshot: _Snapshot
) -> _Question:
    ids = [click.incarnation for click in snapshot.clicks]
    banners, counts = [click.banner for click in snapshot.clicks], [click.count for click in snapshot.clicks]
    arguments: list[Any] = [start, end, ids, banners, counts, limit]
    place = behind or (None, None)
    if tuple(kinds) == (cells.CLICK,):
        return _TOP, [*arguments, *place]
    return _KIND_TOP, [*arguments, list(kinds), *place]


def _total_question(
    start: int, end: int, bounds: Sequence[int] | None, minute_s: int, snapshot: _Snapshot
) -> _Question:
    columns = [[getattr(click, name) for click in snapshot.clicks] for name in ("incarnation", "banner")]
    seconds, counts = [click.minute * minute_s for click in snapshot.clicks], [click.count for click in snapshot.clicks]
    return _TOTAL, [
        start,
        end,
        *columns,
        seconds,
        counts,
        snapshot.incarnations,
        None if bounds is None else list(bounds),
    ]


def _rates_question(
    start: int, end: int, limit: int, least: int, kinds: Sequence[int], snapshot: _Snapshot
) -> _Question:
    columns = [
        [getattr(click, name) for click in snapshot.clicks] for name in ("incarnation", "kind", "banner", "count")
    ]
    return _RATES, [start, end, *columns, limit, list(kinds), least, rate.Z]


class _Buckets:
    """Where a minute belongs: buckets are named by their start in epoch seconds."""

    def __init__(self, settings: Settings, bounds: Sequence[int] | None, as_of: float) -> None:
        self._minute_s = settings.minute_s
        self._bounds = bounds
        self._closed_before = as_of - settings.grace_s

    def of(self, minute: int) -> int:
        second = minute * self._minute_s
        return second if self._bounds is None else self._bounds[bisect_right(self._bounds, second) - 1]

    def last_over(self) -> int:
        """Return the start of the last bucket that is over, or -1. Empty ones count as well."""
        if self._bounds is None:
            return int(self._closed_before) // self._minute_s * self._minute_s - self._minute_s
        over = bisect_right(self._bounds, self._closed_before) - 1
        return self._bounds[over - 1] if over > 0 else -1


def _counts(banners: Sequence[int], values: list[Any]) -> Iterator[tuple[int, int]]:
    """(banner, count) from what read.lua returns: counts in the order asked, or every banner with its count."""
    if banners:
        pairs = zip(banners, values, strict=True)
        return ((banner, int(n)) for banner, n in pairs if n is not None)
    return ((int(values[at]), int(values[at + 1])) for at in range(0, len(values), 2))


def _points(counts: Mapping[int, int], last_over: int, growing: Collection[int]) -> list[Point]:
    """Sorted, and without a step of Python for each: a month has 45,000 of them."""
    starts = sorted(counts)
    over = bisect_right(starts, last_over)
    finals = [True] * over + [False] * (len(starts) - over)
    for bucket in growing:
        at = bisect_left(starts, bucket)
        if at < over and starts[at] == bucket:
            finals[at] = False
    return list(zip(starts, map(counts.__getitem__, starts), finals, strict=True))


def _ranked(clicks: list[_Open], limit: int, behind: tuple[int, int] | None) -> list[dict[str, int]]:
    totals: dict[int, int] = {}
    for click in clicks:
        totals[click.banner] = totals.get(click.banner, 0) + click.count
    best = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    if behind is not None:
        best = [item for item in best if (-item[1], item[0]) > (-behind[0], behind[1])]
    return [{"banner_id": banner, "count": count} for banner, count in best[:limit]]


def _rated(clicks: list[_Open], limit: int, least: int, as_of: float, missing: tuple[str, ...]) -> Rates:
    """What _RATES answers, of the counts on their way alone."""
    sums: dict[int, list[int]] = {}
    for one in clicks:
        sums.setdefault(one.banner, [0, 0])[one.kind % cells.MACHINE == cells.VIEWABLE] += one.count
    fit = [(banner, n, shown) for banner, (n, shown) in sums.items() if least <= shown and n <= shown]
    best = sorted(fit, key=lambda one: (-rate.interval(one[1], one[2])[0], one[0]))[:limit]
    return Rates(as_of, best, len(sums) - len(fit), missing)
