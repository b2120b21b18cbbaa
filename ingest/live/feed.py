"""Read what the streams of a worker want: one read a second for all of them, however many watch.

The read covers the last minutes of every wanted banner. A stream compares it with what it has sent, so a frame holds
whatever changed since, and a stream that is slow skips what it missed.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from shared.counting.reader import Point, Reader
from shared.errors import Busy, TallybookError, Unexpected
from shared.runtime.tasks import end
from shared.settings import Settings
from shared.telemetry.metrics import LIVE_STREAMS

#: Streams of one worker, and of one key or address.
STREAMS_MOST, STREAMS_OF_ONE_MOST = 32, 4
#: Banners that the streams of a worker may want in all, and different lengths of rankings.
BANNERS_MOST, WINDOWS_MOST = 400, 4
#: Seconds between two reads, and between two of rankings, which read every open banner.
_EVERY_S, _RANKED_EVERY_S = 1.0, 5.0
#: After a read that takes longer than this, the next waits so many times as long.
_LONG_S, _REST = 0.25, 4
#: Minutes that a read covers. Older ones are final, unless nobody has flushed them for so long.
_MINUTES = 10

log = structlog.get_logger()


class Wish(NamedTuple):
    """What a stream wants: the open minutes of banners, or the `top` banners of the last `window` minutes."""

    banners: frozenset[int] = frozenset()
    top: int = 0
    window: int = 0


class Ranked(NamedTuple):
    """The most clicked banners of a window, which ends with the current minute: epoch seconds, (banner, clicks)."""

    as_of: float
    start: int
    end: int
    banners: list[tuple[int, int]]


class Look(NamedTuple):
    """What the last reads found. `trouble` is why a read failed since; then the rest is from before."""

    as_of: float
    points: dict[int, list[Point]]
    rankings: dict[int, Ranked]
    trouble: TallybookError | None


class Subscription:
    """One stream's place at the feed. `changed` is set when there is something to look at, `stopping` when the worker
    stops."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.changed, self.stopping = asyncio.Event(), asyncio.Event()


class Feed:
    """The reader of one worker. It runs while a stream wants something."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        LIVE_STREAMS.set(0)  # a worker that died in this slot may have left some
        self.lifetime_s, self.slow_s = settings.live_s, settings.live_slow_s
        self._minute_s, self.reader = settings.minute_s, reader
        self._streams: dict[Subscription, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ranked_at = float("-inf")
        self._is_stopping = False
        #: What was found last; None before the first read.
        self.look: Look | None = None

    @contextlib.contextmanager
    def subscribed(self, wish: Wish, who: str) -> Iterator[Subscription]:
        """Hold a place for a stream of a key or address. Raise Busy."""
        self._check(wish, who)
        one = Subscription(wish)
        self._streams[one] = who
        LIVE_STREAMS.inc()
        if self._task is None:
            self.look, self._ranked_at = None, float("-inf")
            self._task = asyncio.create_task(self._read_for_ever())
        self._wanted.set()
        try:
            yield one
        finally:
            del self._streams[one]
            LIVE_STREAMS.dec()
            if not self._streams:
                self._task.cancel()
                self._task = None

    def _check(self, wish: Wish, who: str) -> None:
        if self._is_stopping:
            raise Busy("This worker is about to stop. Ask again: another one answers.")
        if len(self._streams) >= STREAMS_MOST:
            raise Busy(f"This worker has {STREAMS_MOST} streams already. Read with GET /stats until one ends.")
        if Counter(self._streams.values())[who] >= STREAMS_OF_ONE_MOST:
            raise Busy(f"This key or address has {STREAMS_OF_ONE_MOST} streams of this worker already.")
        if len(self._banners() | wish.banners) > BANNERS_MOST:
            raise Busy(f"The streams of this worker watch {BANNERS_MOST} banners at most, of all clients together.")
        if len({*self._windows(), *([wish.window] if wish.top else [])}) > WINDOWS_MOST:
            raise Busy(f"The streams of this worker have {WINDOWS_MOST} different lengths of rankings at most.")

    def _banners(self) -> frozenset[int]:
        return frozenset().union(*(one.wish.banners for one in self._streams))

    def _windows(self) -> dict[int, int]:
        """Return the places that are wanted of each window."""
        found: dict[int, int] = {}
        for one in self._streams:
            if one.wish.top:
                found[one.wish.window] = max(found.get(one.wish.window, 0), one.wish.top)
        return found

    def stop(self) -> None:
        """End every stream, and begin none."""
        self._is_stopping = True
        for one in self._streams:
            one.stopping.set()
            one.changed.set()

    async def aclose(self) -> None:
        """Stop the reads."""
        self.stop()
        if self._task is not None:
            await end(self._task)

    # -- reads -----------------------------------------------------------------------------------------------------

    async def _read_for_ever(self) -> None:
        while True:
            self._wanted.clear()
            began = time.monotonic()
            await self._read()
            took_s = time.monotonic() - began
            for one in self._streams:
                one.changed.set()
            if took_s > _LONG_S:
                await asyncio.sleep(_REST * took_s)
                continue
            with contextlib.suppress(TimeoutError):  # who has just come waits for a moment only
                async with asyncio.timeout(_EVERY_S):
                    await self._wanted.wait()
                    await asyncio.sleep(_LONG_S)

    async def _read(self) -> None:
        before = self.look or Look(time.time(), {}, {}, None)
        try:
            as_of, points = await self._clicks()
            rankings = await self._ranked(before.rankings)
        except TallybookError as error:
            self.look = before._replace(trouble=error)
        except Exception as error:  # the streams have to hear of it, and the next read may succeed
            log.exception("live_read_broke", error=type(error).__name__)
            self.look = before._replace(trouble=Unexpected())
        else:
            self.look = Look(as_of, points, rankings, None)

    async def _clicks(self) -> tuple[float, dict[int, list[Point]]]:
        banners, now = sorted(self._banners()), time.time()
        if not banners:
            return now, {}
        reading = await self.reader.read(banners, self._minute(now) - _MINUTES * self._minute_s, self._end(now))
        return reading.as_of, reading.points

    async def _ranked(self, before: dict[int, Ranked]) -> dict[int, Ranked]:
        wanted, now = self._windows(), time.monotonic()
        is_new = any(window not in before or len(before[window].banners) < top for window, top in wanted.items())
        if now - self._ranked_at < _RANKED_EVERY_S and not is_new:
            return before
        found = {}
        for window, top in wanted.items():
            end = self._end(time.time())
            start = end - window * self._minute_s
            ranking = await self.reader.top(start, end, top)
            found[window] = Ranked(ranking.as_of, start, end, ranking.banners)
        self._ranked_at = now
        return found

    def _minute(self, now: float) -> int:
        return int(now) // self._minute_s * self._minute_s

    def _end(self, now: float) -> int:
        return self._minute(now) + self._minute_s
