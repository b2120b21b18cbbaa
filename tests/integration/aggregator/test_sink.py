"""From the log into ClickHouse: every record in one place, once, whatever dies, answers nothing or refuses."""

import asyncio
import itertools
import json
import os
import random
import re
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from redis.asyncio import Redis

from aggregator.delivery import engine
from aggregator.sink import audit, hits
from aggregator.sink.configured_pipelines import PIPELINES
from aggregator.sink.partition import Partition, Stores
from aggregator.sink.pipelines import Pipeline, Rows
from aggregator.sink.sink import Sink
from ingest.http.health import Probe
from shared import addresses
from shared.errors import LogUnavailable, PostgresUnavailable, TooLarge
from shared.events.rows import PLACE, sized
from shared.hit import id_bytes, packed
from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.record_log import dead_letters
from shared.record_log.accounting import TableAccount, account, accounts
from shared.record_log.cursors import Cursors, OwnershipLost
from shared.record_log.deduplication import Sieve
from shared.record_log.journal import Append, Journal
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.record_log.orphaned_journals import Orphans
from shared.record_log.partition_share import Share
from shared.record_log.record_log import Limit, Log, Position
from shared.record_log.streams import StreamsLog, prefix
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import create_pool
from shared.stores.redis_client import connect as connect_redis
from tallybook.cli import main
from tallybook.exits import Exit
from tests.harness.kafka.broker import kafka
from tests.harness.process import ROOT
from tests.harness.proxy import Proxy, behind, trouble
from tests.harness.services import with_user
from tests.harness.subjects.gateway import Gateway
from tests.harness.subjects.sink_mutants import by_the_first_alone, done_before_insert, random_token
from tests.harness.subjects.sinks import LEASE_S, Sinks
from tests.harness.wait import PATIENCE_S, until

pytestmark = pytest.mark.usefixtures("quiet", "hurried")

PIPELINE = PIPELINES[0]

_ids = itertools.count(1)


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


def packed_hit(**fields: Any) -> tuple[bytes, bytes]:
    """The same as workers write it."""
    row = json.loads(hit(**fields)[1])
    moment = datetime.fromisoformat(row["date_time"]).replace(tzinfo=UTC)
    user, tracker = (id_bytes(uuid.UUID(row[name]).bytes) for name in ("user_id", "tracker_id"))
    texts = b"".join(sized(row[name].encode()) for name in ("user_agent", "url", "value"))
    epoch_ms, ip = round(moment.timestamp() * 1000), addresses.packed(row["ip"])
    return b"", packed(epoch_ms, ip, tracker, user, uuid.UUID(row["event_id"]).int, texts, is_bot=row["is_bot"])


def either() -> tuple[bytes, bytes]:
    """One of both, by chance."""
    return random.choice((hit, packed_hit))()


class Stage(Sinks):
    """Real stores, the records that were appended, and sinks that can be killed."""

    def __init__(self, log: Log, settings: Settings, pool: Any, tables: ClickHouse) -> None:
        super().__init__(pool)
        self.log, self.settings, self.tables = log, settings, tables
        self.appended: list[bytes] = []
        self._seqs: Counter[int] = Counter()
        self._owners = itertools.count()

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
        return self.run(Sink(Stores(**{**made, **stores}), pipeline))

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
        assert taken.difference == 0


def readable(value: bytes) -> Any:
    """The record, if it is one."""
    with suppress(ValueError):
        one = json.loads(hits.shown(value))
        return one if isinstance(one, dict) and "event_id" in one else None
    return None


@pytest.fixture
async def stage(redis_client: "Redis", database: str, clickhouse_settings: Settings) -> AsyncIterator[Stage]:
    settings = msgspec.structs.replace(clickhouse_settings, database_url=database)
    async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        one = Stage(StreamsLog(redis_client, 2, 1_000_000), settings, pool, tables)
        yield one
        await one.close()


# -- once --------------------------------------------------------------------------------------------------------------


@pytest.mark.every_engine
async def test_every_record_becomes_a_row_with_its_place(stage: Stage) -> None:
    stage.sink()
    for make in (hit, packed_hit, either):
        for partition in (0, 1):
            for _ in range(3):
                await stage.append(*(make() for _ in range(7)), partition=partition)
        await stage.drained()
    await stage.check()
    rows = await stage.tables.query(
        "SELECT * EXCEPT (event_id, log_partition, log_offset, log_seq) FROM tracker_events"
    )
    assert len(rows) == 126
    [row] = set(map(tuple, rows))  # one form is as good as the other
    assert [str(value) for value in row[:3]] == ["2026-11-21", "2026-11-21 10:00:00.123000", str(uuid.UUID(int=7))]
    assert row[3:5] == (IPv6Address("::ffff:203.0.113.9"), uuid.UUID(int=1))
    assert row[5:] == ('Mozilla/5.0 "ä"', "https://example.org/}", "{}\\\n", False)
    keys = await stage.tables.query("SELECT log_partition, count() FROM tracker_events GROUP BY 1 ORDER BY 1")
    assert keys == [(0, 63), (1, 63)]


