"""Everything that counts, in one process, with real stores."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from redis.asyncio import Redis

from aggregator.clicks.minutes import Minutes
from shared.counting import cells
from shared.counting.accounting import account
from shared.counting.drain import Counter
from shared.counting.fleet import Fleet
from shared.counting.keyed import Keyed
from shared.counting.reader import Reader
from shared.settings import Settings
from shared.stores.postgres import create_pool
from shared.stores.redis_client import connect

#: A minute that is long over for Redis' clock, so that it is sealed at once.
LONG_AGO = 26_000_000
SECOND = LONG_AGO * 60
#: Behind every minute that a test counts in.
EVER = 2**32 // 60 * 60


@dataclass
class Stack:
    """A worker's counter, an aggregator and a reader."""

    settings: Settings
    redis: "Redis"
    pool: Any
    counter: Counter
    keyed: Keyed
    reader: Reader
    minutes: Minutes

    async def count(self, banner: int, n: int = 1, minute: int = LONG_AGO) -> None:
        """Count in a minute, or in a cell of another kind, and wait until Redis has it."""
        self.counter.add_many({(minute, banner): n})
        await self.counter.durable()

    async def total(self, banner: int, kind: int = cells.CLICK) -> int:
        """What a read of all time says."""
        reading = await self.reader.read([banner], 0, EVER, kind=kind)
        return sum(count for _, count, _ in reading.points[banner])

    async def persisted(self) -> int:
        """Clicks of people in Postgres."""
        return int(await self.pool.fetchval("SELECT coalesce(sum(count), 0) FROM click_stats"))

    async def persisted_kinds(self) -> dict[tuple[int, int], int]:
        """(kind, banner) -> count of everything else in Postgres."""
        rows = await self.pool.fetch("SELECT kind, banner_id, sum(count)::bigint FROM banner_stats GROUP BY 1, 2")
        return {(kind, banner): count for kind, banner, count in rows}

    async def difference(self) -> int:
        """What the accounts differ by."""
        return (await account(self.settings, self.redis, self.pool, Fleet(self.settings.lanes_dir))).difference


@contextlib.asynccontextmanager
async def counting_stack(settings: Settings) -> AsyncIterator[Stack]:
    """A stack on small lanes, whose minutes are closed as soon as they are over."""
    chosen = replace(
        settings, minute_s=60, grace_s=0.0, shards=2, lane_pages=8, lane_entries=8, new_banners_per_minute=100
    )
    redis = connect(chosen)
    async with create_pool(chosen) as pool:
        counter = Counter(chosen)
        counter.start()
        yield Stack(
            chosen,
            redis,
            pool,
            counter,
            Keyed(chosen, redis),
            Reader(chosen, redis, pool),
            Minutes(chosen, redis, pool),
        )
        await counter.stop(2)
    await redis.aclose()
