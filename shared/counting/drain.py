"""Move the sealed pages of lanes into Redis: in order, one in flight per lane, each until its outcome is known."""

import asyncio
import contextlib
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from redis.asyncio import Redis

from shared.counting import keys, lane
from shared.counting.lane import Lane
from shared.errors import LanesFull, RedisUnavailable, TooManyNewBanners
from shared.runtime.backoff import Backoff
from shared.runtime.crash_points import crash_point
from shared.runtime.tasks import end
from shared.settings import Settings
from shared.stores.failures import noted
from shared.stores.redis_client import REDIS_ERRORS, Script, connect
from shared.telemetry.metrics import DRAIN_PAGES, DRAIN_SECONDS, LOOP_ERRORS

#: Seconds between two looks at the lanes of dead workers and at the own file's name.
_ORPHANS_S = (0.25, 0.5)
#: Seconds after which an idle drain looks again, though nobody has woken it.
_IDLE_S = 1.0
#: Seconds of the clock's grid on which all workers send where clicks wait for Redis: pages that arrive together share
#: one fsync (measured with two workers: half as much again as when each sends as soon as it can).
_GRID_S = 0.002
#: Seconds of the first and of the longest wait before a page is sent again.
_BACKOFF_S = (0.01, 0.5)

_ADD = Script("shared/counting/incarnation.lua", "shared/counting/add.lua")

#: Who waits for Redis: a task, or the front, which answers a request.
Ticket = asyncio.Future[bool] | Callable[[bool], None]

log = structlog.get_logger()


