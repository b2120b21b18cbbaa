"""From the log into ClickHouse: every record in one place, once, whatever dies, answers nothing or refuses."""

import asyncio
import itertools
import json
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from redis.asyncio import Redis

from aggregator import audit, patience
from aggregator import partition as partition_module
from aggregator.books import account
from aggregator.partition import Partition, Stores
from aggregator.pipelines import PIPELINES, Pipeline, Rows
from aggregator.sink import Sink
from shared import clickhouse, dead_letters
from shared.clickhouse import ClickHouse
from shared.clickhouse_migrate import migrate as migrate_clickhouse
from shared.log.cursor import Cursors, OwnershipLost
from shared.log.kafka import KafkaLog
from shared.log.log import Batch, Limit, Log, Position
from shared.log.share import Share
from shared.log.streams import StreamsLog
from shared.postgres import create_pool
from shared.redis_client import connect as connect_redis
from shared.settings import Settings
from tests.gateway import Gateway
from tests.kafka.broker import kafka
from tests.proxy import Proxy, proxy

PIPELINE = PIPELINES[0]
#: Seconds until something must have happened on a busy machine.
PATIENCE_S = 60.0
#: Of the sinks of the tests.
LEASE_S = 1.5

_ids = itertools.count(1)


class Died(Exception):
    """What a process is after a crash point."""


def hit(**fields: Any) -> tuple[bytes, bytes]:
    """Key and value of a record, with an event id of its own."""
    row = {
        "date": "2026-11-21",
        "date_time": "2026-11-21 10:00:00.123",
        "event_id": str(uuid.UUID(int=next(_ids))),
        "tracker_id": str(uuid.UUID(int=7)),
        "ip": "203.0.113.9",
        "user_id": str(uuid.UUID(int=1)),
        "user_agent": 'Mozilla/5.0 "ä"',
        "url": "https://example.org/}",
        "value": "{}\\\n",
        "is_bot": False,
        **fields,
    }
    return uuid.UUID(int=7).bytes, json.dumps(row).encode()


class Stage:
    """Real stores, the records that were appended, and sinks that can be killed."""

    def __init__(self, log: Log, settings: Settings, pool: Any, tables: ClickHouse) -> None:
        self.log, self.settings, self.pool, self.tables = log, settings, pool, tables
        self.appended: list[bytes] = []
        self._seqs: Counter[int] = Counter()
        self._owners = itertools.count()
        self.sinks: list[Sink] = []

    def cursors(self, pool: Any = None, log: Log | None = None) -> Cursors:
        """As a new process sees them."""
        return Cursors(pool or self.pool, (log or self.log).name, f"owner {next(self._owners)}", LEASE_S)

    def sink(self, records: int = 10, pipeline: Pipeline = PIPELINE, **stores: Any) -> Sink:
        """One of a new process, which runs."""
        made = {
            "log": self.log,
            "cursors": self.cursors(stores.pop("pool", None)),
            "clickhouse": self.tables,
            "limit": Limit(records=records, wait_s=0.05),
        }
        one = Sink(Stores(**{**made, **stores}), pipeline)
        self.sinks.append(one)
        one.start()
        return one

    async def append(self, *records: tuple[bytes, bytes], partition: int = 0) -> None:
        """One append."""
        self._seqs[partition] += 1
        await self.log.append("hits", partition, records, producer="tests", seq=self._seqs[partition])
        self.appended += [value for _, value in records]

    async def drained(self) -> None:
        """Wait until every record is stored or a dead letter."""
        await until(self._is_drained)

    async def _is_drained(self) -> bool:
        taken = await account(self.log, self.pool, PIPELINE)
        return taken.in_flight == 0 and taken.stored + taken.dead_lettered >= len(self.appended)

    async def check(self, dead: int = 0) -> None:
        """Every record in one place, once, and the books say so."""
        rows = await self.tables.query("SELECT event_id, log_partition, log_offset, log_seq FROM tracker_events")
        letters = await dead_letters.listed(self.pool, 10_000, settled=True)
        stored = Counter(str(row[0]) for row in rows)
        wanted = Counter(one["event_id"] for one in map(readable, self.appended) if one)
        refused = Counter(one["event_id"] for one in map(readable, [letter.value or b"" for letter in letters]) if one)
        assert stored + refused == wanted
        assert len(letters) == dead
        assert len({tuple(row[1:]) for row in rows}) == len(rows)
        assert await audit.doubles(self.tables, "tracker_events", days=10_000) == 0
        taken = await account(self.log, self.pool, PIPELINE)
        assert (taken.stored, taken.dead_lettered, taken.in_flight) == (len(rows), dead, 0)
        assert taken.difference == 0 or self.log.name == "kafka"

    async def kill(self, sink: Sink) -> None:
        """As kill -9 would: nothing is given back, and some time later the leases are over."""
        sink._balancing.cancel()
        tasks = [task for _, task in sink._partitions.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, sink._balancing, return_exceptions=True)
        self.sinks.remove(sink)
        await self.end_leases()

    async def end_leases(self) -> None:
        """As if all were silent for long."""
        await self.pool.execute("UPDATE sink_cursor SET lease_until = now() - interval '1 s' WHERE owner IS NOT NULL")
        await self.pool.execute("UPDATE sink_member SET lease_until = now() - interval '1 s'")

    async def close(self) -> None:
        for sink in self.sinks:
            await sink.stop()