async def test_what_waits_in_a_journal_is_in_the_accounts(stage: Stage, tmp_path: Path) -> None:
    stage.sink()
    await stage.append(hit(), hit(), (b"", b"no json"))
    await stage.drained()
    journal = Journal.create(tmp_path, "waits", 1 << 20)
    journal.write([Append("hits", 0, "waits", 1, [hit()] * 4), Append("others", 0, "waits", 2, [hit()])])
    taken = await accounts(stage.log, stage.pool, tmp_path)
    assert taken == {PIPELINE.table: TableAccount(7, 2, 0, 1, 0, 0, 4, 0)}
    journal.clear()
    journal.close()
    with pytest.raises(LogUnavailable):
        await accounts(StreamsLog(Redis.from_url("unix:///nowhere"), 2, 1_000_000), stage.pool, tmp_path)
    async with create_pool(Settings(database_url="postgresql://a@/b?host=/nowhere")) as pool:
        with pytest.raises(PostgresUnavailable):
            await accounts(stage.log, pool, tmp_path)


async def test_a_batch_is_cut_by_time_when_little_comes(stage: Stage) -> None:
    stage.sink(records=1000)
    await stage.append(hit())
    await stage.drained()
    await stage.check()


async def repeated(stage: Stage, redis_client: "Redis") -> None:
    """An append of several hits comes again, to a Redis that has forgotten it."""
    stage.sink()
    first = [packed_hit() for _ in range(5)]
    await stage.append(*first)
    await stage.drained()
    await redis_client.hdel("tallybook:{hits.0}:seqs", "tests")
    await stage.log.append("hits", 0, first, producer="tests", seq=1)
    await stage.append(packed_hit())
    await until(lambda: _is_at_rest(stage, PIPELINE, 11))
    rows = await stage.tables.query("SELECT count(), uniqExact(event_id) FROM tracker_events")
    assert rows == [(6, 6)]
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.accepted, taken.stored, taken.skipped, taken.difference) == (11, 6, 5, 0)


async def test_repeats_of_a_producer_are_stored_once(stage: Stage, redis_client: "Redis") -> None:
    await repeated(stage, redis_client)


async def test_a_mutant_that_knows_an_entry_by_its_first_hit_alone_is_caught(
    stage: Stage, redis_client: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sieve, "repeats", by_the_first_alone(Sieve.repeats))
    with pytest.raises(AssertionError):
        await repeated(stage, redis_client)


# -- crash points ------------------------------------------------------------------------------------------------------

POINTS = ("cut", "intended", "inserted", "recorded")


async def attacked(stage: Stage, crash: Callable[[str, int], asyncio.Event]) -> None:
    """A sink dies at every point, in its first batch and in a later one; more comes; another one, which would cut
    otherwise, takes over."""
    for at, point in itertools.product((1, 3), POINTS):
        make = packed_hit if at == 1 else either
        await stage.append(*(make() for _ in range(35)))
        died = crash(point, at)
        sink = stage.sink(records=10)
        await asyncio.wait_for(died.wait(), PATIENCE_S)
        await stage.kill(sink)
        await stage.append(*(make() for _ in range(10)))
        crash("nowhere", 0)
        successor = stage.sink(records=17)
        await stage.drained()
        await stage.kill(successor)
    await stage.check()


async def test_a_sink_that_dies_at_any_point_loses_and_doubles_nothing(
    stage: Stage, crash: Callable[[str, int], asyncio.Event]
) -> None:
    await attacked(stage, crash)


async def test_an_aggregator_that_is_killed_at_any_point_again_and_again(
    stage: Stage, redis_url: str, database: str, tmp_path: Path
) -> None:
    """The real process, and a real kill -9."""
    environ = {
        **os.environ,
        "TALLYBOOK_DATA_DIR": str(tmp_path),
        "TALLYBOOK_REDIS_URL": redis_url,
        "TALLYBOOK_DATABASE_URL": database,
        "TALLYBOOK_CLICKHOUSE_URL": stage.settings.clickhouse_url or "",
        "TALLYBOOK_LOG_PARTITIONS": "2",
        "TALLYBOOK_TEST_SINK_ROWS": "50",
        "TALLYBOOK_CRASH": ",".join(f"{point}=0.04" for point in POINTS),
    }
    for number in range(20):
        await stage.append(*(hit() for _ in range(100)), (b"", b"no json"), partition=number % 2)
    died: Counter[bytes] = Counter()
    while not died or not await stage._is_drained():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aggregator"), cwd=ROOT, env=environ, stderr=asyncio.subprocess.PIPE
        )
        waiting = asyncio.create_task(process.communicate())
        while not waiting.done() and not await stage._is_drained():
            await asyncio.wait([waiting], timeout=0.1)
        if not waiting.done():
            process.terminate()
        _, errors = await waiting
        died.update(re.findall(rb"^crash_point (\w+)$", errors, re.MULTILINE))
        assert process.returncode in (0, -signal.SIGKILL), errors[-2000:]
        await stage.end_leases()
        if not died and await stage._is_drained():
            await stage.append(*(hit() for _ in range(500)))
    await stage.check(dead=20)


