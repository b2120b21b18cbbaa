"""From the outbox into ClickHouse: every committed event once, no other one ever, whatever dies, is away or refuses."""

import asyncio
import itertools
import json
import os
import re
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aggregator.delivery import engine
from aggregator.outbox import days
from aggregator.outbox import relay as outbox_module
from aggregator.outbox.relay import (
    Claim,
    Damaged,
    Lost,
    Outbox,
    Younger,
    claimed,
    rebase,
    relay,
    replay_dead,
    step,
)
from aggregator.outbox.relay_loop import Relay
from ingest.http import health
from ingest.http.health import Probe
from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.runtime.process import new_owner
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse
from shared.stores.postgres import create_pool
from shared.telemetry.metrics import OUTBOX_ASTRAY, OUTBOX_HELD_SECONDS, OUTBOX_LAG, OUTBOX_OLDEST_SECONDS
from tallybook_sdk.outbox import publish_async
from tests.harness.died import Died, dead_owner
from tests.harness.process import ROOT
from tests.harness.proxy import Proxy, behind, trouble
from tests.harness.record_first import record_before_insert
from tests.harness.subjects.gateway import Gateway
from tests.harness.subjects.outbox import Stage, connect
from tests.harness.wait import until

pytestmark = pytest.mark.usefixtures("quiet", "hurried")

POINTS = ("cut", "intended", "inserted", "recorded")


