"""Uploads of events over a real Kafka into ClickHouse: each id once, whatever is repeated and whoever is killed."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.events.table import TOPIC
from shared.record_log.factory import chosen_log
from shared.settings import Settings
from shared.stores import clickhouse
from tests.harness.kafka.broker import Broker
from tests.harness.subjects.aggregators import Aggregators
from tests.harness.subjects.events import PARTITIONS, EventStage, event, event_stage, moment
from tests.harness.wait import until

pytestmark = pytest.mark.slow

#: Seconds for which a partition stays with an aggregator that was killed.
LEASE_S = 2.0


@pytest.fixture
async def stage(
    tmp_path: Path,
    server: Broker,
    redis_client: "Redis",
    redis_url: str,
    database: str,
    clickhouse_settings: Settings,
) -> AsyncIterator[EventStage]:
    address = f"kafka://{server.address}"
    async with (
        clickhouse.connect(clickhouse_settings) as tables,
        event_stage(tmp_path, redis_url, database, clickhouse_settings, tables, log_url=address) as one,
    ):
        async with chosen_log(one.settings) as log:
            await log.prepare(TOPIC)
            for partition in range(PARTITIONS):  # what an earlier test left is out of this one's way
                await log.trim(TOPIC, partition, await log.end(TOPIC, partition), -1)
        yield one


async def check(stage: EventStage, sent: dict[str, str]) -> None:
    """The table has each of the events once, of the user given."""
    assert {key: row[1] for key, row in (await stage.rows()).items()} == sent
    assert await stage.lying() == len(sent)


async def test_what_is_repeated_is_stored_once(stage: EventStage, redis_client: "Redis") -> None:
    """In one upload, in the next one, under a key, and when the window has forgotten it."""
    events = [event(occurred_at=moment(number % 50)) for number in range(2500)]
    assert Counter(await stage.statuses(*events, *events[:500])) == {"accepted": 2500, "duplicate": 500}
    other = events[7] | {"user_id": "another"}
    assert await stage.statuses(*events[:5], other) == [*["duplicate"] * 5, "conflict"]
    key = {"idempotency-key": "kafka-1"}
    more = [event() for _ in range(100)]
    first, again = await stage.send(*more, headers=key), await stage.send(*more, headers=key)
    assert (first.status_code, first.content) == (202, again.content)
    await stage.forget(redis_client)
    assert Counter(await stage.statuses(*events, other)) == {"accepted": 2500, "conflict": 1}
    async with stage.sink(records=3), stage.sink(records=3):
        await stage.drained()
    await stage.forget(redis_client)
    assert Counter(await stage.statuses(*(one | {"occurred_at": moment(90)} for one in events))) == {"accepted": 2500}
    await stage.settle()
    await check(stage, {one["event_id"]: one["user_id"] for one in (*events, *more)})


async def test_of_two_aggregators_one_is_killed_while_uploads_are_repeated(
    stage: EventStage, redis_client: "Redis", tmp_path: Path
) -> None:
    chance = random.Random(7)
    settings = stage.settings
    aggregators = Aggregators(
        stage.pool,
        tmp_path,
        redis_url=settings.redis_url,
        database_url=settings.database_url,
        clickhouse_url=settings.clickhouse_url,
        log_url=settings.log_url,
        log_partitions=PARTITIONS,
        sink_rows=2,
        sink_wait_s=0.05,
        sink_lease_s=LEASE_S,
        metrics_port=0,
    )
    events = [event(occurred_at=moment(number % 9)) for number in range(6000)]
    try:
        aggregators.start()
        aggregators.start()
        for begin in range(0, 6000, 300):
            if begin % 1500 == 0:
                await stage.forget(redis_client)  # so that repeats come to the sinks, too
            upload = [*events[begin : begin + 300], *chance.sample(events[: begin + 300], 200)]
            assert set(await stage.statuses(*upload)) <= {"accepted", "duplicate"}
            if begin in (1500, 3600):
                await until(lambda: stage_has(stage, 300), "rows in the table")
                await aggregators.kill_oldest()
        await stage.drained()
        await aggregators.stop()
    finally:
        aggregators.close()
    await check(stage, {one["event_id"]: one["user_id"] for one in events})


async def stage_has(stage: EventStage, rows: int) -> bool:
    """Whether so many rows are in the table, at least."""
    return await stage.lying() >= rows
