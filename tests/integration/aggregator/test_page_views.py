"""Page views: every message in one place, once, and the sums equal to the event, whatever dies in between."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from aggregator.sink.batch_policy import Policy
from aggregator.sink.configured_pipelines import PAGE_VIEWS
from aggregator.sink.partition import Partition
from aggregator.sink.pipelines import Pipeline
from aggregator.sink.repeated_events import repeats
from shared.record_log import dead_letters
from shared.record_log.accounting import account
from shared.record_log.record_log import Batch, Position
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import create_pool
from tests.harness.subjects.page_stage import POLICY, TOPIC, Stage
from tests.harness.subjects.pages import HOUR_MS, MINUTE_MS, Sent, faulty, generate, view
from tests.harness.subjects.sink_mutants import done_before_insert, random_token
from tests.harness.wait import PATIENCE_S, until

pytestmark = pytest.mark.usefixtures("quiet", "hurried")

PARTITIONS = 3
POINTS = ("cut", "intended", "inserted", "recorded")


@pytest.fixture
async def stage(redis_client: "Redis", database: str, clickhouse_settings: Settings) -> AsyncIterator[Stage]:
    settings = msgspec.structs.replace(clickhouse_settings, database_url=database)
    async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        one = Stage(StreamsLog(redis_client, PARTITIONS, 1_000_000), pool, tables)
        yield one
        await one.close()


def now_ms() -> int:
    return int(time.time() * 1000)


# -- the ledger --------------------------------------------------------------------------------------------------------


@pytest.mark.every_engine
async def test_rows_minutes_hours_and_dead_letters_are_equal_to_what_was_sent(stage: Stage) -> None:
    sent = generate(1, 3000, now_ms())
    assert {one.kind for one in sent} == {"view", "repeat", *PAGE_VIEWS.reasons[:-1]}
    for begin in range(0, len(sent), 500):
        await stage.append(sent[begin : begin + 500])
    stage.sink()
    stage.sink()
    await stage.drained()
    await stage.check()
    await stage.tables.execute("OPTIMIZE TABLE page_views_agg_minute FINAL")
    await stage.tables.execute("OPTIMIZE TABLE page_views_agg_hour FINAL")
    await stage.check()


@pytest.mark.every_engine
async def test_every_column_of_a_row(stage: Stage) -> None:
    ms = now_ms() // 1000 * 1000 + 7
    full = view("/ä", 'u"', ms, 12, is_bounce=True, user_agent="x" * 2000, ip_address="203.0.113.9", region="DE-BE")
    bare = view("/b", "u", ms, 0)
    await stage.append([full, bare])
    stage.sink()
    await stage.drained()
    rows = await stage.tables.query(
        "SELECT event_date = toDate(event_time), toUnixTimestamp64Milli(event_time), user_id, duration_ms,"
        " length(user_agent), toString(ip_address), region, is_bounce, kafka_partition = log_partition,"
        " kafka_offset = log_offset, toUnixTimestamp64Milli(processed_time) = log_offset"
        " FROM page_views_raw ORDER BY page_id"
    )
    assert list(rows) == [
        (1, ms, "u", 0, 0, "::", "", False, 1, 1, 1),
        (1, ms, 'u"', 12, 1024, "::ffff:203.0.113.9", "DE-BE", True, 1, 1, 1),
    ]


async def test_a_late_event_lands_in_its_own_minute(stage: Stage) -> None:
    hour = now_ms() // HOUR_MS * HOUR_MS - 5 * HOUR_MS
    await stage.append([view("/a", "one", hour + MINUTE_MS)])
    stage.sink()
    await stage.drained()
    await stage.append([view("/a", "one", hour + 2 * MINUTE_MS - 1), view("/a", "two", hour + 2 * MINUTE_MS)])
    await stage.drained()
    await stage.check()
    assert [bucket[:1] for _, bucket in sorted((await stage.sums("minute")).items())] == [(2,), (1,)]
    assert [bucket.users for bucket in (await stage.sums("hour")).values()] == [2]


@pytest.mark.every_engine
async def test_hours_stay_exact_when_their_minutes_have_expired(stage: Stage) -> None:
    old = now_ms() - 8 * 86_400_000
    await stage.append([view("/a", f"u{n % 7}", old + n, n) for n in range(50)])
    stage.sink()
    await stage.drained()
    await stage.append([view("/a", "late", old + 60, 1)])
    await stage.drained()
    await stage.tables.execute("ALTER TABLE page_views_agg_minute MATERIALIZE TTL SETTINGS mutations_sync = 2")
    await stage.tables.execute("OPTIMIZE TABLE page_views_agg_minute FINAL")
    assert await stage.sums("minute") == {}
    assert [tuple(one) for one in (await stage.sums("hour")).values()] == [(51, 0, sum(range(50)) + 1, 8)]


@pytest.mark.parametrize(
    ("ms", "kind"),
    [
        (-30 * 86_400_000 + 60_000, "view"),
        (-30 * 86_400_000 - 60_000, "time_out_of_range"),
        (86_400_000 - 60_000, "view"),
        (86_400_000 + 60_000, "time_out_of_range"),
    ],
)
async def test_a_time_is_compared_with_the_time_of_the_log(stage: Stage, ms: int, kind: str) -> None:
    await stage.append([view(ms=now_ms() + ms)._replace(kind=kind)])
    stage.sink()
    await stage.drained()
    letters = await dead_letters.listed(stage.pool, 10)
    assert [one.reason for one in letters] == [kind] * (kind != "view")


async def test_poison_is_refused_before_clickhouse_is_asked(stage: Stage) -> None:
    values = [
        b"",
        b"null",
        b"[1]",
        b"\xff{",
        b"[" * 100_000,
        view(ip_address="203.0.113.999").value,
        view(ip_address="::1\0").value,
        view(duration=2**32).value,
        view(page="x" * 513).value,
        view(user="").value,
        view().value.replace(b"Z", b""),
        view(region="x" * 65).value,
    ]
    await stage.append([*(Sent("", b"k", value) for value in values), view()])
    stage.sink()
    await stage.drained()
    letters = await dead_letters.listed(stage.pool, 100)
    assert {one.value: one.reason for one in letters} == {
        value: "malformed" if number in (0, 3) else "columns" for number, value in enumerate(values)
    }
    assert await stage.tables.query("SELECT count() FROM page_views_raw") == [(1,)]


async def test_a_dead_letter_that_is_replayed_is_a_view_once(stage: Stage) -> None:
    """What refused it has been mended: here, a table that had a constraint."""
    await stage.tables.execute("ALTER TABLE page_views_raw ADD CONSTRAINT short CHECK duration_ms < 100")
    await stage.append([view(duration=5), view("/long", duration=500)])
    sink = stage.sink()
    await stage.drained()
    (letter,) = await dead_letters.listed(stage.pool, 10)
    assert letter.reason == "469"
    await stage.tables.execute("ALTER TABLE page_views_raw DROP CONSTRAINT short")
    async with stage.pool.acquire() as connection:
        assert await dead_letters.replay(connection, stage.log, letter.place)
        assert not await dead_letters.replay(connection, stage.log, letter.place)

    async def is_stored() -> bool:
        return await stage.tables.query("SELECT count() FROM page_views_raw") == [(2,)]

    await until(is_stored, "the letter is a row")
    await sink.stop()
    stage.sinks.clear()
    assert sum(bucket.views for bucket in (await stage.sums("hour")).values()) == 2


# -- policies ----------------------------------------------------------------------------------------------------------


async def _inserted(stage: Stage, policy: Policy, sent: list[Sent]) -> list[int]:
    """Rows of each insert of one sink, when nothing more comes of what was appended."""
    inserted = list[int]()

    class Noted(Pipeline):
        """The same as PAGE_VIEWS."""

        __slots__ = ()

        async def insert(self, clickhouse: ClickHouse, lines: Any, token: str) -> None:
            await super().insert(clickhouse, lines, token)
            inserted.append(len(lines))

    await stage.append(sent)
    stage.sink(Noted(*PAGE_VIEWS), policy)
    return inserted


def _of_one_page(count: int) -> list[Sent]:
    return [view("/a", f"u{n}") for n in range(count)]


async def test_by_number_only_full_batches_are_stored(stage: Stage) -> None:
    inserted = await _inserted(stage, Policy("batch", 100, 0.01), _of_one_page(250))

    async def are_two() -> bool:
        return len(inserted) == 2

    await until(are_two, "two full batches")
    await asyncio.sleep(0.3)  # fifty times what the other policies wait
    assert inserted == [100, 100]
    await stage.append(_of_one_page(50))
    await stage.drained()
    assert inserted == [100, 100, 100]
    await stage.append(_of_one_page(1))
    await stage.close()  # which does not wait for the batch to be full
    assert inserted == [100, 100, 100]
    stage.sink()
    await stage.drained()
    await stage.check()


async def test_by_time_whatever_has_come_is_stored(stage: Stage) -> None:
    inserted = await _inserted(stage, Policy("time", 100, 0.2), _of_one_page(1250))
    await stage.drained()
    assert inserted == [1250]
    await stage.append(_of_one_page(3))
    await stage.drained()
    assert inserted == [1250, 3]
    await stage.check()


async def test_hybrid_is_whatever_comes_first(stage: Stage) -> None:
    inserted = await _inserted(stage, Policy("hybrid", 100, 0.2), _of_one_page(250))
    await stage.drained()
    assert inserted == [100, 100, 50]
    await stage.check()


# -- once --------------------------------------------------------------------------------------------------------------


async def attacked(stage: Stage, crash: Callable[[str, int], asyncio.Event], pipeline: Any = PAGE_VIEWS) -> None:
    """Sinks die at every point, and successors that cut otherwise take over."""
    for seed, (at, point) in enumerate(itertools.product((1, 3), POINTS)):
        await stage.append(generate(seed, 900, now_ms()))
        died = crash(point, at)
        sink = stage.sink(pipeline)
        await asyncio.wait_for(died.wait(), PATIENCE_S)
        await stage.kill(sink)
        await stage.append(generate(100 + seed, 100, now_ms()))
        crash("nowhere", 0)
        successor = stage.sink(pipeline, POLICY._replace(records=130))
        await stage.drained()
        await stage.kill(successor)
    await stage.check(without_repeats=pipeline.repeats is not None)


async def test_a_consumer_that_dies_at_any_point_loses_and_doubles_nothing(
    stage: Stage, crash: Callable[[str, int], asyncio.Event]
) -> None:
    await attacked(stage, crash)


async def test_repeats_of_an_event_are_left_out_when_that_is_switched_on(
    stage: Stage, crash: Callable[[str, int], asyncio.Event]
) -> None:
    await attacked(stage, crash, PAGE_VIEWS._replace(repeats=repeats))


async def test_the_same_event_under_another_user_page_or_time_is_no_repeat(stage: Stage) -> None:
    ms = now_ms()
    sent = [view("/a", "u", ms), view("/a", "v", ms), view("/a", "u", ms + 1), view("/b", "u", ms)]
    await stage.append(sent)
    stage.sink(PAGE_VIEWS._replace(repeats=repeats))
    await stage.drained()
    await stage.append([one._replace(kind="repeat") for one in sent])
    await stage.append([faulty("malformed", view()), view("/a", "w", ms)])
    await stage.drained()
    await stage.check(without_repeats=True)


async def test_at_least_once_loses_nothing_and_doubles_at_most_the_batches_of_a_kill(
    stage: Stage, crash: Callable[[str, int], asyncio.Event]
) -> None:
    pipeline = PAGE_VIEWS._replace(delivery="at_least_once")
    await stage.append([view("/a", f"u{n}") for n in range(450)])
    died = crash("inserted", 2)
    sink = stage.sink(pipeline)
    await asyncio.wait_for(died.wait(), PATIENCE_S)
    await stage.kill(sink)
    assert await stage.pool.fetchval("SELECT count(pending_rows) FROM sink_cursor") == 0
    crash("nowhere", 0)
    stage.sink(pipeline, POLICY._replace(records=130))
    await stage.drained()
    [[rows, users]] = await stage.tables.query("SELECT count(), uniqExact(user_id) FROM page_views_raw")
    assert (rows, users) == (550, 450)


def _cut_anew_on_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pending is read as far as it comes now."""

    async def replay(self: Any, pending: Any) -> None:
        self._claim = self._claim._replace(pending=None)
        batch = await self._read()
        await self._store(batch)

    monkeypatch.setattr(Partition, "_replay", replay)