def _no_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on its way is cut anew."""

    async def intend(self: Any, rows: Rows) -> None:
        """Nothing is noted."""

    monkeypatch.setattr(Partition, "intend", intend)


def _ordinal_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place of a row says nothing of its number in the entry."""

    class Place:
        @staticmethod
        def pack(partition: int, offset: int, _: int) -> bytes:
            return PLACE.pack(partition, offset, 0)

    monkeypatch.setattr(hits, "PLACE", Place)


@pytest.mark.parametrize(
    "mutant",
    [random_token, _no_intent, done_before_insert, _ordinal_left_out],
    ids=lambda one: one.__name__,
)
async def test_a_mutant_is_caught(
    stage: Stage,
    crash: Callable[[str, int], asyncio.Event],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        await attacked(stage, crash)


# -- lost replies and stores that go away ------------------------------------------------------------------------------


async def troubled(stage: Stage, between: Proxy, sink: Sink) -> None:
    """Everything is stored once, though replies are lost and the server goes away."""
    await trouble(between, lambda: stage.append(*(hit() for _ in range(20))))
    await stage.drained()
    await stage.check()


async def test_lost_replies_of_redis(stage: Stage, redis_url: str) -> None:
    async with behind(redis_url, 6379) as (between, url):
        redis = connect_redis(Settings(redis_url=url, redis_timeout_s=0.3))
        await troubled(stage, between, stage.sink(log=StreamsLog(redis, 2, 1_000_000)))
        await stage.close()
        stage.sinks.clear()
        await redis.aclose()


async def test_lost_replies_of_postgres(stage: Stage, database: str) -> None:
    async with behind(database, 5432) as (between, url):
        pool = create_pool(Settings(database_url=url, postgres_timeout_s=0.4))
        async with pool:
            await troubled(stage, between, stage.sink(pool=pool))
            await stage.close()
            stage.sinks.clear()


async def test_lost_replies_of_clickhouse(stage: Stage) -> None:
    async with behind(stage.settings.clickhouse_url or "", 8123) as (between, url):
        hasty = msgspec.structs.replace(stage.settings, clickhouse_url=url, clickhouse_timeout_s=1.0)
        async with clickhouse.connect(hasty) as tables:
            await troubled(stage, between, stage.sink(clickhouse=tables))
            await stage.close()
            stage.sinks.clear()


async def test_an_engine_that_is_killed_in_the_middle_of_a_batch(
    stage: Stage, servers_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(servers_folder / "killed")
    gateway.start()
    try:
        settings = gateway.settings("tallybook", clickhouse_timeout_s=5.0)
        await migrate_clickhouse(settings)
        async with clickhouse.connect(settings) as tables:
            stage.tables = tables
            inserting = asyncio.Event()
            insert = tables.insert

            async def noted(*arguments: Any) -> None:
                inserting.set()
                await insert(*arguments)

            monkeypatch.setattr(tables, "insert", noted)
            for _ in range(10):
                await stage.append(*(hit() for _ in range(1000)))
            stage.sink(records=500)
            for pause_s in (0.0, 0.01, 0.02):
                inserting.clear()
                await asyncio.wait_for(inserting.wait(), PATIENCE_S)
                await asyncio.sleep(pause_s)
                gateway.signal(signal.SIGKILL)
                await asyncio.to_thread(gateway.start)
            await stage.drained()
            await stage.check()
            await stage.close()
            stage.sinks.clear()
    finally:
        gateway.close()


# -- rows that can never be stored -------------------------------------------------------------------------------------


async def test_i8_poison_alone_goes_to_the_dead_letters(stage: Stage) -> None:
    good = [hit() for _ in range(200)]
    bad = {
        7: hit(date="yesterday"),
        8: hit(event_id="x"),
        60: (b"k", b"{not json"),
        61: hit(more=1),
        62: (b"", b""),
        100: (b"\x00", b'{"date": "\x00\xff"}'),
        101: hit(log_offset=5),
        150: hit(ip="203.0.113.999"),
        199: hit(date_time="x\x00"),
    }
    for number, one in bad.items():
        good[number] = one
    await stage.append(*good[:120])
    await stage.append(*good[120:])
    stage.sink(records=64)
    await stage.drained()
    rows = await stage.tables.query("SELECT count(), uniqExact(log_offset, log_seq) FROM tracker_events")
    assert rows == [(200 - len(bad),) * 2]
    letters = await dead_letters.listed(stage.pool, 100)
    assert sorted(letter.value or b"" for letter in letters) == sorted(value for _, value in bad.values())
    assert sorted(letter.reason for letter in letters) == [
        *("376", "38", "41", "676"),
        *("columns", "columns", "malformed", "malformed", "malformed"),
    ]
    assert all(letter.detail for letter in letters)
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.stored, taken.dead_lettered, taken.difference) == (191, 9, 0)


async def test_of_the_hits_of_an_entry_only_those_that_can_be_no_row_become_letters(stage: Stage) -> None:
    """Damaged ones by themselves, and those that only ClickHouse refuses; what is mended comes once."""
    await stage.tables.execute("ALTER TABLE tracker_events ADD CONSTRAINT named CHECK value != 'bad'")
    records = [packed_hit(value="bad" if number in (3, 40, 41) else "good") for number in range(60)]
    whole = records[20][1]
    damaged = [whole[:-1], whole + b"x", whole[:80], b"\x01", whole[:-6] + b"\xff\xff\xff\xff\x7fx"]
    await stage.append(*records[:30], *((b"", one) for one in damaged), *records[30:])
    await stage.append(*(packed_hit(value="good") for _ in range(20)))
    stage.sink(records=1000)
    await stage.drained()
    letters = await dead_letters.listed(stage.pool, 100)
    assert len({letter.place for letter in letters}) == len(damaged) + 3
    assert sorted(one.value or b"" for one in letters if one.reason == "malformed") == sorted(damaged)
    refused = {str(one.place): json.loads(one.value or b"") for one in letters if one.reason == "469"}
    assert refused.keys() == {str(one.place) for one in letters if one.reason != "malformed"}
    assert {one["value"] for one in refused.values()} == {"bad"}
    rows = await stage.tables.query(
        "SELECT count(), uniqExact(event_id), uniqExact(log_offset, log_seq) FROM tracker_events"
    )
    assert rows == [(77, 77, 77)]
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.accepted, taken.stored, taken.dead_lettered, taken.difference) == (85, 77, 8, 0)
    async with stage.pool.acquire() as connection:
        for place, record in refused.items():
            mended = json.dumps(record | {"value": "good"}).encode()
            assert await dead_letters.replay(connection, stage.log, dead_letters.place(place), mended)
    await until(lambda: _is_at_rest(stage, PIPELINE, 88))
    wanted = {str(one["event_id"]) for one in map(readable, stage.appended) if one}
    found = await stage.tables.query("SELECT event_id FROM tracker_events")
    assert Counter(str(row[0]) for row in found) == Counter(wanted)


