"""A pool of connections that knows what was asked of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from shared.settings import Settings
from shared.stores.postgres import create_pool

_Cache = TypeVar("_Cache")


class CountedPool:
    """A real pool that counts look-ups and writes."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.look_ups = self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        self.look_ups += 1
        return await self._pool.fetch(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        self.writes += 1
        return await self._pool.execute(sql, *arguments)


@asynccontextmanager
async def counted(settings: Settings, make: Callable[[Any], _Cache]) -> AsyncIterator[tuple[_Cache, CountedPool]]:
    """What a worker keeps of a table, over a pool that counts; it runs until the block ends."""
    async with create_pool(settings) as pool:
        counting = CountedPool(pool)
        cache: Any = make(counting)
        await cache.start()
        try:
            yield cache, counting
        finally:
            await cache.stop()