@pytest.fixture
async def stage(database: str, clickhouse_settings: Settings) -> AsyncIterator[Stage]:
    settings = msgspec.structs.replace(clickhouse_settings, database_url=database)
    async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        yield Stage(database, pool, tables)


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Arms a crash point: it raises when it is passed for the n-th time, and so do all later ones."""

    def arm(name: str, at: int) -> None:
        passes, is_dead = itertools.count(1), False

        def crash_point(here: str) -> None:
            nonlocal is_dead
            is_dead = is_dead or (here == name and next(passes) == at)
            if is_dead:
                raise Died(name)

        monkeypatch.setattr(engine, "crash_point", crash_point)

    return arm


# -- once --------------------------------------------------------------------------------------------------------------


@pytest.mark.every_engine
async def test_every_event_becomes_a_row_with_its_place(stage: Stage) -> None:
    for _ in range(5):
        await stage.publish(1, 3, 1)
    moved = await stage.relayed(rows=4)
    assert moved
    assert moved.stored == 25
    await stage.check()
    rows = await stage.tables.query(
        "SELECT event_type, environment, metadata_version, toString(event_context), toString(context),"
        " uniqExact(event_id) OVER (), abs(dateDiff('second', event_date_time, now64(6))) < 600 FROM event_log LIMIT 1"
    )
    assert rows[0][:3] == ("happened", "development", 1)
    assert '"text":"ä \\"quoted\\" \\\\ \\n {}"' in rows[0][3]
    assert rows[0][4:] == ("{}", 25, True)


@pytest.mark.every_engine
async def test_json_written_by_hand_arrives_as_it_is(stage: Stage) -> None:
    """Over several lines, with brackets in its texts, at both ends of time, and with the longest names."""
    for values in (
        ('a]"\\,[', "\t\n", "1900-01-01Z", '{\n  "of": "]\\n[",\r\n  "in": [1,\n 2]\n}', (1 << 63) - 1),
        ("ä" * 200, "🐘" * 100, "2299-12-30 23:59:59.999999Z", "{}", 0),
    ):
        await stage.pool.execute(
            "INSERT INTO tallybook_outbox (event_type, environment, event_date_time, event_context, metadata_version)"
            " VALUES ($1, $2, $3::text::timestamptz, $4, $5)",
            *values,
        )
    await stage.relayed(rows=2)
    rows = await stage.tables.query(
        "SELECT event_type, environment, toString(event_date_time), toString(event_context), metadata_version"
        " FROM event_log ORDER BY outbox_id"
    )
    assert rows == [
        ('a]"\\,[', "\t\n", "1900-01-01 00:00:00.000000", '{"in":[1,2],"of":"]\\n["}', (1 << 63) - 1),
        ("ä" * 200, "🐘" * 100, "2299-12-30 23:59:59.999999", "{}", 0),
    ]


@pytest.mark.every_engine
async def test_an_integer_beyond_64_bits_arrives_to_its_last_digit(stage: Stage) -> None:
    large = (
        '{"wei": 18446744073709551616,\n "in": [-9223372036854775809],'
        ' "most": 18446744073709551615, "text": "18446744073709551616,"}'
    )
    for context in (large, '{"wei": 1}'):
        sql = "INSERT INTO tallybook_outbox (event_type, environment, event_context) VALUES ('large', 'test', $1)"
        await stage.pool.execute(sql, context)
    moved = await stage.relayed()
    assert moved
    assert (moved.stored, moved.dead) == (2, 0)
    rows = await stage.tables.query("SELECT toString(event_context) FROM event_log ORDER BY outbox_id")
    assert [json.loads(text) for [text] in rows] == [
        {
            "wei": "18446744073709551616",
            "in": ["-9223372036854775809"],
            "most": 18446744073709551615,
            "text": "18446744073709551616,",
        },
        {"wei": 1},
    ]


async def test_nothing_that_is_rolled_back_is_ever_relayed(stage: Stage) -> None:
    connection = await connect(stage.database)
    transaction = connection.transaction()
    await transaction.start()
    await outbox_insert(connection, "undone")
    async with connection.transaction():
        await outbox_insert(connection, "undone")
    await stage.publish(2)
    await stage.relayed()
    await transaction.rollback()
    await connection.close()
    await stage.relayed()
    await stage.check()
    assert await stage.tables.query("SELECT count() FROM event_log WHERE event_type = 'undone'") == [(0,)]


async def outbox_insert(connection: Any, event_type: str) -> None:
    await connection.execute("INSERT INTO tallybook_outbox (event_type, environment) VALUES ($1, 'test')", event_type)


async def test_events_wait_for_others_until_they_are_enough_or_old(stage: Stage) -> None:
    await stage.publish(3)
    moved = await stage.relayed(rows=4, wait_s=600.0)
    assert moved
    assert (moved.stored, moved.more) == (0, False)
    assert 0 < (moved.wait_s or 0) <= 600
    await stage.publish(1)
    moved = await stage.relayed(rows=4, wait_s=600.0)
    assert moved
    assert moved.stored == 4
    one = stage.relay(rows=1000, wait_s=0.05)
    await stage.publish(5)
    await stage.drained()
    await one.stop()
    await stage.check()


# -- an order that can be read along -----------------------------------------------------------------------------------


async def overtaken(stage: Stage) -> None:
    """A transaction that began first commits last; a relay looks in between, when a later one has been delivered."""
    for _ in range(3):
        slow = await connect(stage.database)
        transaction = slow.transaction()
        await transaction.start()
        events = stage.events(2)
        await _publish(slow, events[:1])
        await stage.publish(3)
        await stage.relayed(rows=100)
        await _publish(slow, events[1:])
        await transaction.commit()
        stage.committed.append([event.number for event in events])
        await slow.close()
        await stage.relayed(rows=100)
    await stage.check()


async def _publish(connection: Any, events: list[Any]) -> None:
    await publish_async(connection, *events)


async def test_a_transaction_that_commits_late_is_not_overtaken(stage: Stage) -> None:
    await overtaken(stage)


async def test_a_long_transaction_delays_loses_nothing_and_is_shown(stage: Stage) -> None:
    holder = await _named(stage.database, "holder")
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT pg_current_xact_id()")
    await stage.publish(5)
    for _ in range(3):
        looked = await stage.relayed()
        assert looked is not None
        assert looked.stored == 0
    one = stage.relay()
    await one.report()
    assert await stage.stored() == []
    assert OUTBOX_LAG._value.get() == 5
    assert OUTBOX_HELD_SECONDS._value.get() > 0
    assert OUTBOX_OLDEST_SECONDS._value.get() > 0
    await transaction.rollback()
    await holder.close()
    await stage.drained()
    await one.report()
    assert (OUTBOX_LAG._value.get(), OUTBOX_HELD_SECONDS._value.get()) == (0, 0)
    await one.stop()
    await stage.check()


async def _named(database: str, name: str) -> Any:
    connection = await connect(database)
    await connection.execute(f"SET application_name = '{name}'")
    return connection


async def test_writers_of_all_kinds_at_once(stage: Stage) -> None:
    """Many connections, transactions of all lengths, some undone, while two relays move events."""
    relays = [stage.relay(rows=7), stage.relay(rows=5)]

    async def write(seed: int) -> None:
        connection = await connect(stage.database)
        for turn in range(15):
            events = stage.events(1 + (seed + turn) % 4)
            transaction = connection.transaction()
            await transaction.start()
            for event in events:
                await _publish(connection, [event])
                await asyncio.sleep(0.001 * ((seed * turn) % 5))
            if (seed + turn) % 3:
                await transaction.commit()
                stage.committed.append([event.number for event in events])
            else:
                await transaction.rollback()
        await connection.close()

    await asyncio.gather(*(write(seed) for seed in range(6)))
    await stage.drained()
    for one in relays:
        await one.stop()
    await stage.check()


# -- crash points ------------------------------------------------------------------------------------------------------


async def attacked(stage: Stage, crash: Callable[[str, int], None]) -> None:
    """A relay dies at every point, in its first batch and in a later one; more comes; another one, which would cut
    otherwise, takes over."""
    for at, point in itertools.product((1, 3), POINTS):
        await stage.publish(35)
        crash(point, at)
        with pytest.raises(Died):
            await stage.relayed(rows=10)
        await stage.publish(10)
        await stage.end_leases()
        crash("nowhere", 0)
        await stage.relayed(rows=17)
    await stage.check()


async def test_a_relay_that_dies_at_any_point_loses_and_doubles_nothing(
    stage: Stage, crash: Callable[[str, int], None]
) -> None:
    await attacked(stage, crash)


@pytest.mark.timeout(600)  # five starts of Python with all that the service imports, on whatever machine
async def test_an_aggregator_that_is_killed_at_every_point(
    stage: Stage, redis_url: str, clickhouse_settings: Settings, tmp_path: Path
) -> None:
    """The real process, and a real kill -9; the last one lives."""
    environ = {
        **os.environ,
        "TALLYBOOK_DATA_DIR": str(tmp_path),
        "TALLYBOOK_REDIS_URL": redis_url,
        "TALLYBOOK_DATABASE_URL": stage.database,
        "TALLYBOOK_CLICKHOUSE_URL": clickhouse_settings.clickhouse_url or "",
        "TALLYBOOK_TEST_OUTBOX_ROWS": "50",
        "TALLYBOOK_SINK_WAIT_S": "0.001",
    }
    for _ in range(20):
        await stage.publish(100)
    await stage.poison()
    for point in POINTS:
        async with aggregator(environ | {"TALLYBOOK_CRASH": f"{point}=0.2"}) as process:
            ended = asyncio.create_task(process.communicate())
            while not ended.done():  # there is always a batch more in which it may die
                await stage.publish(25)
                await asyncio.wait([ended], timeout=0.1)
            _, errors = await ended
        assert process.returncode == -signal.SIGKILL, errors[-2000:]
        assert re.findall(rb"^crash_point (\w+)$", errors, re.MULTILINE) == [point.encode()]
        await stage.end_leases()
    await stage.publish(100)  # what tells that the last one is up
    async with aggregator(environ) as process:
        ended = asyncio.create_task(process.communicate())
        while not await stage._is_drained():
            assert not ended.done(), (await ended)[1][-2000:]
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = await ended
    assert process.returncode == 0, errors[-2000:]
    await stage.check(dead=1)


@asynccontextmanager
async def aggregator(environ: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aggregator"), cwd=ROOT, env=environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_writer_that_is_killed_before_or_after_its_commit(stage: Stage) -> None:
    """What was committed arrives, and nothing else."""
    writer = (
        "import asyncio, asyncpg, os, signal, sys\n"
        "from tallybook_sdk.outbox import Event, publish_async\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(sys.argv[1])\n"
        "    for n in range(3):\n"
        "        transaction = connection.transaction()\n"
        "        await transaction.start()\n"
        "        await publish_async(connection, Event({'number': int(sys.argv[3]) + n}, event_type='happened'))\n"
        "        if n == 2 and sys.argv[2] == 'before': os.kill(os.getpid(), signal.SIGKILL)\n"
        "        await transaction.commit()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    one = stage.relay()
    for place, first, committed in (("before", 1000, 2), ("after", 2000, 3)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", writer, stage.database, place, str(first)), cwd=ROOT
        )
        assert await process.wait() == -signal.SIGKILL
        stage.committed += [[first + n] for n in range(committed)]
    await stage.publish(1)
    await until(lambda: _has(stage, 6))
    await one.stop()
    await stage.check()


async def _has(stage: Stage, count: int) -> bool:
    return len(await stage.stored()) >= count


# -- mutants -----------------------------------------------------------------------------------------------------------


def _by_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of ids alone, without a look at what is still running."""
    sql = outbox_module._PICK
    sql = sql.replace("AND xid < pg_snapshot_xmin(pg_current_snapshot())", "")
    sql = sql.replace("(xid, id) > ($1::text::xid8, $2)", "id > $2 AND $1::text IS NOT NULL").replace(
        "(xid, id) <= ($3::text::xid8, $4)", "id <= $4 AND $3::text IS NOT NULL"
    )
    sql = sql.replace("ORDER BY xid, id", "ORDER BY id").replace(
        "max(ARRAY[xid::text::bigint, id])", "ARRAY[0, max(id)]"
    )
    monkeypatch.setattr(outbox_module, "_PICK", sql)


