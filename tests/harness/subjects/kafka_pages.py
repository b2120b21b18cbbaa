"""Page views in Kafka: an empty topic for each test, what is stored of it, and the topic of dead letters."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.record_log import dead_letters
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tests.harness.kafka.broker import Broker
from tests.harness.subjects.gateway import Gateway
from tests.harness.subjects.page_stage import TOPIC, Stage
from tests.harness.wait import until

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
        "sink_wait_s": 0.05,
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