def readable(value: bytes) -> Any:
    """The record, if it is one."""
    with suppress(ValueError):
        one = json.loads(value)
        return one if isinstance(one, dict) and "event_id" in one else None
    return None


async def until(is_so: Callable[[], Any]) -> None:
    """Come back when it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not await is_so():
        assert time.monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short."""
    monkeypatch.setattr(patience, "SETUP_S", 0.1)
    monkeypatch.setattr(patience, "_WAITS", dict.fromkeys(("unknown", "overload", "readonly"), (0.02, 0.2)))


@pytest.fixture
async def stage(redis_client: "Redis", database: str, clickhouse_settings: Settings) -> AsyncIterator[Stage]:
    settings = msgspec.structs.replace(clickhouse_settings, database_url=database)
    async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        one = Stage(StreamsLog(redis_client, 2, 1_000_000), settings, pool, tables)
        yield one
        await one.close()


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], asyncio.Event]:
    """Arms a crash point: it raises when it is passed for the n-th time, and the event is set."""

    def arm(name: str, at: int) -> asyncio.Event:
        died, passes = asyncio.Event(), itertools.count(1)

        def crash_point(here: str) -> None:
            if here == name and next(passes) == at:
                died.set()
            if died.is_set():
                raise Died(name)

        monkeypatch.setattr(partition_module, "crash_point", crash_point)
        return died

    return arm


# -- once --------------------------------------------------------------------------------------------------------------


async def test_every_record_becomes_a_row_with_its_place(stage: Stage) -> None:
    stage.sink()
    for partition in (0, 1):
        for _ in range(5):
            await stage.append(*(hit() for _ in range(7)), partition=partition)
    await stage.drained()
    await stage.check()
    row = (await stage.tables.query("SELECT * FROM tracker_events ORDER BY event_id LIMIT 1"))[0]
    assert row[6:10] == ('Mozilla/5.0 "ä"', "https://example.org/}", "{}\\\n", False)
    assert row[10] == 0


async def test_a_batch_is_cut_by_time_when_little_comes(stage: Stage) -> None:
    stage.sink(records=1000)
    await stage.append(hit())
    await stage.drained()
    await stage.check()


async def test_repeats_of_a_producer_are_stored_once(stage: Stage, redis_client: "Redis") -> None:
    stage.sink()
    first = [hit() for _ in range(5)]
    await stage.append(*first)
    await stage.drained()
    await redis_client.hdel("tallybook:{hits.0}:seqs", "tests")  # as a Redis that has forgotten the append
    await stage.log.append("hits", 0, first, producer="tests", seq=1)
    await stage.append(hit())
    await until(lambda: _rows(stage, 6))
    rows = await stage.tables.query("SELECT count(), uniqExact(event_id) FROM tracker_events")
    assert rows == [(6, 6)]


async def _rows(stage: Stage, wanted: int) -> bool:
    return int((await stage.tables.query("SELECT count() FROM tracker_events"))[0][0]) >= wanted


# -- crash points ------------------------------------------------------------------------------------------------------

POINTS = ("cut", "intended", "inserted", "recorded")


async def attacked(stage: Stage, crash: Callable[[str, int], asyncio.Event]) -> None:
    """A sink dies at every point, in its first batch and in a later one; more comes; another one, which would cut
    otherwise, takes over."""
    for at, point in itertools.product((1, 3), POINTS):
        await stage.append(*(hit() for _ in range(35)))
        died = crash(point, at)
        sink = stage.sink(records=10)
        await asyncio.wait_for(died.wait(), PATIENCE_S)
        await stage.kill(sink)
        await stage.append(*(hit() for _ in range(10)))
        crash("nowhere", 0)
        successor = stage.sink(records=17)
        await stage.drained()
        await stage.kill(successor)
    await stage.check()


async def test_a_sink_that_dies_at_any_point_loses_and_doubles_nothing(
    stage: Stage, crash: Callable[[str, int], asyncio.Event]
) -> None:
    await attacked(stage, crash)


def _random_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Partition, "token", lambda self, batch: uuid.uuid4().hex)


def _no_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on its way is cut anew."""

    async def intend(self: Any, batch: Batch) -> None:
        """Nothing is noted."""

    monkeypatch.setattr(Partition, "_intend", intend)


def _done_before_insert(monkeypatch: pytest.MonkeyPatch) -> None:
    insert, record = Partition._insert, Partition._record

    async def first_record(self: Any, batch: Batch, rows: Rows) -> Any:
        await record(self, batch, len(rows.lines), rows.letters)
        partition_module.crash_point("intended")
        return await insert(self, batch, rows)

    async def nothing(self: Any, batch: Batch, stored: int, letters: Any) -> None:
        """It was recorded before."""

    monkeypatch.setattr(Partition, "_insert", first_record)
    monkeypatch.setattr(Partition, "_record", nothing)


@pytest.mark.parametrize("mutant", [_random_token, _no_intent, _done_before_insert], ids=lambda one: one.__name__)
async def test_a_mutant_is_caught(
    stage: Stage,
    crash: Callable[[str, int], asyncio.Event],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        await attacked(stage, crash)