class Counter:
    """The lane of this worker and the tasks that empty it. Make one per worker, in its event loop, and await
    `start`."""

    #: Count one click of a banner id in canonical decimal: `Lane.add` of the current lane.
    add: Callable[[str], bool]

    def __init__(self, settings: Settings, gate: Callable[[int], None] | None = None) -> None:
        self._settings = settings
        self._gate = gate
        self._folder = settings.lanes_dir
        self._redis: Redis = connect(settings)
        self._seen: set[int] = set()
        self._seen_minute = 0
        self._retired: list[Lane] = []  # files that lost their name; drained, then closed
        self._lane: Lane
        self._wake = asyncio.Event()
        self._take(self._acquire())
        self._loop = asyncio.get_running_loop()
        #: Of those who wait for Redis, oldest first.
        self._tickets: deque[Ticket] = deque()
        self._redeemed = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._failing_since: float | None = None
        #: The code of the error with which Redis refuses pages, while it does.
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin to drain, in the background."""
        self._tasks = [asyncio.create_task(self._drain_own()), asyncio.create_task(self._adopt_orphans())]

    async def stop(self, timeout_s: float) -> None:
        """Drain a last time. What Redis does not take in time stays in the file for the next owner."""
        await end(*self._tasks)
        last = asyncio.create_task(self._drain())
        await asyncio.wait({last}, timeout=timeout_s)
        await end(last)
        if not last.cancelled() and (error := last.exception()) is not None:
            log.error("drain_broke", error=type(error).__name__, exc_info=error)
        self._redeem_all(False)
        for lost in self._retired:
            if left := lost.pending():  # no file will give them to another owner
                log.error("lane_file_gone", file=lost.path.name, clicks_left=left)
            lost.close()
        left = self._lane.pending()
        self._lane.close()
        await self._redis.aclose()
        log.info("lane_closed", clicks_left=left)

    # -- clicks ----------------------------------------------------------------------------------------------------

    def minute(self) -> int:
        """The current minute: its number since the epoch."""
        return int(time.time()) // self._settings.minute_s

    def add_many(self, clicks: Mapping[tuple[int, int], int]) -> None:
        """Count {(minute, banner): n}, all or nothing. Raises LanesFull, TooManyNewBanners, and what the gate
        raises."""
        if not self._lane.add_all(clicks):
            raise LanesFull

    def promise(self, ticket: Ticket) -> None:
        """Call the ticket once everything counted before this call is in Redis (True), or will not be in time."""
        self._tickets.append(ticket)
        self._wake.set()

    async def durable(self) -> None:
        """Wait until everything counted before this call is in Redis, on its disk. Raises RedisUnavailable.

        Then the clicks are still in the lane and will be counted when Redis is back.
        """
        done = self._loop.create_future()
        self.promise(done)
        if not await done:
            raise RedisUnavailable

    def admit(self, minute: int, banner: int) -> None:
        """Refuse a banner that does not count, or that is one too many in this minute; asked before it takes a slot.

        Raises TooManyNewBanners and what the gate raises.
        """
        if self._gate is not None:
            self._gate(banner)
        if minute != self._seen_minute:
            self._seen, self._seen_minute = set(), minute
        if banner not in self._seen:
            if len(self._seen) >= self._settings.new_banners_per_minute:
                raise TooManyNewBanners
            self._seen.add(banner)

    # -- health ----------------------------------------------------------------------------------------------------

    def fill_ratio(self) -> float:
        """Return how much of the ring is in use, 0..1."""
        return (self._lane.head - self._lane.tail) / (self._lane.pages - 1)

    def redis_failing_s(self) -> float:
        """Return the seconds for which Redis has taken no page; 0 while it does."""
        return 0.0 if self._failing_since is None else time.monotonic() - self._failing_since

    # -- draining --------------------------------------------------------------------------------------------------

    async def _drain_own(self) -> None:
        while True:
            self._wake.clear()
            try:
                if not await self._drain() and not self._tickets:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_IDLE_S):
                            await self._wake.wait()
            except Exception as error:  # whatever it is, this loop must go on: it is the only way out of the lane
                LOOP_ERRORS.labels("drain").inc()
                log.exception("drain_broke", error=type(error).__name__)
                await asyncio.sleep(_BACKOFF_S[1])
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """Return the seconds until the next drain."""
        if self._settings.ack == "redis":
            return _GRID_S - time.time() % _GRID_S
        return self._settings.drain_interval_ms / 1000

    async def _drain(self) -> bool:
        """Everything counted before the call is in Redis when it returns. False: the lane had nothing.

        Files that lost their name come first: nobody else can empty them, and who waits for a click in one of them is
        answered with the lane.
        """
        while self._retired:
            lost = self._retired[0]
            await self._flush(lost)
            if not lost.is_empty():  # the ring was full, so this page could not be sealed
                await self._flush(lost)
            self._retired.remove(lost)
            lost.close()
        return await self._flush(self._lane)

    async def _flush(self, source: Lane) -> bool:
        """Everything counted in this lane before the call is in Redis when it returns. False: there was nothing."""
        # Whoever holds a ticket now has counted before it came. Its click goes with this seal, unless the ring is full.
        until = self._redeemed + len(self._tickets)
        is_sealed = source.seal()
        if source is not self._lane or not (is_sealed or source.is_empty()):
            until = self._redeemed
        if is_sealed:
            crash_point("sealed")
        had_pages, is_applied, last = source.tail < source.head, True, source.head
        while is_applied and source.tail < last:
            is_applied = await self._send(source, source.tail)
        self._redeem(until, is_applied)
        return had_pages

    def _redeem(self, until: int, is_applied: bool) -> None:
        """Answer the tickets up to that number, unless a failure has answered them meanwhile."""
        while self._redeemed < until:
            self._redeemed += 1
            ticket = self._tickets.popleft()
            if not isinstance(ticket, asyncio.Future):
                ticket(is_applied)
            elif not ticket.done():  # its request may have been cancelled
                ticket.set_result(is_applied)

    def _redeem_all(self, is_applied: bool) -> None:
        self._redeem(self._redeemed + len(self._tickets), is_applied)

    async def _send(self, source: Lane, seq: int) -> bool:
        """Have one page applied and free it. False: the file is older than what Redis knows, and was put aside."""
        began = time.perf_counter()
        state, last = await self._apply(source, seq)
        if state == b"PAST":
            DRAIN_PAGES.labels("past").inc()
            if source.is_linked():
                lane.put_aside(source.path, f"page {seq} is behind Redis, which has {last}")
            if source is self._lane:
                self._take(self._acquire())
                source.close()
                self._redeem_all(False)  # clicks in the page that was being filled are put aside with it
            return False
        crash_point("applied")
        source.free(seq)
        DRAIN_PAGES.labels("ok" if state == b"OK" else "duplicate").inc()
        DRAIN_SECONDS.observe(time.perf_counter() - began)
        if state == b"OK" and last < seq - 1:
            log.error("redis_forgot_pages", lane=source.id, pages=seq - 1 - last)
        return True

    async def _apply(self, source: Lane, seq: int) -> tuple[bytes, int]:
        """Send the page until Redis says what became of it. The same seq may be sent any number of times."""
        shard = keys.shard_of(source.id, source.shards)
        prefix = keys.prefix(shard)
        names = [prefix + "cur", prefix + "live", keys.lane_key(shard, source.id), prefix + "lanes"]
        tail = [source.total(seq), prefix, source.id, source.blob(seq)]
        backoff = Backoff(*_BACKOFF_S)
        while True:
            # A fresh nonce each time: an id made of lane and seq could come back with other content after a rewind of
            # Redis.
            try:
                crash_point("send")
                state, last = await _ADD(self._redis, names, [seq, secrets.token_hex(8), *tail])
            except REDIS_ERRORS as error:
                self._note_failure(error)
                self._redeem_all(False)  # nobody waits longer than one call to Redis may take
                await asyncio.sleep(backoff.next_s())
            else:
                self._note_success()
                return state, last

    def _note_failure(self, error: Exception) -> None:
        DRAIN_PAGES.labels("error").inc()
        failure = noted(error)
        self.trouble = failure.code
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.warning("drain_failing", error=type(error).__name__, code=failure.code)

    def _note_success(self) -> None:
        if self._failing_since is not None:
            log.info("drain_recovered", after_s=round(self.redis_failing_s(), 3))
            self._failing_since = self.trouble = None

    # -- lanes -----------------------------------------------------------------------------------------------------

    def _acquire(self) -> Lane:
        settings = self._settings
        return Lane.acquire(
            self._folder,
            minute_s=settings.minute_s,
            pages=settings.lane_pages,
            entries=settings.lane_entries,
            shards=settings.shards,
        )

    def _take(self, new: Lane) -> None:
        new.gate, new.stirred = self.admit, self._wake.set
        self._lane, self.add = new, new.add
        log.info("lane_taken", file=new.path.name, clicks_left=new.pending())

    async def _adopt_orphans(self) -> None:
        """Drain the lanes of dead workers, and replace the own file if somebody removed it."""
        while True:
            await asyncio.sleep(random.uniform(*_ORPHANS_S))  # noqa: S311 - jitter
            try:
                for path in lane.paths(self._folder):
                    await self._drain_orphan(path)
                if not self._lane.is_linked():
                    self._replace_lost()
            except Exception as error:
                LOOP_ERRORS.labels("orphans").inc()
                log.exception("orphans_failed", error=type(error).__name__)

    async def _drain_orphan(self, path: Path) -> None:
        if path == self._lane.path:
            return
        orphan = Lane.adopt(path, minute_s=self._settings.minute_s, shards=self._settings.shards)
        if orphan is None:
            return
        try:
            await self._flush(orphan)
        finally:
            orphan.close()

    def _replace_lost(self) -> None:
        lost = self._lane
        log.error("lane_file_gone", file=lost.path.name, clicks_left=lost.pending())
        self._take(self._acquire())
        self._retired.append(lost)