@pytest.mark.parametrize("point", POINTS)
async def test_a_sink_that_dies_while_it_looks_for_poison(
    stage: Stage, crash: Callable[[str, int], asyncio.Event], point: str
) -> None:
    for at in (2, 4):
        await stage.append(*(either() for _ in range(9)), hit(date="x"), *(packed_hit() for _ in range(9)))
        died = crash(point, at)
        sink = stage.sink(records=19)
        await asyncio.wait_for(died.wait(), PATIENCE_S)
        await stage.kill(sink)
        crash("nowhere", 0)
        await stage.kill(await drained_by(stage, stage.sink(records=11)))
    await stage.check(dead=2)


async def drained_by(stage: Stage, sink: Sink) -> Sink:
    await stage.drained()
    return sink


@pytest.mark.every_engine
async def test_rows_of_too_many_months_go_in_pieces(stage: Stage) -> None:
    await stage.append(*(hit(date=f"{1990 + n // 12}-{n % 12 + 1:02}-01") for n in range(150)))
    stage.sink(records=150)
    await stage.drained()
    await stage.check()


async def test_a_table_that_is_missing_stops_its_sink_and_not_its_records(stage: Stage) -> None:
    await stage.tables.execute("RENAME TABLE tracker_events TO away")
    await stage.append(*(hit() for _ in range(5)))
    sink = stage.sink()
    await until(lambda: _trouble(stage, "tracker_events"))
    sink.report()
    await stage.tables.execute("RENAME TABLE away TO tracker_events")
    await stage.drained()
    await stage.check()
    assert await stage.pool.fetchval("SELECT count(trouble) FROM sink_cursor") == 0


async def test_readiness_says_that_a_sink_waits_and_for_what(stage: Stage, settings: Callable[..., Settings]) -> None:
    """Degraded, never unavailable: hits and clicks are taken."""

    class State:
        pool = stage.pool

    class Asked:
        state = State

    probe: Any = Probe()
    assert await probe._sinks(Asked) == "ok"  # where nothing is moved, nothing is late
    await stage.append(hit())
    sink = stage.sink()
    await stage.drained()
    assert (await probe._sinks(Asked), probe.reasons) == ("ok", [])
    await stage.tables.execute("RENAME TABLE tracker_events TO away")
    await stage.append(hit(user_agent="of somebody"))
    await until(lambda: _trouble(stage, "60: "))
    assert (await probe._sinks(Asked), probe.reasons) == ("degraded", ["tracker_events: 60"])
    await stage.kill(sink)
    await stage.pool.execute("UPDATE sink_cursor SET trouble = NULL")
    assert (await probe._sinks(Asked), probe.reasons) == ("degraded", ["tracker_events: no aggregator"])


async def test_a_role_without_a_right_is_shown_until_it_has_it(stage: Stage, database: str) -> None:
    """Postgres is not away then: readiness has the code, and the sink goes on by itself."""
    role = f"sink_{uuid.uuid4().hex[:8]}"
    await stage.pool.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await stage.pool.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    await stage.pool.execute(f"REVOKE INSERT ON sink_mark FROM {role}")
    url = with_user(database, role, "secret")
    try:
        async with create_pool(Settings(database_url=url)) as pool:
            await stage.append(*(hit() for _ in range(5)))
            stage.sink(pool=pool)
            await until(lambda: _trouble(stage, "42501: "))
            await stage.pool.execute(f"GRANT INSERT ON sink_mark TO {role}")
            await stage.drained()
            await stage.close()
        await stage.check()
        assert await stage.pool.fetchval("SELECT count(trouble) FROM sink_cursor") == 0
    finally:
        await stage.pool.execute(f"DROP OWNED BY {role}")
        await stage.pool.execute(f"DROP ROLE {role}")


