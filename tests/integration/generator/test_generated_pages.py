"""The generator and the consumers as they are run, joined by a real log, while everything between them is killed: what
the ledger says was sent is what the tables have."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from generator.traffic.kinds import BOUNCE, BROKEN_JSON, DUPLICATE, EMPTY_PAGE, KINDS, NEGATIVE_DURATION, NORMAL
from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.record_log import dead_letters
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tests.harness.kafka.broker import Broker
from tests.harness.process import program
from tests.harness.subjects.aggregators import Aggregators
from tests.harness.subjects.gateway import Gateway
from tests.harness.subjects.generating import control_port, count_lines, lines, patched, value_of
from tests.harness.subjects.kafka_pages import (
    PARTITIONS,
    begun,
    check_letters,
    common,
    kill_in_batches,
    staged,
)
from tests.harness.subjects.page_stage import Stage
from tests.harness.subjects.pages import Sent

pytestmark = pytest.mark.slow

#: Of one run, and how many a second while there are faults: enough for the last fault to come while there is more.
EVENTS, RATE = 12_000, 120
#: What becomes of each kind: a view, a repeat of one, or the reason of a dead letter.
FATES = {
    NORMAL: "view",
    BOUNCE: "view",
    DUPLICATE: "repeat",
    EMPTY_PAGE: "empty_page_id",
    NEGATIVE_DURATION: "negative_duration",
    BROKEN_JSON: "malformed",
}
_IDENTITIES = (
    "SELECT page_id, user_id, toUnixTimestamp64Milli(event_time), count() FROM page_views_raw"
    " GROUP BY page_id, user_id, event_time"
)


@pytest.fixture
def gateway(servers_folder: Path, tmp_path: Path) -> Iterator[Gateway]:
    one = Gateway(servers_folder / f"gateway-of-{tmp_path.name}")
    one.start()
    yield one
    one.close()


def sent_of(ledger: Path) -> list[Sent]:
    """The lines of a ledger as what the tables have to show."""
    return [_sent(line) for line in lines(ledger)]


def _sent(line: dict[str, Any]) -> Sent:
    assert "outcome" not in line, line
    bare = Sent(FATES[line["kind"]], line["key"].encode(), value_of(line))
    if bare.kind not in ("view", "repeat"):
        return bare
    event = line["event"]
    at = datetime.fromisoformat(event["timestamp"])
    return bare._replace(
        page=event["page_id"],
        user=event["user_id"],
        ms=round(at.timestamp() * 1000),
        duration=event["view_duration_ms"],
        is_bounce=event["is_bounce"],
    )


def generator(target: str, folder: Path, *more: object) -> list[str]:
    words = ["-m", "tallybook", "generate", "--mode", "max", "--events", EVENTS, "--seed", 2026, "--max-step", 50]
    return [str(word) for word in (*words, "--target", target, "--ledger", folder / "sent.jsonl", *more)]


async def attacked(
    stage: Stage, consumers: Aggregators, gateway: Gateway, target: str, folder: Path, server: Broker | None = None
) -> None:
    """A run of the generator into two consumers, slow until the last fault is over. The stage knows what was sent
    afterwards."""
    consumers.start()
    consumers.start()
    ledger = folder / "sent.jsonl"
    environ = {"TALLYBOOK_LOG_PARTITIONS": str(PARTITIONS), "TALLYBOOK_LOG_FORMAT": "json"}
    words = generator(target, folder, "--max-rate", RATE, "--control", 0)
    with program(*words, log=folder / "generator.log", **environ) as one:
        for fault in ("consumer", "broker", "engine", "rebalance", "consumer", "engine"):
            await go_on(stage)
            assert count_lines(ledger) < EVENTS, "it was over before the faults were: they proved nothing"
            if fault == "consumer":
                await consumers.kill_in_a_batch()
            elif fault == "engine":
                await kill_in_batches(gateway, stage)
            elif fault == "rebalance":
                await consumers.replace_oldest()
            elif server is not None:
                server.kill()
                await asyncio.to_thread(server.start)
        assert (await patched(control_port(one), {"max_per_s": 0}))[0] == 200
        summary = json.loads(await asyncio.to_thread(one.line))
        assert one.process.wait(60) == 0
    assert summary["complete"], summary
    stage.sent += sent_of(ledger)
    assert Counter(line["kind"] for line in lines(ledger)) == summary["sent"]
    assert set(summary["sent"]) == set(KINDS), "a run that lacks a kind proves nothing about it"
    await stage.drained()


async def go_on(stage: Stage) -> None:
    """Wait until more is stored than was: everything works again, and more is on its way."""
    done = await stage.pool.fetchval("SELECT coalesce(sum(stored + dead_lettered), 0) FROM sink_cursor")
    await begun(stage, int(done) + 150)


async def check_repeats(stage: Stage, *, are_dropped: bool) -> None:
    """An event is there as often as it was sent, or once."""
    found = {tuple(identity): times for *identity, times in await stage.tables.query(_IDENTITIES)}
    wanted = Counter((one.page, one.user, one.ms) for one in stage.sent if one.kind in ("view", "repeat"))
    made = sum(one.kind == "repeat" for one in stage.sent)
    assert sum(wanted.values()) - len(wanted) == made > 0
    assert found == (dict.fromkeys(wanted, 1) if are_dropped else wanted)


@pytest.mark.parametrize("are_dropped", [False, True], ids=["repeats_kept", "repeats_dropped"])
async def test_the_ledger_of_the_generator_is_what_the_tables_have_after_kills_of_everything_with_kafka(
    server: Broker, redis_url: str, database: str, gateway: Gateway, tmp_path: Path, are_dropped: bool
) -> None:
    settings, letters = gateway.settings("tallybook", clickhouse_timeout_s=10.0), f"letters-{are_dropped}"
    await migrate_clickhouse(settings)
    async with staged(server, database, settings) as stage:
        wishes = common(database, settings) | {"pages_drop_repeats": are_dropped}
        address = f"kafka://{server.address}"
        consumers = Aggregators(
            stage.pool,
            tmp_path,
            stage.end_leases,
            log_url=address,
            redis_url=redis_url,
            dead_letters_topic=letters,
            **wishes,
        )
        try:
            await attacked(stage, consumers, gateway, address, tmp_path, server)
            await stage.check(without_repeats=are_dropped)
            await check_repeats(stage, are_dropped=are_dropped)
            await check_places(stage, tmp_path / "sent.jsonl", are_dropped=are_dropped)
            await check_letters(stage, server, letters)
        finally:
            consumers.close()


async def check_places(stage: Stage, ledger: Path, *, are_dropped: bool) -> None:
    """What the ledger says lies at an offset is the row, or the dead letter, of that offset."""
    rows = await stage.tables.query(
        "SELECT kafka_partition, kafka_offset, page_id, user_id, toUnixTimestamp64Milli(event_time) FROM page_views_raw"
    )
    letters = await dead_letters.listed(stage.pool, 100_000)
    found = {(row[0], row[1]): tuple(row[2:]) for row in rows}
    found |= {(one.place.partition, one.place.position.offset): (one.reason,) for one in letters}
    wanted = {}
    for line, one in zip(lines(ledger), stage.sent, strict=True):
        is_row = one.kind in ("view", "repeat")
        content = (one.page, one.user, one.ms) if is_row else (one.kind,)
        wanted[line["position"]["partition"], line["position"]["offset"]] = content
    if are_dropped:
        assert found.items() <= wanted.items()
    else:
        assert found == wanted


@asynccontextmanager
async def in_streams(redis: "Redis", database: str, settings: Settings) -> AsyncIterator[Stage]:
    """Empty streams and empty tables."""
    log = StreamsLog(redis, PARTITIONS, 1_000_000)
    async with create_pool(Settings(database_url=database)) as pool, clickhouse.connect(settings) as tables:
        yield Stage(log, pool, tables)


@pytest.mark.parametrize("are_dropped", [False, True], ids=["repeats_kept", "repeats_dropped"])
async def test_the_ledger_of_the_generator_is_what_the_tables_have_after_kills_with_redis_streams(
    redis_client: "Redis", redis_url: str, database: str, gateway: Gateway, tmp_path: Path, are_dropped: bool
) -> None:
    settings = gateway.settings("tallybook", clickhouse_timeout_s=10.0)
    await migrate_clickhouse(settings)
    async with in_streams(redis_client, database, settings) as stage:
        wishes = common(database, settings) | {"pages_drop_repeats": are_dropped}
        consumers = Aggregators(stage.pool, tmp_path, stage.end_leases, redis_url=redis_url, **wishes)
        try:
            await attacked(stage, consumers, gateway, redis_url, tmp_path)
            await stage.check(without_repeats=are_dropped)
            await check_repeats(stage, are_dropped=are_dropped)
        finally:
            consumers.close()
