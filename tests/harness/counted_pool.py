"""A pool of connections that knows what was asked of it."""

from typing import Any


class CountedPool:
    """A real pool that counts how often ids were looked up."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.look_ups = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        self.look_ups += 1
        return await self._pool.fetch(sql, *arguments)
