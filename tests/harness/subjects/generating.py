"""Runs of the generator for tests, its ledger read back, and what lies at its targets, read by other clients."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from rich.console import Console

from generator.service import Order, Result, generate, planned
from generator.targets.sender import Patience
from generator.targets.target import Producing, Target
from generator.traffic.kinds import KINDS
from generator.traffic.profile import Profile
from shared.record_log.deduplication import Mark
from shared.record_log.record_log import BEGIN, Limit
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from tests.harness.process import Program
from tests.harness.wait import wait_for

PARTITIONS = 3
SETTINGS = Settings(log_partitions=PARTITIONS, log_records_max=1_000_000)
#: Waits between repeats that suit tests.
PATIENCE = Patience(0.01, 0.1)
_PLAIN = Producing()


class Stored(NamedTuple):
    """A message at its target."""

    partition: int
    place: tuple[int, int]
    key: bytes
    value: bytes


async def generated(
    target: str,
    *,
    settings: Settings = SETTINGS,
    producing: Producing = _PLAIN,
    patience: Patience = PATIENCE,
    stop: asyncio.Event | None = None,
    way: str = "async",
    mode: str = "max",
    **order: Any,
) -> Result:
    """One run to its end."""
    order = {"profile": Profile(mode=mode), "ways": dict.fromkeys(KINDS, way), "drain_s": 60.0} | order  # type: ignore[arg-type]
    one = Order(target, **order)
    plan, before = planned(one, settings.log_partitions)
    where = Target(plan.target, plan.run, plan.seed, plan.spread, plan.topic, patience, producing)  # type: ignore[arg-type]
    return await generate(one, where, plan, before, settings, Console(file=io.StringIO()), stop or asyncio.Event())


def lines(ledger: Path) -> list[dict[str, Any]]:
    """The ledger."""
    return [json.loads(line) for line in ledger.read_bytes().splitlines()]


def count_lines(ledger: Path) -> int:
    """How many lines are whole."""
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def value_of(line: dict[str, Any]) -> bytes:
    """The message as it was sent."""
    if "text" in line:
        return str(line["text"]).encode()
    return json.dumps(line["event"], separators=(",", ":")).encode()


def assert_same(ledger: Sequence[dict[str, Any]], stored: Sequence[Stored]) -> None:
    """Each line is a message of the topic, at the position that it says, and there are no others."""
    told = sorted((one["position"]["partition"], one["key"].encode(), value_of(one)) for one in ledger)
    assert told == sorted((one.partition, one.key, one.value) for one in stored)
    numbers = [one["n"] for one in ledger]
    assert sorted(numbers) == list(range(len(numbers)))
    if stored and "offset" in ledger[0]["position"]:
        by_place = {(one.partition, one.place[0]): one for one in stored}
        for line in ledger:
            there = by_place[line["position"]["partition"], line["position"]["offset"]]
            assert (there.key, there.value) == (line["key"].encode(), value_of(line))


async def in_kafka(servers: str, topic: str, isolation: str = "read_committed") -> list[Stored]:
    """All messages of a topic, by another client than the generator's."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest", isolation_level=isolation
    )
    await consumer.start()
    found: list[Stored] = []
    try:
        where = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(where)
        ends = await consumer.end_offsets(where)
        async with asyncio.timeout(60):
            while any([await consumer.position(one) < ends[one] for one in where]):
                pages = await consumer.getmany(timeout_ms=200, max_records=10_000)
                for place, page in pages.items():
                    found += [Stored(place.partition, (one.offset, 0), one.key or b"", one.value) for one in page]
    finally:
        await consumer.stop()
    return found


async def in_streams(redis: "Redis", topic: str) -> list[Stored]:
    """All records of a topic, as a sink reads them."""
    log, found = StreamsLog(redis, PARTITIONS, 1_000_000), list[Stored]()
    for partition in range(PARTITIONS):
        reader, start, marks = log.reader(topic, partition, "tests"), BEGIN, dict[str, Mark]()
        while (batch := await reader.read(start, marks, Limit(wait_s=0))).end != start:
            start, marks = batch.end, marks | batch.marks
            found += [Stored(partition, tuple(one.position), one.key, one.value) for one in batch.records]
    return found


def control_port(one: Program) -> int:
    """Where a generator that logs JSON has opened its control endpoint."""
    found: list[int] = []

    def look() -> bool:
        said = (json.loads(line) for line in one.log.read_text().splitlines() if line.startswith("{"))
        found.extend(line["port"] for line in said if line["event"] == "generator_control_opened")
        return bool(found)

    wait_for(look, "the control endpoint")
    return found[-1]


async def patched(port: int, wishes: dict[str, Any]) -> tuple[int, Any]:
    """Change a generator that runs; status and content of its answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.patch(f"http://127.0.0.1:{port}/control", json=wishes) as answer,
    ):
        return answer.status, await answer.json()