def _marks_as_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats are whatever is in the table, the rows of this batch as well."""
    from aggregator.sink import repeated_events as module

    known = module._known

    async def anything(tables: Any, partition: int, start: Position, events: Any) -> Any:
        return await known(tables, partition, Position(2**62), events)

    monkeypatch.setattr(module, "_known", anything)


@pytest.mark.parametrize(
    "mutant", [random_token, _cut_anew_on_replay, done_before_insert, _marks_as_seen], ids=lambda one: one.__name__
)
async def test_a_mutant_is_caught(
    stage: Stage,
    crash: Callable[[str, int], asyncio.Event],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutant(monkeypatch)
    pipeline = PAGE_VIEWS._replace(repeats=repeats) if mutant is _marks_as_seen else PAGE_VIEWS
    with pytest.raises(AssertionError):
        await attacked(stage, crash, pipeline)


# -- two consumers, and a store that is away ---------------------------------------------------------------------------


async def test_partitions_move_between_two_consumers_while_messages_come(stage: Stage) -> None:
    stage.sink()
    for number in range(6):
        await stage.append(generate(number, 400, now_ms()))
        if number % 2:
            await stage.sinks.pop(0).stop()
        else:
            stage.sink(policy=POLICY._replace(records=130))
        await asyncio.sleep(0.2)
    await stage.drained()
    await stage.check()


async def test_a_long_outage_pauses_the_reading_and_ends_by_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read and not stored stays within two batches of each partition, however much waits."""
    read = list[int]()
    reader = stage.log.reader

    def counting(topic: str, partition: int, sink: str) -> Any:
        one: Any = reader(topic, partition, sink)
        wrapped = one.read

        async def reads(*arguments: Any) -> Batch:
            batch: Batch = await wrapped(*arguments)
            read.append(len(batch.records))
            return batch

        one.read = reads
        return one

    monkeypatch.setattr(stage.log, "reader", counting)
    await stage.tables.execute("RENAME TABLE page_views_raw TO away")
    await stage.append(generate(1, 3000, now_ms()))
    stage.sink()

    async def waits() -> bool:
        return bool(await stage.pool.fetchval("SELECT count(trouble) = 3 FROM sink_cursor"))

    await until(waits, "all partitions say that they wait")
    await asyncio.sleep(0.5)
    assert sum(read) <= PARTITIONS * 2 * POLICY.records
    taken = await account(stage.log, stage.pool, PAGE_VIEWS)
    assert (taken.stored, taken.in_flight) == (0, 3000)
    await stage.tables.execute("RENAME TABLE away TO page_views_raw")
    await stage.drained()
    await stage.check()


async def test_the_topic_is_named_as_the_pipeline_has_it() -> None:
    assert PAGE_VIEWS.topic == TOPIC
