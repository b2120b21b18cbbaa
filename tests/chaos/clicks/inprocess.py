"""Everything that counts, in one process and under load, while a test breaks the Redis below it."""

import asyncio
import contextlib
import random
import secrets
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec

from aggregator.clicks.minutes import Minutes
from ingest.http.health import Probe, ready
from shared.counting.accounting import account
from shared.counting.drain import Counter
from shared.counting.fleet import Fleet
from shared.counting.keyed import Keyed, KeyedClick
from shared.counting.reader import Reader
from shared.errors import RedisUnavailable
from shared.runtime.tasks import end
from shared.settings import Settings
from shared.stores.postgres import create_pool
from shared.stores.redis_client import REDIS_ERRORS, connect
from tests.harness.subjects.clicks import Ledger
from tests.harness.wait import until

#: Banners that are clicked without a key, and with one.
PLAIN, KEYED = range(1, 21), range(101, 106)
#: Seconds between two clicks of one clicker, between two reads, and between two rounds of the aggregator.
_CLICK_S, _READ_S, _FLUSH_S = 0.002, 0.02, 0.2
#: Seconds after which a test gives up.
_PATIENCE_S = 20.0
_EVER = 2**32


class Crowd:
    """Clickers, readers and an aggregator. `ledger` is what they tried and what was acknowledged."""

    def __init__(self, settings: Settings, pool: Any) -> None:
        self.settings = settings
        self.redis = connect(settings)
        self.pool = pool
        self.counters: list[Counter] = []
        self.minutes = Minutes(settings, self.redis, pool)
        self.reader = Reader(settings, self.redis, pool)
        self.keyed = Keyed(settings, self.redis)
        self.ledger = Ledger()
        self.reads: Tally[str] = Tally()
        #: Set by a test that takes away what Redis acknowledged: then reads are held to what was attempted only.
        self.may_lose = False
        self._seen: Tally[int] = Tally()
        self._stop = asyncio.Event()
        self._clicking: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []
        self._probe = Probe()

    def add_lane(self) -> str:
        """One more worker's lane; answers its id."""
        known = {view.id for view in Fleet(self.settings.lanes_dir).views()}
        counter = Counter(self.settings)
        counter.start()
        self.counters.append(counter)
        (lane,) = {view.id for view in Fleet(self.settings.lanes_dir).views()} - known
        return lane

    def start(self) -> None:
        """Click, read and flush from now on."""
        self._clicking = [asyncio.create_task(self._click(counter)) for counter in self.counters]
        self._clicking += [asyncio.create_task(self._click_with_key()) for _ in range(4)]
        self._others = [asyncio.create_task(self._read()), asyncio.create_task(self._flush())]

    async def stop(self) -> None:
        """No more clicks. What was promised is waited for: keys are repeated until they are answered."""
        self._stop.set()
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*self._clicking, *self._others)

    async def settle(self) -> None:
        """Everything is in Postgres when it returns."""
        for counter in self.counters:
            await until(lambda counter=counter: is_drained(counter), "the lane is drained")
        await asyncio.sleep(self.settings.minute_s + self.settings.grace_s + 0.1)
        await self.minutes.flush()
        await self.minutes.flush()

    async def conclude(self) -> dict[int, int]:
        """Stop and settle; then each acknowledged click is counted, once. Answers clicks by banner."""
        await self.stop()
        await self.settle()
        acked = {banner: self.ledger.acked[banner] for banner in (*PLAIN, *KEYED)}
        assert await self.counted() == await self.persisted() == acked
        assert await self.difference() == 0
        return acked

    async def close(self) -> None:
        """The lanes are free and nothing is connected."""
        for counter in self.counters:
            await counter.stop(1)
        await self.redis.aclose()

    # -- what is known ---------------------------------------------------------------------------------------------

    async def counted(self) -> dict[int, int]:
        """Clicks by banner, as the reader says. Raises RedisUnavailable."""
        reading = await self.reader.read([*PLAIN, *KEYED], 0, _EVER)
        return {banner: sum(count for _, count, _ in points) for banner, points in reading.points.items()}

    async def persisted(self) -> dict[int, int]:
        """Clicks by banner in Postgres."""
        rows = await self.pool.fetch("SELECT banner_id, sum(count)::bigint FROM click_stats GROUP BY 1")
        return {banner: clicks for banner, clicks in rows}

    async def difference(self) -> int:
        """What the books of the service are short of."""
        return (await account(self.settings, self.redis, self.pool, self.reader.fleet)).difference

    async def checks(self) -> dict[str, str]:
        """What /health/ready says of each store."""
        state = SimpleNamespace(
            settings=self.settings,
            counter=self.counters[0],
            banners=SimpleNamespace(is_loaded=lambda: True),
            trackers=SimpleNamespace(is_loaded=lambda: True),
            keys=None,
            hits=SimpleNamespace(failing_s=lambda: 0.0),
            events=SimpleNamespace(failing_s=lambda: 0.0),
            probe=self._probe,
            redis=self.redis,
            pool=self.pool,
            outbox_pool=self.pool,
        )
        answer = await ready(SimpleNamespace(state=state))  # type: ignore[arg-type]
        return {"status": (body := msgspec.json.decode(answer.body))["status"], **body["checks"]}

    # -- load ------------------------------------------------------------------------------------------------------

    async def _click(self, counter: Counter) -> None:
        while not self._stop.is_set():
            banner = random.choice(PLAIN)
            self.ledger.attempted[banner] += 1
            if counter.add(str(banner)):
                self.ledger.acked[banner] += 1
            await asyncio.sleep(_CLICK_S)

    async def _click_with_key(self) -> None:
        while not self._stop.is_set():
            banner = random.choice(KEYED)
            click = KeyedClick(int(time.time()) // self.settings.minute_s, banner, 1, secrets.token_bytes(16))
            self.ledger.attempted[banner] += 1
            while True:  # also past the stop: its outcome has to be known
                try:
                    await self.keyed.count([click])
                except RedisUnavailable:
                    await asyncio.sleep(10 * _CLICK_S)
                else:
                    break
            self.ledger.acked[banner] += 1
            await asyncio.sleep(_CLICK_S)

    async def _read(self) -> None:
        while not self._stop.is_set():
            acked = self.ledger.acked.copy()
            try:
                counted = await self.counted()
            except RedisUnavailable:
                self.reads["refused"] += 1
            else:
                self.reads["answered"] += 1
                for banner, clicks in counted.items():
                    least = 0 if self.may_lose else max(acked[banner], self._seen[banner])
                    assert least <= clicks <= self.ledger.attempted[banner], (banner, least, clicks)
                    self._seen[banner] = clicks
            await asyncio.sleep(_READ_S)

    async def _flush(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(*REDIS_ERRORS):
                await self.minutes.flush()
            await asyncio.sleep(_FLUSH_S)


async def is_drained(counter: Counter) -> bool:
    """Whether Redis takes now what the lane holds."""
    try:
        await counter.durable()
    except RedisUnavailable:
        return False
    return True


@contextlib.asynccontextmanager
async def crowd(settings: Settings) -> AsyncIterator[Crowd]:
    """A crowd without lanes, which does nothing yet."""
    async with create_pool(settings) as pool:
        one = Crowd(settings, pool)
        try:
            yield one
        finally:
            await end(*one._clicking, *one._others)
            await one.close()