def _without_xmin(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = outbox_module._PICK.replace("AND xid < pg_snapshot_xmin(pg_current_snapshot())", "")
    monkeypatch.setattr(outbox_module, "_PICK", sql)


def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = clickhouse.ClickHouse.insert

    async def with_another(self: Any, table: str, rows: bytes, token: str, *more: Any) -> None:
        await insert(self, table, rows, uuid.uuid4().hex, *more)

    monkeypatch.setattr(clickhouse.ClickHouse, "insert", with_another)


def _no_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on its way is cut anew."""
    original = outbox_module._claim
    monkeypatch.setattr(outbox_module, "_claim", lambda row: original(row)._replace(pending=None))


def _advance_before_insert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "deliver", record_before_insert)


@pytest.mark.parametrize("mutant", [_by_sequence, _without_xmin], ids=lambda one: one.__name__)
async def test_a_mutant_of_the_order_is_caught(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        await overtaken(stage)


@pytest.mark.parametrize("mutant", [_no_token, _no_intent, _advance_before_insert], ids=lambda one: one.__name__)
async def test_a_mutant_of_the_steps_is_caught(
    stage: Stage,
    crash: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        await attacked(stage, crash)


# -- several relays ----------------------------------------------------------------------------------------------------


async def test_only_one_of_two_relays_has_the_cursor(stage: Stage) -> None:
    await stage.publish(5)
    first = await claimed(stage.outbox(), "first")
    assert first
    assert await claimed(stage.outbox(), "second") is None
    assert await stage.relayed() is None
    await step(stage.outbox(), first)
    await stage.check()


async def test_a_claim_that_waited_for_another_relay_does_not_take_the_cluster_for_a_younger_one(stage: Stage) -> None:
    """Its snapshot is older than what that one has moved meanwhile."""
    other = await connect(stage.database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE tallybook_outbox_cursor SET trouble = NULL")
    claiming = asyncio.create_task(claimed(stage.outbox(), "waits"))
    await until(lambda: stage.pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
    await stage.publish(3)
    await other.execute(
        "UPDATE tallybook_outbox_cursor SET (xid, id) ="
        " (SELECT xid, id FROM tallybook_outbox ORDER BY xid DESC, id DESC LIMIT 1)"
    )
    await transaction.commit()
    await other.close()
    claim = await claiming
    assert claim
    assert (await step(stage.outbox(), claim))[1].stored == 0


@pytest.mark.parametrize("point", POINTS[:3])
async def test_a_zombie_that_wakes_up_changes_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """It stalls at a step, another one takes over and goes on, and then it wakes up."""
    await stage.publish(10)
    await stage.publish(10)
    zombie = await claimed(stage.outbox(), "zombie")
    assert zombie
    stalled, woken = asyncio.Event(), asyncio.Event()
    me = asyncio.create_task(_stalling(stage, zombie, point, monkeypatch, stalled, woken))
    await asyncio.wait_for(stalled.wait(), 60)
    monkeypatch.setattr(engine, "crash_point", lambda name: None)
    await stage.end_leases()
    await stage.relayed(rows=7)
    woken.set()
    with pytest.raises(Lost):
        await me
    await stage.check()


async def _stalling(
    stage: Stage,
    claim: Claim,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
    stalled: asyncio.Event,
    woken: asyncio.Event,
) -> None:
    """`step` with a wait behind a point. Its calls are what it awaits next, so the wait is put there."""
    here: list[str] = []
    monkeypatch.setattr(engine, "crash_point", here.append)

    class Stalls:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def execute(self, *arguments: Any) -> Any:
            await self._maybe()
            return await self._real.execute(*arguments)

        async def insert(self, *arguments: Any) -> Any:
            await self._maybe()
            return await self._real.insert(*arguments)

        def acquire(self) -> Any:
            return _Later(self, self._real)

        async def _maybe(self) -> None:
            if here and here[-1] == point and not stalled.is_set():
                stalled.set()
                await woken.wait()

    class _Later:
        def __init__(self, stalls: Stalls, pool: Any) -> None:
            self._stalls, self._context = stalls, pool.acquire()

        async def __aenter__(self) -> Any:
            await self._stalls._maybe()
            return await self._context.__aenter__()

        async def __aexit__(self, *error: object) -> None:
            await self._context.__aexit__(*error)

    pool, tables = Stalls(stage.pool), Stalls(stage.tables)
    await step(Outbox(pool, tables, 10), claim)  # type: ignore[arg-type]


# -- stores that go away -----------------------------------------------------------------------------------------------


async def troubled(stage: Stage, between: Proxy, one: Relay) -> None:
    """Everything is stored once, though replies are lost and the server goes away."""
    await trouble(between, lambda: stage.publish(20))
    await stage.drained()
    await one.stop()
    await stage.check()


async def test_lost_replies_of_postgres(stage: Stage, database: str) -> None:
    async with (
        behind(database, 5432) as (between, url),
        create_pool(Settings(database_url=url, postgres_timeout_s=0.4)) as pool,
    ):
        await troubled(stage, between, stage.relay(pool=pool))


async def test_lost_replies_of_clickhouse(stage: Stage, clickhouse_settings: Settings) -> None:
    async with behind(clickhouse_settings.clickhouse_url or "", 8123) as (between, url):
        hasty = msgspec.structs.replace(clickhouse_settings, clickhouse_url=url, clickhouse_timeout_s=1.0)
        async with clickhouse.connect(hasty) as tables:
            await troubled(stage, between, stage.relay(clickhouse=tables))


async def test_an_engine_that_is_killed_in_the_middle_of_a_batch(stage: Stage, servers_folder: Path) -> None:
    gateway = Gateway(servers_folder / "killed-relay")
    gateway.start()
    try:
        settings = gateway.settings("tallybook", clickhouse_timeout_s=5.0)
        await migrate_clickhouse(settings)
        async with clickhouse.connect(settings) as tables:
            stage.tables = tables
            for _ in range(10):
                await stage.publish(1000)
            one = stage.relay(rows=200)
            for _ in range(3):
                before = await stage.pool.fetchval("SELECT stored FROM tallybook_outbox_cursor")
                await until(lambda before=before: _went_on(stage, before))  # type: ignore[misc]
                gateway.signal(signal.SIGKILL)
                await asyncio.to_thread(gateway.start)
            await stage.drained()
            await one.stop()
            await stage.check()
    finally:
        gateway.close()


async def _went_on(stage: Stage, before: int) -> bool:
    stored = await stage.pool.fetchval("SELECT stored FROM tallybook_outbox_cursor")
    return bool(stored > before or stored == 10_000)


# -- rows that can never be stored -------------------------------------------------------------------------------------


async def test_poison_alone_goes_to_the_dead_letters_and_can_be_published_again(stage: Stage) -> None:
    await stage.publish(30)
    await stage.poison()
    await stage.publish(20)
    await stage.poison()
    moved = await stage.relayed(rows=64)
    assert moved
    assert (moved.stored, moved.dead) == (50, 2)
    await stage.check(dead=2)
    letter = await stage.pool.fetchrow("SELECT * FROM tallybook_outbox_dead LIMIT 1")
    assert (letter["event_type"], letter["reason"]) == ("bad", "117")
    assert letter["detail"]
    # Somebody mends it.
    await stage.pool.execute("""UPDATE tallybook_outbox_dead SET event_context = '{"number": 0}'""")
    assert await replay_dead(stage.outbox(), [letter["event_id"]]) == 1
    assert await replay_dead(stage.outbox()) == 1
    assert await replay_dead(stage.outbox()) == 0
    await stage.relayed()
    assert await stage.tables.query("SELECT count(), uniqExact(event_id) FROM event_log") == [(52, 52)]


@pytest.mark.parametrize("point", POINTS)
async def test_a_relay_that_dies_while_it_looks_for_poison(
    stage: Stage, crash: Callable[[str, int], None], point: str
) -> None:
    for at in (1, 2):
        await stage.publish(9)
        await stage.poison()
        await stage.publish(9)
        crash(point, at)
        with pytest.raises(Died):
            await stage.relayed(rows=19)
        await stage.end_leases()
        crash("nowhere", 0)
        await stage.relayed(rows=11)
    await stage.check(dead=2)


async def test_many_rows_in_a_row_with_one_error_are_no_fault_of_theirs(stage: Stage) -> None:
    for _ in range(15):
        await stage.poison()
    with pytest.raises(CLICKHOUSE_ERRORS):
        await stage.relayed(rows=16)
    assert await stage.pool.fetchval("SELECT count(*) FROM tallybook_outbox_dead") == engine.IN_A_ROW - 1


async def test_many_rows_in_a_row_that_no_table_would_take_are_dead_letters_each(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO tallybook_outbox (event_type, environment, event_context)"
        f" SELECT 'bad', 'test', '[1]' FROM generate_series(1, {engine.IN_A_ROW + 5})"
    )
    await stage.publish(3)
    await stage.relayed(rows=30)
    await stage.check(dead=engine.IN_A_ROW + 5)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_context", "'[1]'"),
        ("event_context", "'1'"),
        ("event_context", "'null'"),
        ("context", "'null'"),
        ("context", "'1'"),
        ("event_date_time", "'infinity'"),
        ("event_date_time", "'-infinity'"),
        ("event_date_time", "'0044-03-15 BC'"),
        ("event_date_time", "'1899-12-31 23:59:59Z'"),
        ("event_date_time", "'2299-12-31Z'"),
        ("event_date_time", "'9999-01-01Z'"),
        ("event_date_time", "'20026-01-01Z'"),
        ("metadata_version", "-1"),
    ],
)
async def test_what_nobody_could_publish_and_somebody_writes_by_hand_is_a_dead_letter(
    stage: Stage, column: str, value: str
) -> None:
    await stage.publish(3)
    await stage.pool.execute(
        f"INSERT INTO tallybook_outbox (event_type, environment, {column}) VALUES ('by_hand', 'test', {value})"
    )
    await stage.publish(3)
    await stage.relayed()
    await stage.check(dead=1)
    assert await stage.pool.fetchval("SELECT event_type FROM tallybook_outbox_dead") == "by_hand"


@pytest.mark.every_engine
async def test_events_of_too_many_months_go_in_pieces(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO tallybook_outbox (event_type, environment, event_date_time)"
        " SELECT 'old', 'test', '1990-01-15Z'::timestamptz + month * interval '1 month'"
        " FROM generate_series(1, 150) AS month"
    )
    await stage.relayed(rows=150)
    assert await stage.tables.query("SELECT count(), uniqExact(event_id) FROM event_log") == [(150, 150)]


async def test_a_table_that_is_missing_stops_the_relay_and_readiness_says_so(stage: Stage) -> None:
    await stage.tables.execute("RENAME TABLE event_log TO away")
    await stage.publish(5)
    one = stage.relay()
    await until(lambda: _trouble(stage, "60"))
    await stage.tables.execute("RENAME TABLE away TO event_log")
    await stage.drained()
    assert await stage.pool.fetchval("SELECT trouble FROM tallybook_outbox_cursor") is None
    await one.stop()
    await stage.check()


async def test_readiness_says_that_events_wait_and_for_what(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Degraded, never unavailable: clicks are taken."""

    class State:
        outbox_pool = stage.pool

    class Asked:
        state = State

    probe: Any = Probe()
    assert (await probe._outbox(Asked), probe.reasons) == ("ok", [])  # where nothing waits, nothing is late
    await stage.publish(1)
    assert (await probe._outbox(Asked), probe.reasons) == ("ok", [])
    monkeypatch.setattr(health, "_LATE_S", 0.0)
    assert (await probe._outbox(Asked), probe.reasons) == ("degraded", ["outbox: no relay"])
    holder = await claimed(stage.outbox(), "stalls")
    assert holder
    assert (await probe._outbox(Asked), probe.reasons) == ("degraded", ["outbox: late"])
    await stage.pool.execute("UPDATE tallybook_outbox_cursor SET trouble = '60: of somebody'")
    assert (await probe._outbox(Asked), probe.reasons) == ("degraded", ["outbox: 60"])
    await step(stage.outbox(), holder)
    assert (await probe._outbox(Asked), probe.reasons) == ("ok", [])


async def _trouble(stage: Stage, text: str) -> bool:
    return text in (await stage.pool.fetchval("SELECT trouble FROM tallybook_outbox_cursor") or "")


async def test_a_view_that_refuses_is_a_matter_of_set_up(stage: Stage) -> None:
    await stage.tables.execute(
        "CREATE TABLE days (day Date) ENGINE = MergeTree ORDER BY day SETTINGS non_replicated_deduplication_window = 10"
    )
    await stage.tables.execute(
        "CREATE MATERIALIZED VIEW days_mv TO days AS SELECT toDate(toString(event_context.text)) AS day FROM event_log"
    )
    await stage.publish(8)
    with pytest.raises(CLICKHOUSE_ERRORS):
        await stage.relayed()
    assert await stage.pool.fetchval("SELECT count(*) FROM tallybook_outbox_dead") == 0
    await stage.tables.execute("DROP TABLE days_mv SYNC")
    await stage.end_leases()
    await stage.relayed()
    await stage.check()


# -- rows that are not what they were ----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["intended", "inserted"])
async def test_pending_rows_that_another_version_writes_otherwise_are_looked_up(
    stage: Stage, crash: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    await stage.publish(9)
    crash(point, 1)
    with pytest.raises(Died):
        await stage.relayed()
    crash("nowhere", 0)
    await stage.end_leases()
    sql = outbox_module._PICK.replace("'[\"'", "'[ \"'")
    assert sql != outbox_module._PICK
    monkeypatch.setattr(outbox_module, "_PICK", sql)
    await stage.relayed()
    await stage.check()


async def test_pending_rows_of_which_some_are_stored_are_an_alarm(
    stage: Stage, crash: Callable[[str, int], None]
) -> None:
    await stage.publish(9)
    crash("inserted", 1)
    with pytest.raises(Died):
        await stage.relayed()
    crash("nowhere", 0)
    await stage.end_leases()
    await stage.pool.execute("DELETE FROM tallybook_outbox WHERE id = 3")
    with pytest.raises(Damaged):
        await stage.relayed()


# -- restore into a younger cluster ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["nowhere", "intended", "inserted"])
async def test_a_restore_into_a_younger_cluster_is_noticed_and_mended(
    stage: Stage, crash: Callable[[str, int], None], point: str
) -> None:
    """The ids that are stored lie in the future, as they do after pg_restore into a new cluster."""
    await stage.publish(10)
    await stage.relayed()
    others = [await connect(stage.database) for _ in range(2)]
    for number in (0, 1, 0, 1, 0):  # each connection draws ids of its own in advance
        await stage.publish(1, connection=others[number])
    for other in others:
        await other.close()
    crash(point, 1)
    if point != "nowhere":
        with pytest.raises(Died):
            await stage.relayed()
    crash("nowhere", 0)
    await stage.end_leases()
    await _age(stage)
    opened_at = await stage.pool.fetchval("SELECT clock_timestamp()")
    await stage.publish(7)
    with pytest.raises(Younger):
        await stage.relayed()
    one = stage.relay()
    await until(lambda: _trouble(stage, "Younger"))
    await one.stop()
    waiting = await rebase(stage.outbox(), opened_at)
    assert waiting == (7 if point == "inserted" else 12)
    await stage.publish(1)
    await stage.relayed()
    stored = [row[0] for row in await stage.stored()]
    assert Counter(stored) == Counter(number for one in stage.committed for number in one)
    assert [number for number in stored if 10 < number <= 15] == [11, 12, 13, 14, 15]


async def _age(stage: Stage) -> None:
    """Let everything stored have been written by a cluster that was a million transactions ahead. What ClickHouse has
    carries those numbers as well."""
    ahead = 1_000_000
    later = f"(xid::text::bigint + {ahead})::text::xid8"
    await stage.pool.execute(f"UPDATE tallybook_outbox SET xid = {later}")
    await stage.pool.execute(
        f"UPDATE tallybook_outbox_cursor SET xid = {later}, pending_xid = {later.replace('xid:', 'pending_xid:', 1)}"
    )
    await stage.tables.execute(
        f"ALTER TABLE event_log UPDATE outbox_xid = outbox_xid + {ahead} WHERE 1 SETTINGS mutations_sync = 2"
    )


# -- days --------------------------------------------------------------------------------------------------------------


async def _yesterday(stage: Stage) -> str:
    """A partition of yesterday, and the name of it."""
    day = await stage.pool.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date - 1")
    await stage.pool.execute("SELECT tallybook_outbox_make_partition($1)", day)
    return f"tallybook_outbox_{day:%Y_%m_%d}"


async def _publish_yesterday(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO tallybook_outbox (event_type, environment, created_at)"
        " VALUES ('late', 'test', now() - interval '1 day')"
    )


async def test_a_day_that_is_relayed_is_dropped_and_one_that_is_not_stays(stage: Stage) -> None:
    partition = await _yesterday(stage)
    await _publish_yesterday(stage)
    assert await days.drop_relayed(stage.pool) == []
    await stage.relayed()
    assert await days.drop_relayed(stage.pool) == [partition]
    assert await days.drop_relayed(stage.pool) == []
    assert await stage.tables.query("SELECT count() FROM event_log") == [(1,)]


async def test_a_day_with_a_writer_in_it_stays_and_nobody_waits_for_it(stage: Stage) -> None:
    partition = await _yesterday(stage)
    writer = await connect(stage.database)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(
        "INSERT INTO tallybook_outbox (event_type, environment, created_at)"
        " VALUES ('late', 'test', now() - interval '1 day')"
    )
    assert await days.drop_relayed(stage.pool) == []
    await transaction.commit()
    await writer.close()
    await stage.relayed()
    assert await days.drop_relayed(stage.pool) == [partition]


async def test_days_are_made_while_publishers_are_at_work(stage: Stage) -> None:
    tomorrow = await stage.pool.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 days', 'YYYY_MM_DD')")
    await stage.pool.execute(f"DROP TABLE tallybook_outbox_{tomorrow}")
    writer = await connect(stage.database)
    async with writer.transaction():
        await outbox_insert(writer, "open")
        assert await days.make_days(stage.pool) == 1
    await writer.close()
    assert await days.make_days(stage.pool) == 0


async def test_an_event_of_a_day_that_nobody_made_is_taken_shown_and_relayed(stage: Stage) -> None:
    await stage.pool.execute(
        "INSERT INTO tallybook_outbox (event_type, environment, created_at)"
        " VALUES ('ahead', 'test', now() + interval '40 days')"
    )
    one = Relay(stage.outbox(), "reporter")
    await one.report()
    assert OUTBOX_ASTRAY._value.get() == 1
    await stage.relayed()
    await days.drop_relayed(stage.pool)
    await one.report()
    assert OUTBOX_ASTRAY._value.get() == 0
    assert await stage.tables.query("SELECT count() FROM event_log") == [(1,)]


async def test_a_stop_in_the_middle_gives_the_cursor_back(stage: Stage) -> None:
    for _ in range(5):
        await stage.publish(100)
    one = stage.relay(rows=50)
    await until(lambda: _has(stage, 50))
    await one.stop()
    assert await stage.pool.fetchval("SELECT owner FROM tallybook_outbox_cursor") is None
    assert await relay(stage.outbox(1000), "another") is not None
    await stage.check()


async def test_nobody_waits_for_the_lease_of_a_relay_that_was_killed_here(stage: Stage) -> None:
    await stage.publish(3)
    outbox = Outbox(stage.pool, stage.tables)
    killed = await claimed(outbox, dead_owner())
    assert killed is not None
    heir = await claimed(outbox, new_owner())
    assert heir is not None
    assert heir.epoch == killed.epoch + 1
    assert await claimed(outbox, "another") is None  # whose process lives
    with pytest.raises(Lost):
        await step(outbox, killed)
    await step(outbox, heir)
    await stage.check()


async def test_a_lease_is_renewed_while_a_batch_takes_longer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that inserts slowly keeps its cursor: others would only repeat the insert."""
    await stage.publish(3)
    goes_on, until_of = asyncio.Event(), "SELECT lease_until FROM tallybook_outbox_cursor"
    insert = ClickHouse.insert

    async def slow(*arguments: Any, **more: Any) -> None:
        await goes_on.wait()
        await insert(*arguments, **more)

    monkeypatch.setattr(ClickHouse, "insert", slow)
    stage.relay(lease_s=0.3)
    await until(lambda: stage.pool.fetchval("SELECT pending_rows IS NOT NULL FROM tallybook_outbox_cursor"))
    seen = await stage.pool.fetchval(until_of)

    async def is_renewed() -> bool:
        return bool(await stage.pool.fetchval(until_of) > seen)

    await until(is_renewed)
    goes_on.set()
    await until(stage._is_drained)
    await stage.check()
    assert await stage.pool.fetchval("SELECT epoch FROM tallybook_outbox_cursor") == 1
