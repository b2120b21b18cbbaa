"""Sinks that run in the process of the tests, and can die there."""

import asyncio
from typing import Any

from aggregator.sink.sink import Sink
from shared.runtime.tasks import end

#: Seconds of their leases.
LEASE_S = 1.5


class Sinks:
    """Those that run, on one database."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.sinks: list[Sink] = []

    def run(self, one: Sink) -> Sink:
        """Start it."""
        self.sinks.append(one)
        one.start()
        return one

    async def kill(self, sink: Sink) -> None:
        """As kill -9 would: nothing is given back, and some time later the leases are over."""
        assert sink._balancing is not None
        await end(sink._balancing, *(task for _, task in sink._partitions.values()))
        await asyncio.gather(*sink._closing)
        self.sinks.remove(sink)
        await self.end_leases()

    async def end_leases(self) -> None:
        """As if all were silent for long."""
        await self.pool.execute("UPDATE sink_cursor SET lease_until = now() - interval '1 s' WHERE owner IS NOT NULL")
        await self.pool.execute("UPDATE sink_member SET lease_until = now() - interval '1 s'")

    async def close(self) -> None:
        """Stop what still runs."""
        for sink in self.sinks:
            await sink.stop()
        self.sinks.clear()