async def test_readiness_shows_a_store_that_is_away_for_long_and_forgets_it_when_it_is_back(stage: Stage) -> None:
    """Also when no record comes that would say so."""
    async with behind(stage.settings.clickhouse_url or "", 8123) as (between, url):
        hasty = msgspec.structs.replace(stage.settings, clickhouse_url=url, clickhouse_timeout_s=1.0)
        async with clickhouse.connect(hasty) as tables:
            between.fail(away=True)
            stage.sink(clickhouse=tables)
            await stage.append(hit())
            await until(lambda: _trouble(stage, "clickhouse away: "))
            between.heal()
            await stage.drained()
            assert await stage.pool.fetchval("SELECT count(trouble) FROM sink_cursor") == 0
            await stage.close()
            stage.sinks.clear()


async def _trouble(stage: Stage, text: str) -> bool:
    found = await stage.pool.fetchval("SELECT trouble FROM sink_cursor WHERE trouble IS NOT NULL LIMIT 1")
    return found is not None and text in found


async def test_many_records_in_a_row_with_one_error_are_no_fault_of_theirs(stage: Stage) -> None:
    await stage.append(*(hit(date="x") for _ in range(20)), hit())
    stage.sink(records=21)
    await until(lambda: _trouble(stage, "date"))
    assert len(await dead_letters.listed(stage.pool, 100)) == engine.IN_A_ROW - 1
    # Somebody mends it: a date may be any text.
    await stage.tables.execute("RENAME TABLE tracker_events TO strict")
    await stage.tables.execute(
        "CREATE TABLE tracker_events (date String, date_time String, event_id UUID, tracker_id UUID, ip String,"
        " user_id UUID, user_agent String, url String, value String, is_bot Bool, log_partition UInt16,"
        " log_offset UInt64, log_seq UInt32) ENGINE = MergeTree ORDER BY date"
        " SETTINGS non_replicated_deduplication_window = 10000"
    )
    await stage.drained()
    assert await stage.tables.query("SELECT count(), uniqExact(log_seq) FROM tracker_events") == [(12, 12)]


async def test_a_view_that_refuses_is_a_matter_of_set_up(stage: Stage) -> None:
    """The rows are in the table already: under another token they would be there twice."""
    await stage.tables.execute(
        "CREATE TABLE days (day Date, n UInt64) ENGINE = SummingMergeTree ORDER BY day"
        " SETTINGS non_replicated_deduplication_window = 10000"
    )
    await stage.tables.execute(
        "CREATE MATERIALIZED VIEW days_mv TO days AS SELECT toDate(value) AS day, toUInt64(1) AS n FROM tracker_events"
    )
    await stage.append(*(hit(value="x" if n == 3 else "2026-11-21") for n in range(8)))
    stage.sink()
    await until(lambda: _trouble(stage, ""))
    assert await dead_letters.listed(stage.pool, 10) == []
    await stage.tables.execute("DROP TABLE days_mv SYNC")
    await stage.drained()
    await stage.check()


# -- another version of the transform ----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["intended", "inserted"])
async def test_what_another_version_left_is_audited(
    stage: Stage, crash: Callable[[str, int], asyncio.Event], point: str
) -> None:
    await stage.append(*(hit() for _ in range(9)), (b"", b"no json"))
    died = crash(point, 1)
    sink = stage.sink()
    await asyncio.wait_for(died.wait(), PATIENCE_S)
    await stage.kill(sink)
    crash("nowhere", 0)
    stage.sink(pipeline=PIPELINE._replace(version=2))
    await stage.drained()
    await stage.check(dead=1)


async def test_some_rows_of_another_version_are_an_alarm(
    stage: Stage, crash: Callable[[str, int], asyncio.Event]
) -> None:
    await stage.append(*(hit() for _ in range(9)))
    died = crash("inserted", 1)
    sink = stage.sink()
    await asyncio.wait_for(died.wait(), PATIENCE_S)
    await stage.kill(sink)
    crash("nowhere", 0)
    gone = str(uuid.UUID(int=next(_ids) - 1))
    await stage.tables.execute(f"DELETE FROM tracker_events WHERE event_id = '{gone}'")
    stage.sink(pipeline=PIPELINE._replace(version=2))
    await until(lambda: _trouble(stage, "has 9 rows, and the table 8 of them"))
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.stored, taken.in_flight) == (0, 9)


# -- an update in the midst of it --------------------------------------------------------------------------------------


async def as_before(redis: "Redis", name: str, seq: int, *records: tuple[bytes, bytes]) -> None:
    """An append as a former version stored it: an entry for each record, and a book without what has left."""
    of = prefix("hits", 0)
    for place, (key, value) in enumerate(records):
        number = await redis.hincrby(of + "book", "appended", 1)
        before = await redis.hincrby(of + "book", "bytes", 700) - 700
        fields = {"k": key, "v": value, "p": name, "s": seq, "i": place, "n": number, "b": before}
        await redis.xadd(of + "log", fields)  # type: ignore[arg-type]
    await redis.hset(of + "seqs", name, str(seq))


