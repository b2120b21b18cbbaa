"""Aggregators as processes, which tests kill in the middle of a batch, and the topic of dead letters."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.record_log import dead_letters
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tests.harness.kafka.broker import Broker
from tests.harness.processes import ROOT
from tests.harness.subjects.gateway import Gateway
from tests.harness.subjects.page_stage import TOPIC, Stage
from tests.harness.until import until

PARTITIONS = 3


@asynccontextmanager
async def staged(server: Broker, database: str, settings: Settings) -> AsyncIterator[Stage]:
    """An empty topic and empty tables."""
    log = KafkaLog(server.address, PARTITIONS, 1_000_000)
    await log.prepare(TOPIC)
    for partition in range(PARTITIONS):  # what an earlier test left is out of this one's way
        await log.trim(TOPIC, partition, await log.end(TOPIC, partition), -1)
    async with create_pool(Settings(database_url=database)) as pool, clickhouse.connect(settings) as tables:
        one = Stage(log, pool, tables)
        yield one
        await one.close()
    await log.close()


class Consumers:
    """Two aggregators as they are run; each that dies is followed by another."""

    def __init__(self, stage: Stage, folder: Path, **settings: object) -> None:
        self._stage, self._folder = stage, folder
        self._settings = {f"TALLYBOOK_{name.upper()}": str(value) for name, value in settings.items()}
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """One more."""
        environ = {**os.environ, "TALLYBOOK_DATA_DIR": str(self._folder), **self._settings}
        with (self._folder / "aggregator.log").open("ab") as log:
            self._running.append(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "aggregator"), cwd=ROOT, env=environ, stdout=log, stderr=log
                )
            )

    async def kill_oldest(self) -> None:
        """kill -9, and another one takes over."""
        one = self._running.pop(0)
        assert one.returncode is None, self._said()
        one.kill()
        await one.wait()
        await self.start()
        await self._stage.end_leases()

    async def kill_in_a_batch(self) -> None:
        """kill -9 of the oldest between the note of a batch and its end, and another one takes over."""
        await until(self._is_caught, f"the oldest has noted a batch: {self._said()}")
        await self.kill_oldest()

    async def replace_oldest(self) -> None:
        """Another one joins, and the oldest leaves in order: partitions move twice."""
        await self.start()
        await until(self._has_joined, f"the new one has partitions: {self._said()}")
        one = self._running.pop(0)
        one.terminate()
        assert await one.wait() == 0, self._said()

    async def _is_caught(self) -> bool:
        """Whether the oldest, stopped now, has a batch on its way. If not, it goes on."""
        one = self._running[0]
        one.send_signal(signal.SIGSTOP)
        sql = "SELECT count(*) FROM sink_cursor WHERE owner LIKE $1 AND pending_rows IS NOT NULL"
        if await self._stage.pool.fetchval(sql, _owner(one)):
            return True
        one.send_signal(signal.SIGCONT)
        return False

    async def _has_joined(self) -> bool:
        sql = "SELECT count(*) FROM sink_cursor WHERE owner LIKE $1"
        return bool(await self._stage.pool.fetchval(sql, _owner(self._running[-1])))

    def _said(self) -> str:
        return (self._folder / "aggregator.log").read_text()[-3000:]

    async def stop(self) -> None:
        """In order."""
        for one in self._running:
            with suppress(ProcessLookupError):  # which the test has noticed
                one.terminate()
            await one.wait()


def _owner(process: asyncio.subprocess.Process) -> str:
    """The pattern of the name under which a process holds its partitions."""
    return f"{socket.gethostname()}-{process.pid}-%"


async def kill_in_batches(gateway: Gateway, stage: Stage) -> None:
    """kill -9 of the engine while an insert waits for its answer, and a new one."""

    async def is_caught() -> bool:
        assert gateway.process
        gateway.process.send_signal(signal.SIGSTOP)
        if await stage.pool.fetchval("SELECT count(pending_rows) FROM sink_cursor"):
            return True
        gateway.process.send_signal(signal.SIGCONT)
        return False

    await until(is_caught, "an insert is on its way")
    gateway.signal(signal.SIGKILL)
    await asyncio.to_thread(gateway.start)


def common(database: str, settings: Settings) -> dict[str, object]:
    """Settings of consumers."""
    return {
        "database_url": database,
        "clickhouse_url": settings.clickhouse_url,
        "clickhouse_timeout_s": 10,
        "log_partitions": PARTITIONS,
        "pages_batch": 200,
        "pages_wait_s": 0.05,
        "metrics_port": 0,
    }


async def begun(stage: Stage, wanted: int) -> None:
    """Wait until so many are stored or refused: the next batches are on their way then."""

    async def is_so() -> bool:
        done = await stage.pool.fetchval("SELECT coalesce(sum(stored + dead_lettered), 0) FROM sink_cursor")
        return int(done) >= wanted

    await until(is_so, f"{wanted} records are stored")


async def letters_in(server: Broker, topic: str) -> list[tuple[str, str, bytes, bytes]]:
    """(letter, reason, key, value) of what a reader of committed messages finds in the topic."""
    looks = AIOKafkaConsumer(
        topic, bootstrap_servers=server.address, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await looks.start()
    found = []
    try:
        [end] = (await looks.end_offsets([TopicPartition(topic, 0)])).values()
        while await looks.position(TopicPartition(topic, 0)) < end:
            for messages in (await looks.getmany(timeout_ms=100)).values():
                for one in messages:
                    headers = {name: value.decode() for name, value in one.headers}
                    found.append((headers["letter"], headers["reason"], one.key or b"", one.value or b""))
    finally:
        await looks.stop()
    return found


async def check_letters(stage: Stage, server: Broker, topic: str) -> None:
    """The topic has what Postgres has, once."""
    kept = await dead_letters.listed(stage.pool, 100_000)
    wanted = [(str(one.place), one.reason, one.key or b"", one.value or b"") for one in kept]
    assert sorted(await letters_in(server, topic)) == sorted(wanted)
    assert len(wanted) == sum(one.kind not in ("view", "repeat") for one in stage.sent) > 0
