"""Flush closed minutes from Redis into Postgres, each incarnation once.

Any number of aggregators may run: they hold no state and need no leader. The ledger is the fence: two that carry the
same incarnation meet at its key, one waits for the other's commit and then adds nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import cast

import asyncpg
import structlog
from redis.asyncio import Redis

from shared.counting import cells, keys
from shared.runtime.crash_points import crash_point
from shared.settings import Settings
from shared.stores.postgres import Pool, statement
from shared.stores.redis_client import Script
from shared.telemetry.metrics import (
    FLUSH_CLICKS,
    FLUSH_ROWS,
    FLUSH_SECONDS,
    FLUSHES,
    LAST_FLUSH,
    OLDEST_OPEN_SECONDS,
    OPEN_MINUTES,
    OVERDUE,
)

_SEAL = Script("shared/counting/seal.lua")
_DROP = Script("shared/counting/drop.lua")
_ASIDE = Script("shared/counting/aside.lua")
_LEDGER = statement("aggregator/clicks/minutes.ledger.sql")
_UPSERT = statement("aggregator/clicks/minutes.upsert.sql")
_KINDS = statement("aggregator/clicks/minutes.kinds.sql")
_PARTITIONS = statement("aggregator/clicks/minutes.partitions.sql")

#: Incarnations in one transaction at most, and (minute, banner) rows after which it takes no more of them.
_BATCH, _BATCH_ROWS = 64, 25_000
#: Transactions at the same time. Two of them cannot deadlock: each takes its ledger keys, then its rows, in order.
_AT_ONCE = 2
#: Fields that Redis returns at a time: larger hashes are read with a cursor, which is safe because they cannot change.
_FIELDS = 5000

#: Seconds after the end of its minute from which on an incarnation is overdue.
_OVERDUE_S = 600

#: What Postgres says of a row that it will refuse however often it is sent.
_POISON = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

log = structlog.get_logger()


class Minutes:
    """Flushes the minutes of all shards, of every kind. Call `flush` about every second."""

    def __init__(self, settings: Settings, redis: "Redis", pool: Pool) -> None:
        self._settings = settings
        self._redis = redis
        self._pool = pool

    async def flush(self) -> int:
        """Move everything sealed and return the clicks moved. Raises REDIS_ERRORS and POSTGRES_ERRORS."""
        began, clicks, waiting, still_open = time.perf_counter(), 0, [], 0
        try:
            for shard in range(self._settings.shards):
                sealed, is_open = await self._seal(shard)
                waiting += sealed
                still_open += is_open
                clicks += await self._flush_shard(shard, sealed)
        except BaseException:
            FLUSHES.labels("error").inc()
            self._report(waiting, len(waiting) + still_open)
            raise
        self._report([], still_open)
        LAST_FLUSH.set_to_current_time()
        if waiting:
            FLUSHES.labels("ok").inc()
            FLUSH_SECONDS.observe(took := time.perf_counter() - began)
            log.info("minutes_flushed", incarnations=len(waiting), clicks=clicks, took_ms=round(took * 1000, 1))
        return clicks

    def _report(self, waiting: Sequence[str], live: int) -> None:
        """Update the gauges of open minutes and of the age of the oldest closed one."""
        OPEN_MINUTES.set(live)
        ends = [(cells.minute_of(name) + 1) * self._settings.minute_s for name in waiting]
        OLDEST_OPEN_SECONDS.set(max(0.0, time.time() - min(ends)) if ends else 0.0)

    async def count_overdue(self) -> int:
        """Return how many incarnations Redis holds whose minute has been over for long. Raises REDIS_ERRORS.

        It believes no script: one that left a kind open for ever would be seen by this alone, and by Redis' memory.
        """
        over_before = time.time() - _OVERDUE_S
        overdue = 0
        for shard in range(self._settings.shards):
            names = cast("list[bytes]", await self._redis.zrange(keys.prefix(shard) + "live", 0, -1))
            ends = ((cells.minute_of(name.decode()) + 1) * self._settings.minute_s for name in names)
            overdue += sum(end < over_before for end in ends)
        OVERDUE.set(overdue)
        return overdue

    async def _seal(self, shard: int) -> tuple[list[str], int]:
        prefix = keys.prefix(shard)
        arguments = [self._settings.minute_s, self._settings.grace_s]
        names, still_open = await _SEAL(self._redis, [prefix + "cur", prefix + "live"], arguments)
        if names:
            crash_point("minutes_sealed")
        return [name.decode() for name in names], int(still_open)

    async def _flush_shard(self, shard: int, sealed: list[str]) -> int:
        """Read batches from Redis while others are on their way into Postgres."""
        moving: list[asyncio.Task[int]] = []
        free = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                async for batch in self._batches(shard, sealed):
                    await free.acquire()
                    task = group.create_task(self._move(shard, batch))
                    task.add_done_callback(lambda _: free.release())
                    moving.append(task)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return sum(task.result() for task in moving)

    async def _batches(self, shard: int, sealed: list[str]) -> AsyncIterator[dict[str, dict[bytes, bytes]]]:
        """Yield the incarnations with their contents, in pieces that fit one transaction."""
        batch: dict[str, dict[bytes, bytes]] = {}
        rows = 0
        for name in sealed:
            batch[name] = await self._content(shard, name)
            rows += len(batch[name])
            if len(batch) >= _BATCH or rows >= _BATCH_ROWS:
                yield batch
                batch, rows = {}, 0
        if batch:
            yield batch

    async def _content(self, shard: int, name: str) -> dict[bytes, bytes]:
        """Banner -> clicks, as Redis holds them; empty if another aggregator has dropped it meanwhile."""
        key = f"{keys.prefix(shard)}i:{name}"
        while (size := await self._redis.hlen(key)) > _FIELDS:
            content = {banner: clicks async for banner, clicks in self._redis.hscan_iter(key, count=_FIELDS)}
            if len(content) == size:
                return content
            # Dropped meanwhile; or the server restarted, and walks by the same cursor in another order.
        return cast("dict[bytes, bytes]", await self._redis.hgetall(key))

    async def _move(self, shard: int, batch: dict[str, dict[bytes, bytes]]) -> int:
        """Persist one batch and drop it from Redis. Return the clicks that were new to Postgres."""
        crash_point("read")
        try:
            clicks = await self._persist({name: content for name, content in batch.items() if content})
        except _POISON as error:
            return await self._move_apart(shard, batch, error)
        crash_point("after_commit")
        prefix = keys.prefix(shard)
        await _DROP(self._redis, [prefix + "cur", prefix + "live"], [prefix, *batch])
        crash_point("dropped")
        return clicks

    async def _move_apart(self, shard: int, batch: dict[str, dict[bytes, bytes]], error: Exception) -> int:
        """Move incarnations one by one, so that a refused row holds up its own incarnation only."""
        if len(batch) > 1:
            return sum([await self._move(shard, {name: content}) for name, content in batch.items()])
        prefix, name = keys.prefix(shard), next(iter(batch))
        await _ASIDE(self._redis, [prefix + "live"], [prefix, name])
        log.error("incarnation_put_aside", incarnation=name, error=type(error).__name__)
        return 0

    async def _persist(self, batch: dict[str, dict[bytes, bytes]]) -> int:
        """Add the incarnations that the ledger does not know. Those of each kind go into the table of that kind."""
        counts = {name: list(map(int, content.values())) for name, content in batch.items()}
        seconds = {name: cells.minute_of(name) * self._settings.minute_s for name in batch}
        sizes, sums = [len(n) for n in counts.values()], [sum(n) for n in counts.values()]
        kinds = {name: cells.kind_of(name) for name in batch}
        minutes_of_clicks = {seconds[name] for name, kind in kinds.items() if not kind}
        minutes_of_others = {seconds[name] for name, kind in kinds.items() if kind}
        clicks, others = _Rows(), _Rows()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_PARTITIONS, sorted(minutes_of_clicks), sorted(minutes_of_others))
            new = {row["incarnation"] for row in await connection.fetch(_LEDGER, list(batch), sizes, sums)}
            crash_point("ledger")
            for name in new:
                (others if kinds[name] else clicks).add(seconds[name], kinds[name], batch[name], counts[name])
            if clicks.counts:
                await connection.execute(_UPSERT, clicks.starts, clicks.banners, clicks.counts)
            if others.counts:
                await connection.execute(_KINDS, others.starts, others.banners, others.kinds, others.counts)
            crash_point("before_commit")
        FLUSH_ROWS.inc(len(clicks.counts) + len(others.counts))
        FLUSH_CLICKS.inc(total := sum(clicks.counts) + sum(others.counts))
        return total


class _Rows:
    """Hold rows of a table as columns."""

    def __init__(self) -> None:
        self.starts, self.banners, self.kinds, self.counts = list[int](), list[int](), list[int](), list[int]()

    def add(self, start: int, kind: int, content: dict[bytes, bytes], counts: list[int]) -> None:
        """Add the rows of one incarnation."""
        self.starts += [start] * len(counts)
        self.banners += map(int, content)
        self.kinds += [kind] * len(counts)
        self.counts += counts
