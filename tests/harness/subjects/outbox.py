"""Stores with an outbox, what was committed to it, and relays that can be killed."""

import itertools
import json
from collections import Counter
from typing import Any

import asyncpg
import msgspec

from aggregator.outbox.relay import Moved, Outbox, relay
from aggregator.outbox.relay_loop import Relay
from shared.stores.clickhouse import ClickHouse
from tallybook_sdk.outbox import Event, publish_async
from tallybook_sdk.outbox.event import CONTEXT_MAX_BYTES as CONTEXT_MAX_BYTES
from tests.harness.wait import until


class Happened(msgspec.Struct):
    """An event of the tests."""

    number: int
    text: str = 'ä "quoted" \\ \n {}'


class Stage:
    """What was committed, and what came of it."""

    def __init__(self, database: str, pool: Any, tables: ClickHouse) -> None:
        self.database, self.pool, self.tables = database, pool, tables
        #: Numbers of events in the order of their writing, by transaction.
        self.committed: list[list[int]] = []
        self._numbers = itertools.count(1)
        self._owners = itertools.count()

    def outbox(self, rows: int = 10, **more: Any) -> Outbox:
        """What a relay works on."""
        return Outbox(more.pop("pool", self.pool), more.pop("clickhouse", self.tables), rows, **more)

    def owner(self) -> str:
        """A new process."""
        return f"relay {next(self._owners)}"

    def relay(self, rows: int = 10, lease_s: float = 1.0, **more: Any) -> Relay:
        """One that runs."""
        one = Relay(self.outbox(rows, **more), self.owner(), lease_s)
        one.start()
        return one

    def events(self, count: int) -> list[Happened]:
        """New ones."""
        return [Happened(next(self._numbers)) for _ in range(count)]

    async def publish(self, *counts: int, connection: Any = None) -> None:
        """A transaction that publishes so many events by one call each."""
        numbers: list[int] = []
        async with self.pool.acquire() as mine:
            using = connection or mine
            async with using.transaction():
                for count in counts:
                    events = self.events(count)
                    numbers += [event.number for event in events]
                    await publish_async(using, *events)
        self.committed.append(numbers)

    async def poison(self) -> None:
        """A transaction with an event that Postgres takes and ClickHouse never will."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO tallybook_outbox (event_type, environment, event_context)"
                """ VALUES ('bad', 'test', '{"a.b": 1, "a": {"b": 2}}')"""
            )

    async def relayed(self, rows: int = 10, **more: Any) -> Moved | None:
        """What one call by cron does."""
        return await relay(self.outbox(rows, **more), self.owner())

    async def drained(self) -> None:
        """Wait until nothing is left behind the cursor."""
        await until(self._is_drained)

    async def _is_drained(self) -> bool:
        return not await self.pool.fetchval(
            "SELECT EXISTS (SELECT FROM tallybook_outbox AS event, tallybook_outbox_cursor AS cursor"
            " WHERE (event.xid, event.id) > (cursor.xid, cursor.id))"
        )

    async def stored(self) -> list[tuple[Any, ...]]:
        """(number, transaction, id) of what ClickHouse has."""
        rows = await self.tables.query(
            "SELECT toInt64OrZero(toString(event_context.number)), outbox_xid, outbox_id, event_type FROM event_log"
            " ORDER BY outbox_xid, outbox_id"
        )
        return [tuple(row[:3]) for row in rows if row[3] == "happened"]

    async def check(self, dead: int = 0) -> None:
        """Every committed event once, nothing else, and in the order of its transaction."""
        stored = await self.stored()
        numbers = [row[0] for row in stored]
        assert Counter(numbers) == Counter(number for one in self.committed for number in one)
        place = {number: at for at, number in enumerate(numbers)}
        for one in self.committed:
            assert sorted(one, key=place.__getitem__) == one
        row = await self.pool.fetchrow("SELECT * FROM tallybook_outbox_cursor")
        assert (row["stored"], row["dead_lettered"]) == (len(numbers), dead)
        assert await self.pool.fetchval("SELECT count(*) FROM tallybook_outbox_dead") == dead

    async def end_leases(self) -> None:
        """As if all were silent for long."""
        await self.pool.execute(
            "UPDATE tallybook_outbox_cursor SET lease_until = now() - interval '1 s' WHERE owner IS NOT NULL"
        )

    async def contexts(self) -> list[dict[str, Any]]:
        """The `context` of what lies in the outbox, in order."""
        rows = await self.pool.fetch("SELECT context FROM tallybook_outbox ORDER BY xid, id")
        return [json.loads(row["context"]) for row in rows]


async def connect(database: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection of its own."""
    return await asyncpg.connect(database)


__all__ = ["Event", "Happened", "Stage", "connect"]
