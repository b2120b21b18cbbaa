"""Redis never fills by itself: each use stops at its bound in bytes, and clicks always find room."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from aggregator.clicks.minutes import Minutes
from aggregator.redis_uses import redis_uses
from ingest.events.recent_ids import EventWindow
from ingest.events.upload_keys import Uploads
from ingest.http.rate_limits import Limiter
from shared.counting import keys
from shared.counting.accounting import account
from shared.counting.drain import Counter
from shared.counting.fleet import Fleet
from shared.counting.keyed import Keyed, KeyedClick
from shared.counting.reader import Reader
from shared.errors import LogFull
from shared.record_log.cursors import Cursors
from shared.record_log.deduplication import Mark
from shared.record_log.factory import chosen_log
from shared.record_log.record_log import BEGIN, Limit, Log, Position
from shared.record_log.retention import Trimmer
from shared.record_log.streams import StreamsLog, prefix
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import create_pool
from shared.stores.redis_client import connect
from shared.telemetry.metrics import REDIS_BOUND, REDIS_USED
from tests.harness.subjects.events import event, event_stage

MIB = 1 << 20
#: Bytes of Redis, the least that may be set.
MEMORY = 64 * MIB
#: A minute that is over, so that it can be flushed.
LONG_AGO = 29_000_000
#: A record and how many of it make an append, by topic: hits of long URLs, blocks of events, page views, and items of
#: pages.
KINDS = {"hits": (8 << 10, 60), "events": (64 << 10, 3), "page_views": (300, 500), "web": (1 << 10, 50)}


@pytest.fixture
async def small(redis_client: "Redis", settings: Callable[..., Settings]) -> AsyncIterator[Settings]:
    """Settings of an empty Redis with little memory."""
    await redis_client.config_set("maxmemory", MEMORY)
    yield settings(redis_memory_bytes=MEMORY, shards=2, redis_timeout_s=20.0, new_banners_per_minute=1_000_000)
    await redis_client.flushall()
    await redis_client.config_set("maxmemory", 0)


async def append_until_full(log: Log, topic: str, partition: int) -> list[bytes]:
    """The keys of records that were acknowledged."""
    size, many = KINDS[topic]
    stored, value, seq = list[bytes](), os.urandom(size), 0
    with suppress(LogFull):
        while True:
            seq += 1
            records = [(b"%d.%d" % (seq, place), value) for place in range(many)]
            await log.append(topic, partition, records, producer="tests", seq=seq)
            stored += [key for key, _ in records]
    return stored


async def in_log(log: Log, topic: str, partition: int) -> tuple[list[bytes], Position]:
    """The keys of all records of a partition, and its end."""
    reader, start, marks, found = log.reader(topic, partition, "tests"), BEGIN, dict[str, Mark](), list[bytes]()
    while (batch := await reader.read(start, marks, Limit(wait_s=0))).end != start:
        start, marks = batch.end, marks | batch.marks
        found += [record.key for record in batch.records]
    await reader.close()
    return found, start


async def taken(redis: "Redis", *patterns: str) -> int:
    """Bytes of all keys that fit, as Redis counts them."""
    names = [name for pattern in patterns for name in await redis.keys(pattern)]
    return sum([int(await redis.memory_usage(name, samples=0)) for name in names])


async def at_once(work: Iterator[Awaitable[Any]], many: int = 64) -> None:
    """All of it, some at a time."""

    async def worker() -> None:
        for one in work:
            await one

    await asyncio.gather(*(worker() for _ in range(many)))


async def fill_windows(settings: Settings, redis: "Redis") -> None:
    """More of everything than any window may hold; keyed clicks come elsewhere."""
    window, uploads = EventWindow(settings, redis), Uploads(settings, redis)
    for _ in range(70):
        await window.confirm(await window.claim([os.urandom(24) for _ in range(2000)]))

    async def upload(number: int) -> None:
        answer = os.urandom(3000)
        assert await uploads.finish(await uploads.begin(f"upload-{number}", b"body", "text/csv"), answer) == answer

    await at_once(upload(number) for number in range(1500))
    kept_max = redis_memory.entries(settings, "limits", redis_memory.LIMIT) // 2
    limiters = [
        Limiter(0.001, 5, redis, kind=kind, kept_max=kept_max, shards=settings.shards, named=str, clients_max=1)
        for kind in ("clients", "keys")
    ]
    clients = range(3 * kept_max)
    await at_once(limiter.take(f"client-{number}") for limiter in limiters for number in clients)


def keyed_clicks(many: int = 5000) -> list[KeyedClick]:
    """Clicks of one banner with ids of their own."""
    return [KeyedClick(LONG_AGO, 7, 1, os.urandom(16)) for _ in range(many)]


async def all_full(log: Log) -> dict[tuple[str, int], list[bytes]]:
    """Fill every partition; the keys of what was acknowledged."""
    return {
        (topic, partition): await append_until_full(log, topic, partition)
        for topic in redis_memory.TOPICS
        for partition in range(log.partitions)
    }


async def assert_bounded(settings: Settings, redis: "Redis") -> None:
    """Each use, by what Redis says of its keys, and all of them together."""
    patterns = {
        **{topic: [f"tallybook:{{{topic}.[0-9]*"] for topic in redis_memory.TOPICS},
        "event_ids": ["tallybook:{events.ids.*"],
        "click_ids": ["tallybook:*:ids:*"],
        "answers": ["tallybook:{events.uploads.*"],
        "limits": ["tallybook:{limits.*"],
    }
    assert patterns.keys() == redis_memory.SHARES.keys()
    for use, names in patterns.items():
        used = await taken(redis, *names)
        assert 0 < used <= redis_memory.bound(settings, use), use
    info = await redis.info("memory")
    assert info["used_memory"] < 0.85 * MEMORY


async def test_every_use_at_its_bound_leaves_clicks_their_room_and_comes_back(
    small: Settings, redis_client: "Redis"
) -> None:
    redis = connect(small)
    counter, keyed = Counter(small), Keyed(small, redis)
    counter.start()
    async with create_pool(small) as pool, chosen_log(small) as log:
        stored = await all_full(log)
        await fill_windows(small, redis)
        answers = [answer for _ in range(30) for answer in await keyed.count(keyed_clicks())]
        assert answers == [True] * 150_000
        await assert_bounded(small, redis_client)
        for part in range(10):
            await asyncio.to_thread(counter.add_many, {(LONG_AGO, 1000 * part + at): 3 for at in range(8, 1008)})
            await counter.durable()
        for _ in range(100):
            counter.add("9000001")
        await counter.durable()
        latest = keyed_clicks()
        assert await keyed.count(latest) == [True] * 5000
        assert await keyed.count(latest) == [False] * 5000  # of too many ids the latest still count once
        for (topic, partition), acknowledged in stored.items():
            found, end = await in_log(log, topic, partition)
            assert found == acknowledged
            await log.trim(topic, partition, end, 3600)  # its sink has caught up
            await log.append(topic, partition, [(b"more", bytes(KINDS[topic][0]))], producer="tests", seq=10**6)
        await Minutes(small, redis, pool).flush()
        reading = await Reader(small, redis, pool).read([7, 8, 9000001], 0, 2**32 // 60 * 60)
        counts = {banner: sum(count for _, count, _ in points) for banner, points in reading.points.items()}
        assert counts == {7: 155_000, 8: 3, 9000001: 100}
        books = await account(small, redis, pool, Fleet(small.lanes_dir))
        assert (books.difference, books.persisted) == (0, 155_000 + 30_000)
    await counter.stop(2)
    await redis.aclose()


async def test_finished_records_take_half_of_a_partition_at_most_before_their_hour_is_over(
    small: Settings, redis_client: "Redis"
) -> None:
    async with chosen_log(small) as log:
        half = redis_memory.partition_bounds(small)["events"] // 2
        acknowledged = await append_until_full(log, "events", 0)
        assert await redis_client.memory_usage(prefix("events", 0) + "log", samples=0) > half
        _, end = await in_log(log, "events", 0)
        await log.trim("events", 0, end, 3600)
        left, _ = await in_log(log, "events", 0)
        assert 0 < len(left) < len(acknowledged)
        assert left == acknowledged[-len(left) :]
        assert half / 2 < await redis_client.memory_usage(prefix("events", 0) + "log", samples=0) <= half


async def test_records_that_a_sink_still_needs_are_never_trimmed_for_their_bytes(small: Settings) -> None:
    async with chosen_log(small) as log:
        acknowledged = await append_until_full(log, "hits", 1)
        reader = log.reader("hits", 1, "tests")
        first = await reader.read(BEGIN, {}, Limit(records=5, wait_s=0))
        await log.trim("hits", 1, first.end, 3600)
        found, _ = await in_log(log, "hits", 1)
        assert found == acknowledged[-len(found) :]
        assert len(found) >= len(acknowledged) - 5


async def test_producers_that_are_gone_leave_bounded_memory_and_no_repeat_counts(
    small: Settings, redis_client: "Redis"
) -> None:
    of = prefix("hits", 0)

    async def append(log: Log, producer: str, seq: int) -> None:
        await log.append("hits", 0, [(producer.encode(), b"{}")], producer=producer, seq=seq)

    async with chosen_log(small) as log:
        for number in range(2500):
            await append(log, f"life-{number}", 1)
            if number % 500 == 0:
                await append(log, "steady", 1 + number)
        assert await redis_client.hlen(of + "seqs") + await redis_client.hlen(of + "silent") <= 2000
        assert not await redis_client.hexists(of + "seqs", "life-0")
        before = await redis_client.xlen(of + "log")
        await append(log, "steady", 2001)  # known, though it was silent for a while
        assert await redis_client.xlen(of + "log") == before
        await append(log, "life-0", 1)  # forgotten: the reader's marks know it
        found, _ = await in_log(log, "hits", 0)
        assert len(found) == 2505


async def test_a_log_of_the_former_version_is_read_and_trimmed(small: Settings, redis_client: "Redis") -> None:
    """Its records say nothing of their bytes, and its book knows none."""
    of = prefix("hits", 0)
    for number in range(1, 4):
        fields = {"k": b"%d.0" % number, "v": b"{}", "p": "former", "s": number, "i": 0, "n": number}
        await redis_client.xadd(of + "log", fields)
    await redis_client.hset(of + "book", "appended", 3)
    async with chosen_log(small) as log:
        await log.append("hits", 0, [(b"4.0", b"{}")], producer="tests", seq=1)
        found, end = await in_log(log, "hits", 0)
        assert found == [b"1.0", b"2.0", b"3.0", b"4.0"]
        await log.trim("hits", 0, end, -1)
        assert await redis_client.hmget(of + "book", "appended", "bytes", "gone") == [b"4", b"107", b"107"]


@pytest.mark.parametrize("others", [1, 150])
async def test_records_of_another_program_at_the_front_keep_nobody_out(redis_client: "Redis", others: int) -> None:
    """They have no number and no bytes of their own; the next own record says what has left."""
    log, of, seq = StreamsLog(redis_client, 1, 10_000, bytes_max={"hits": 50_000}), prefix("hits", 0), 0

    async def fill() -> int:
        nonlocal seq
        for number in range(1_000):
            try:
                await log.append("hits", 0, [(b"", bytes(1000))], producer="tests", seq=seq + 1)
            except LogFull:
                return number
            seq += 1
        raise AssertionError("it is never full")

    async def trim_before(entry_id: bytes) -> None:
        await log.trim("hits", 0, Position(*map(int, entry_id.split(b"-"))), -1)

    try:
        most = await fill()
        foreign = [await redis_client.xadd(of + "log", {"b": "foreign"}) for _ in range(others)]
        await trim_before(foreign[0])
        assert await redis_client.hget(of + "book", "gone") == await redis_client.hget(of + "book", "bytes")
        assert await fill() == most
        last = [await redis_client.xadd(of + "log", {"v": "foreign"}) for _ in range(3)]
        await trim_before(last[0])
        assert await fill() == most
        await trim_before(last[1])  # own ones stay behind the first that is left
        (own,) = await redis_client.xrange(of + "log", f"({last[2].decode()}", count=1)
        assert await redis_client.hget(of + "book", "gone") == own[1][b"b"]
        assert await fill() == 0
    finally:
        await redis_client.flushall()


@pytest.mark.parametrize(
    "fields",
    [{"v": "foreign"}, {"k": "", "v": "", "p": "former", "s": 1, "i": 0, "n": 1}],
    ids=["another program", "the former version"],
)
async def test_finished_records_without_bytes_are_kept_for_their_hour(
    redis_client: "Redis", fields: dict[Any, Any]
) -> None:
    log, of = StreamsLog(redis_client, 1, 10_000), prefix("hits", 0)
    try:
        await redis_client.xadd(of + "log", fields, id=f"{int(time.time() * 1000) - 60_000}-0")
        if "n" in fields:
            await redis_client.hset(of + "book", "appended", 1)
        await log.append("hits", 0, [(b"own", b"")], producer="tests", seq=1)
        end = await log.end("hits", 0)
        await log.trim("hits", 0, end, 3600)
        assert await redis_client.xlen(of + "log") == 2
        await log.trim("hits", 0, end, 30)
        assert await redis_client.xlen(of + "log") == 1
        await log.trim("hits", 0, end, -1)
        assert await redis_client.hget(of + "book", "gone") == await redis_client.hget(of + "book", "bytes")
    finally:
        await redis_client.flushall()


async def test_39_000_hits_of_8_kb_fill_no_redis(redis_client: "Redis", settings: Callable[..., Settings]) -> None:
    """As many as come while no sink stores any; with the memory of the defaults."""
    chosen, value, acknowledged = settings(), os.urandom(8 << 10), [0] * 4
    async with chosen_log(chosen) as log:
        for number in range(650):
            partition = number % log.partitions
            with suppress(LogFull):
                records = [(b"", value)] * 60
                await log.append("hits", partition, records, producer="tests", seq=number + 1)
                acknowledged[partition] += 60
        assert await taken(redis_client, "tallybook:{hits.*") <= redis_memory.bound(chosen, "hits")
        assert [len((await in_log(log, "hits", partition))[0]) for partition in range(4)] == acknowledged
        assert 4000 < sum(acknowledged) < 39_000


async def test_events_uploaded_to_an_idle_stack_leave_bounded_memory(
    tmp_path: Path,
    redis_url: str,
    redis_client: "Redis",
    database: str,
    clickhouse_settings: Settings,
    tables: ClickHouse,
) -> None:
    more = {"redis_memory_bytes": MEMORY}
    async with event_stage(tmp_path, redis_url, database, clickhouse_settings, tables, **more) as stage:
        chosen = Settings(redis_url=redis_url, log_partitions=stage.settings.log_partitions, redis_memory_bytes=MEMORY)
        async with chosen_log(chosen) as log, stage.sink():
            cursors = Cursors(stage.pool, log.name, "tests", 1.5)
            for _ in range(12):
                events = [event(properties={"text": os.urandom(60).hex()}) for _ in range(5000)]
                while (answer := await stage.send(*events)).status_code == 503:
                    assert (answer.json()["code"], answer.headers["retry-after"]) == ("log_full", "1")
                    await Trimmer(log, cursors).trim("events")
                assert answer.status_code == 202
                await Trimmer(log, cursors).trim("events")
            await stage.drained()
            await Trimmer(log, cursors).trim("events")
        assert await tables.query("SELECT count() FROM events FINAL") == [(60_000,)]
        left = await taken(redis_client, "tallybook:{events.[0-9]*")
        assert left <= redis_memory.bound(chosen, "events") / 2 + 64 * 1024


async def test_the_metrics_say_what_each_use_takes_and_may_take(small: Settings, redis_client: "Redis") -> None:
    async with chosen_log(small) as log, redis_uses(small, redis_client) as report:
        await append_until_full(log, "hits", 0)
        await EventWindow(small, redis_client).claim([os.urandom(24) for _ in range(100)])
        await Keyed(small, redis_client).count(keyed_clicks(50))
        await Uploads(small, redis_client).begin("one", b"body", "text/csv")
        await Limiter(1.0, 5, redis_client).take("192.0.2.1")
        await report()

    def shown(metric: Any) -> dict[str, float]:
        return {sample.labels["use"]: sample.value for family in metric.collect() for sample in family.samples}

    used, bounds = shown(REDIS_USED), shown(REDIS_BOUND)
    assert bounds == {use: redis_memory.bound(small, use) for use in redis_memory.SHARES} | {"total": MEMORY}
    assert 0.75 < used["hits"] / (bounds["hits"] / 4) <= 1
    assert used["events"] == used["page_views"] == 0
    expected = {"event_ids": 100 * redis_memory.EVENT_ID, "click_ids": 50 * redis_memory.CLICK_ID}
    expected |= {"answers": redis_memory.ANSWER, "limits": redis_memory.LIMIT}
    assert {use: used[use] for use in expected} == expected
    assert used["hits"] < used["total"] < MEMORY


@pytest.mark.parametrize("shards", [1, 64])
async def test_of_too_many_ids_of_clicks_the_latest_half_is_known(
    redis_client: "Redis", settings: Callable[..., Settings], shards: int
) -> None:
    chosen = settings(redis_memory_bytes=MEMORY, shards=shards)
    keyed, most = Keyed(chosen, redis_client), redis_memory.bound(chosen, "click_ids") // redis_memory.CLICK_ID
    first, *others = [keyed_clicks() for _ in range(most // 5000 + 2)]
    for clicks in [first, *others]:
        assert all(await keyed.count(clicks))
    sizes = [
        await redis_client.scard(f"{keys.prefix(shard)}ids:{half}")
        for shard in range(shards)
        for half in ("now", "former")
    ]
    assert sum(sizes) <= most
    latest: Sequence[list[KeyedClick]] = others[-(most // 5000 // 4) :]
    for clicks in latest:
        assert not any(await keyed.count(clicks))
    assert all(await keyed.count(first))  # forgotten