@pytest.mark.parametrize("point", ["nowhere", "intended", "inserted"])
async def test_what_an_update_finds_in_the_log_and_in_journals_is_stored_once(
    stage: Stage, redis_client: "Redis", crash: Callable[[str, int], asyncio.Event], tmp_path: Path, point: str
) -> None:
    """A range may be on its way, a journal may hold what the log has, and the log may have forgotten that."""
    first, second, third = ([hit() for _ in range(size)] for size in (12, 5, 7))
    await as_before(redis_client, "old", 1, *first)
    await as_before(redis_client, "old", 2, *second)
    died = crash(point, 1)
    sink = stage.sink(records=9)
    if point != "nowhere":
        await asyncio.wait_for(died.wait(), PATIENCE_S)
        await stage.kill(sink)
        crash("nowhere", 0)
    await redis_client.delete(prefix("hits", 0) + "seqs")
    journal = Journal.create(tmp_path, "old", 1 << 20)
    journal.write([Append("hits", 0, "old", 2, second), Append("hits", 0, "old", 3, third)])
    os.close(journal._descriptor)
    orphans = Orphans(tmp_path, stage.log)
    orphans.start()
    await until(lambda: not list(tmp_path.glob("*.journal")))
    await orphans.stop()
    new = [packed_hit() for _ in range(20)]
    stage.appended += [value for _, value in (*first, *second, *third)]
    await stage.append(*new)
    if point != "nowhere":
        stage.sink(records=11)
    await stage.drained()
    await stage.log.trim("hits", 0, await stage.log.end("hits", 0), keep_s=-1)
    await stage.append(packed_hit(), hit())
    await stage.drained()
    rows = await stage.tables.query("SELECT event_id, log_offset, log_seq FROM tracker_events")
    assert Counter(str(row[0]) for row in rows) == Counter(str(readable(one)["event_id"]) for one in stage.appended)
    assert len({row[1:] for row in rows}) == len(rows)
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.stored, taken.skipped, taken.difference) == (46, 5, 0)


# -- several processes -------------------------------------------------------------------------------------------------


async def test_two_sinks_share_and_one_takes_over(stage: Stage) -> None:
    one, two = stage.sink(), stage.sink()
    await until(lambda: _shared(one, two))
    for partition in (0, 1):
        await stage.append(*(hit() for _ in range(30)), partition=partition)
    await stage.drained()
    for partition in (0, 1):
        await stage.append(*(hit() for _ in range(100)), partition=partition)
    await stage.kill(one)
    await stage.drained()
    await stage.check()
    three = stage.sink()
    await until(lambda: _shared(two, three))
    await three.stop()
    assert three._share.claims == {}
    stage.sinks.remove(three)
    await stage.append(*(hit() for _ in range(30)), partition=1)
    await stage.drained()
    await stage.check()


async def _shared(one: Sink, two: Sink) -> bool:
    return len(one._partitions) == len(two._partitions) == 1


@pytest.mark.parametrize("step", ["intend", "insert", "record"])
async def test_a_zombie_is_refused_and_doubles_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It is stopped before a step, loses its partitions, and goes on."""
    reached, goes_on = asyncio.Event(), asyncio.Event()
    original = getattr(Partition, step)

    async def stops(self: Any, *arguments: Any) -> Any:
        if not reached.is_set():
            reached.set()
            await goes_on.wait()
        return await original(self, *arguments)

    monkeypatch.setattr(Partition, step, stops)
    await stage.append(*(hit() for _ in range(25)))
    cursors = stage.cursors()
    await cursors.register("hits", "tracker_events", 2)
    share = Share(cursors, "hits", "tracker_events")
    await share.balance()
    stores = Stores(stage.log, cursors, stage.tables, Limit(records=10, wait_s=0.05))
    partition = Partition(stores, PIPELINE, share, 0)
    zombie = asyncio.create_task(partition.run())
    await asyncio.wait_for(reached.wait(), PATIENCE_S)
    await stage.end_leases()
    stage.sink(records=17)
    await stage.drained()
    goes_on.set()
    with pytest.raises(OwnershipLost):
        await asyncio.wait_for(zombie, PATIENCE_S)
    await partition.close()
    await stage.check()


# -- dead letters ------------------------------------------------------------------------------------------------------


async def test_a_replayed_letter_is_stored_once_however_often_it_is_tried(stage: Stage) -> None:
    record = hit(date="x")
    await stage.append(hit(), record)
    stage.sink()
    await stage.drained()
    (letter,) = await dead_letters.listed(stage.pool, 10)
    assert dead_letters.place(str(letter.place)) == letter.place
    assert (letter.key, letter.value) == record
    await stage.tables.execute("RENAME TABLE tracker_events TO strict")
    await stage.tables.execute("CREATE TABLE tracker_events AS strict")
    await stage.tables.execute("ALTER TABLE tracker_events MODIFY SETTING non_replicated_deduplication_window = 10000")
    async with stage.pool.acquire() as connection:
        killed = connection.transaction()
        await killed.start()
        assert await dead_letters.replay(connection, stage.log, letter.place)
        await killed.rollback()  # it died after the append
        assert [one.place for one in await dead_letters.listed(connection, 10)] == [letter.place]
        assert await dead_letters.replay(connection, stage.log, letter.place)
        assert not await dead_letters.replay(connection, stage.log, letter.place)
        assert not await dead_letters.drop(connection, letter.place)
        left = "SELECT num_nulls(key, raw, sending) FROM processing_errors WHERE replayed_at IS NOT NULL"
        assert await connection.fetchval(left) == 3
    await until(lambda: _letters(stage, 2))
    again = (await dead_letters.listed(stage.pool, 10))[0]  # its date is still none
    assert (again.value, again.place.position > letter.place.position) == (letter.value, True)
    async with stage.pool.acquire() as connection:
        assert await dead_letters.drop(connection, again.place)
        assert not await dead_letters.replay(connection, stage.log, again.place)
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.accepted, taken.stored, taken.dead_lettered, taken.difference) == (3, 1, 2, 0)


async def test_settled_letters_are_pruned_and_the_books_stay_right(stage: Stage) -> None:
    await stage.append(hit(), *((b"k", b"no json %d" % number) for number in range(5)))
    stage.sink()
    await stage.drained()
    waits, recent, replayed, dropped, late = [one.place for one in await dead_letters.listed(stage.pool, 10)]
    async with stage.pool.acquire() as connection:
        for one in (recent, replayed):
            assert await dead_letters.replay(connection, stage.log, one, hit()[1])
        for one in (dropped, late):
            assert await dead_letters.drop(connection, one)
        await connection.execute("UPDATE processing_errors SET created_at = now() - interval '40 days'")
        ago = (
            "UPDATE processing_errors SET replayed_at = replayed_at - $3::interval, "
            "dropped_at = dropped_at - $3::interval WHERE (log_offset, log_seq) = ($1, $2)"
        )
        for one, days in ((replayed, 35), (dropped, 36), (late, 34)):
            await connection.execute(ago, *one.position, timedelta(days=days))
        assert await dead_letters.prune(connection, 35) == 2
    await until(lambda: _is_at_rest(stage, PIPELINE, 8))
    left = await dead_letters.listed(stage.pool, 10, settled=True)
    assert {one.place for one in left} == {waits, recent, late}
    taken = await account(stage.log, stage.pool, PIPELINE)
    assert (taken.stored, taken.dead_lettered, taken.difference) == (3, 5, 0)


async def _letters(stage: Stage, wanted: int) -> bool:
    return len(await dead_letters.listed(stage.pool, 10, settled=True)) == wanted


async def test_a_letter_of_a_topic_with_two_sinks_is_replayed_to_its_own_alone(stage: Stage) -> None:
    other = PIPELINE._replace(table="others")
    await stage.tables.execute("CREATE TABLE others AS tracker_events")
    sinks = [stage.sink(), stage.sink(pipeline=other)]
    good = hit()
    await stage.append((b"", b"no json"), good)
    await until(lambda: _letters(stage, 2))
    letter = next(one for one in await dead_letters.listed(stage.pool, 10) if one.place.sink == "others")
    mended = hit()[1]
    async with stage.pool.acquire() as connection:
        assert await dead_letters.replay(connection, stage.log, letter.place, mended)
    for pipeline, rows, dead, skipped in ((PIPELINE, 1, 1, 1), (other, 2, 1, 0)):
        await until(lambda of=pipeline: _is_at_rest(stage, of, 3))
        taken = await account(stage.log, stage.pool, pipeline)
        assert (taken.stored, taken.dead_lettered, taken.skipped, taken.difference) == (rows, dead, skipped, 0)
        found = {str(row[0]) for row in await stage.tables.query(f"SELECT event_id FROM {pipeline.table}")}
        assert found == {json.loads(one)["event_id"] for one in (good[1], mended)[:rows]}
    assert len(sinks) == 2


async def _is_at_rest(stage: Stage, pipeline: Pipeline, accepted: int) -> bool:
    taken = await account(stage.log, stage.pool, pipeline)
    return taken.accepted == accepted and taken.in_flight == 0


async def test_a_replay_that_has_begun_with_one_record_never_goes_on_with_another(stage: Stage) -> None:
    stage.sink()
    await stage.append((b"", b"no json"))
    await until(lambda: _letters(stage, 1))
    (letter,) = await dead_letters.listed(stage.pool, 10)
    first, second = hit()[1], hit()[1]
    async with stage.pool.acquire() as connection:
        with pytest.raises(TooLarge):
            await dead_letters.replay(connection, stage.log, letter.place, bytes(1_000_000))
        away = StreamsLog(Redis.from_url("unix:///nowhere"), 2, 1_000_000)
        with pytest.raises(LogUnavailable):
            await dead_letters.replay(connection, away, letter.place, first)
        with pytest.raises(dead_letters.Begun):
            await dead_letters.replay(connection, stage.log, letter.place, second)
        assert await dead_letters.replay(connection, stage.log, letter.place)  # goes on with the first
        assert not await dead_letters.replay(connection, stage.log, letter.place, first)
    await until(lambda: _is_at_rest(stage, PIPELINE, 2))
    rows = await stage.tables.query("SELECT event_id FROM tracker_events")
    assert [str(row[0]) for row in rows] == [json.loads(first)["event_id"]]


async def test_a_reader_leaves_the_client_that_it_was_given_as_it_was(stage: Stage, redis_client: "Redis") -> None:
    await stage.append(hit())
    reader = StreamsLog(redis_client, 2, 1_000_000).reader("hits", 0, "tests")
    assert len((await reader.read(Position(0), {}, Limit(wait_s=0))).records) == 1
    [(_, fields)] = await redis_client.xrange("tallybook:{hits.0}:log")
    assert fields[b"p"] == b"tests"


async def test_the_command_line_lists_shows_replays_and_drops(
    stage: Stage, redis_url: str, database: str, tmp_path: Path
) -> None:
    await stage.append((b"", b"no json"), (b"k", b"nor this"))
    stage.sink()
    await stage.drained()
    await stage.close()
    stage.sinks.clear()
    environ = {"TALLYBOOK_REDIS_URL": redis_url, "TALLYBOOK_DATABASE_URL": database}

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, main, ["dlq", *arguments], env=environ)

    lines = [json.loads(line) for line in (await run("list", "--json")).stdout.splitlines()]
    assert [(line["reason"], line["state"], line["bytes"]) for line in lines] == [
        ("malformed", "waiting", 7),
        ("malformed", "waiting", 8),
    ]
    first, second = (line["id"] for line in lines)
    assert (await run("list")).stdout.startswith(f"{first}\t")
    assert (await run("list")).stderr == ""
    part = await run("list", "--most", "1")
    assert (len(part.stdout.splitlines()), part.stderr) == (1, "shown: 1 of 2; --most 2 shows all\n")
    assert (await run("list", "--most", "0")).exit_code == Exit.USAGE
    assert (await run("show", second)).stdout == "nor this"
    assert (await run("drop", second, second)).stdout == "dropped: 1\n"
    mended = tmp_path / "mended"
    mended.write_bytes(hit()[1])
    assert (await run("replay", "--all", "--file", str(mended))).exit_code == Exit.USAGE
    assert (await run("replay", "--all", first)).exit_code == Exit.USAGE
    assert (await run("replay", first, "--file", str(mended))).stdout == "replayed: 1\n"
    assert (await run("replay", first)).stdout == "replayed: 0\n"
    assert (await run("list")).stdout == ""
    assert len((await run("list", "--settled")).stdout.splitlines()) == 2
    assert (await run("replay")).exit_code == Exit.USAGE
    assert (await run("show", "nonsense")).exit_code == Exit.USAGE
    assert (await run("show", first.replace("/0/", "/9/"))).exit_code == Exit.FAILED
    reader = stage.log.reader("hits", 0, "tracker_events")
    assert (await reader.read(Position(0), {}, Limit(wait_s=0))).records[2].value == mended.read_bytes()


async def test_a_replay_of_all_ends_when_every_letter_is_refused_again(
    stage: Stage, redis_url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.append(*((b"", b"no json %d" % number) for number in range(3)))
    stage.sink()
    await stage.drained()
    monkeypatch.setattr(dead_letters, "_PAGE", 1)
    replay = dead_letters.replay
    replayed: list[str] = []

    async def until_refused_again(connection: Any, log: Log, of: dead_letters.Place, value: bytes | None) -> bool:
        assert len(replayed) < 3, "it replays what it has made itself"
        assert await replay(connection, log, of, value)
        replayed.append(str(of))
        while await dead_letters.counted(connection, settled=True) < 3 + len(replayed):  # noqa: ASYNC110 - of a sink
            await asyncio.sleep(0.01)
        return True

    monkeypatch.setattr(dead_letters, "replay", until_refused_again)
    waited = [str(one.place) for one in await dead_letters.listed(stage.pool, 10)]
    environ = {"TALLYBOOK_REDIS_URL": redis_url, "TALLYBOOK_DATABASE_URL": database}
    ended = await asyncio.to_thread(CliRunner().invoke, main, ["dlq", "replay", "--all"], env=environ)
    assert (ended.output.splitlines()[-1], ended.exception) == ("replayed: 3", None)
    assert replayed == waited
    again = await dead_letters.listed(stage.pool, 10)
    assert sorted(one.value or b"" for one in again) == [b"no json 0", b"no json 1", b"no json 2"]


# -- Kafka -------------------------------------------------------------------------------------------------------------


async def test_kafka_keeps_the_same_promise(
    stage: Stage, servers_folder: Path, crash: Callable[[str, int], asyncio.Event]
) -> None:
    with kafka(servers_folder / "sink-kafka", 1) as (servers, _):
        log = KafkaLog(servers, 2, 1_000_000)
        stage.log = log
        await log.prepare("hits")
        for point in ("intended", "inserted"):
            await stage.append(*(hit() for _ in range(30)), (b"", b"no json"), hit(date="x"))
            died = crash(point, 1)
            sink = stage.sink()
            await asyncio.wait_for(died.wait(), PATIENCE_S)
            await stage.kill(sink)
            await stage.append(*(hit() for _ in range(7)))
            crash("nowhere", 0)
            await stage.kill(await drained_by(stage, stage.sink(records=13)))
        await stage.check(dead=4)
        await log.close()
