"""Cold events: they really lie elsewhere, every answer is as before, and nothing is lost or doubled on the way."""

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.asyncio import Redis

from aggregator.sink import event_storage
from gateway.cold import ColdError, prepare
from shared.errors import SchemaError
from shared.events.known_ids import Range, known
from shared.migrations import migrate_clickhouse
from shared.privacy.erasure import erase
from shared.settings import Settings
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse, classify, connect
from shared.stores.postgres import create_pool
from tallybook.stack.check import examine
from tests.harness.s3 import KEY_ID, S3, SECRET, s3
from tests.harness.services import require
from tests.harness.subjects.analytics import Event, asking, store
from tests.harness.subjects.events import event, event_stage, moment
from tests.harness.subjects.gateway import Gateway
from tests.harness.wait import until, wait_for

DAYS = 30
TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
#: Rows of no batch.
NOWHERE = Range(7, 0, 0, 0, 0)
COLD = {"TALLYBOOK_EVENTS_COLD_DAYS": str(DAYS)}


def some(first: int, count: int, days_back: int, **fields: Any) -> list[Event]:
    """Events of one day by users of their own and of all days."""
    at = TODAY - timedelta(days=days_back)
    country = ("UA", "DE", "PL")
    return [
        Event(n, at, f"user-{n % 40}", ("view", "buy")[n % 2], {"country": country[n % 3]}, **fields)
        for n in range(first, first + count)
    ]


#: Days of many months, with repeats of some.
HISTORY = [some(1000 * day, 60, day) for day in (0, 1, 29, 45, 46, 80, 110, 140)]
REPEATS = [some(1000 * day, 20, day, delay_s=60) for day in (1, 46, 110)]


@pytest.fixture
def bucket() -> Iterator[S3]:
    with s3() as one:
        yield one


def in_s3(bucket: S3, tmp_path: Path, **more: str) -> dict[str, str]:
    """The environment of a gateway whose events go to S3."""
    key = tmp_path / "key"
    key.write_text(f"{KEY_ID}:{SECRET}\n")
    place = {"TALLYBOOK_EVENTS_COLD_S3_URL": bucket.url, "TALLYBOOK_EVENTS_COLD_S3_KEY_FILE": str(key)}
    return COLD | place | more


@asynccontextmanager
async def migrated(gateway: Gateway, **fields: Any) -> AsyncIterator[ClickHouse]:
    """A client of the tables, as they are after `tallybook migrate` with these settings."""
    settings = gateway.settings("t", **fields)
    await migrate_clickhouse.migrate(settings)
    async with connect(settings) as client:
        yield client


async def rows_by_disk(client: ClickHouse) -> dict[str, int]:
    sql = (
        "SELECT disk_name, sum(rows) FROM system.parts "
        "WHERE database = 't' AND table = 'events' AND active GROUP BY disk_name"
    )
    return {str(disk): int(rows) for disk, rows in await client.query(sql)}


async def moved(client: ClickHouse, days: int = DAYS, *, off: str = "default") -> None:
    """Wait until no part that is old enough is on that disk."""

    async def is_moved() -> bool:
        sql = (
            "SELECT count() FROM system.parts WHERE database = 't' AND table = 'events' AND active "
            "AND disk_name = {disk:String} AND max_date + {days:UInt32} < today()"
        )
        return (await client.query(sql, {"days": days, "disk": off}))[0][0] == 0

    await until(is_moved, "what is old has moved")


async def answers(client: ClickHouse) -> list[Any]:
    """What all the statistics say."""
    first, last = (TODAY - timedelta(days=150)).date(), TODAY.date()
    days = {"from": str(first), "to": str(last)}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("dau", days),
        ("dau", days | {"tz": "Europe/Berlin"}),
        ("dau", days | {"segment": "properties.country:UA and event_type:buy"}),
        ("dau", days | {"approx": "true"}),
        ("top-events", days | {"limit": 5}),
        ("retention", {"start_date": str(first), "windows": 20, "window": "week"}),
    ]
    found = []
    async with asking(client) as http:
        for path, parameters in asked:
            answer = await http.get(f"/stats/{path}", params=parameters)
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
    return found


async def rows(client: ClickHouse) -> list[tuple[Any, ...]]:
    """Every row that lies in the table, merged or not."""
    sql = "SELECT event_id, occurred_at, user_id, log_offset, log_seq FROM events ORDER BY ALL"
    return [tuple(row) for row in await client.query(sql)]


# -- where they are, and what is seen of them --------------------------------------------------------------------------


async def test_old_events_lie_in_the_cold_folder_and_every_answer_is_as_before(
    gateways: Callable[..., Gateway],
) -> None:
    before = gateways()
    before.start()
    async with migrated(before) as client:  # an installation that has no cold place
        await store(client, *HISTORY, *REPEATS)
        hot_answers, hot_rows = await answers(client), await rows(client)
        assert await rows_by_disk(client) == {"default": len(hot_rows)}
    before.signal(signal.SIGTERM)
    one = gateways(**COLD)
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await moved(client)
        assert await rows_by_disk(client) == {"default": 3 * 60 + 20, "cold": 5 * 60 + 2 * 20}
        assert await answers(client) == hot_answers
        assert await rows(client) == hot_rows
        for part, path in await client.query(
            "SELECT name, path FROM system.parts WHERE active AND table = 'events' AND disk_name = 'cold'"
        ):
            assert Path(path) == one.folder.parent / "cold" / Path(path).relative_to(one.folder.parent / "cold")
            assert (Path(path) / "checksums.txt").is_file(), part
    one.signal(signal.SIGTERM)
    one.start()
    async with connect(one.settings("t")) as client:
        assert await answers(client) == hot_answers
        await client.execute("OPTIMIZE TABLE events FINAL")  # and when repeats are merged
        assert await answers(client) == hot_answers


async def test_events_that_come_late_are_stored_hot_and_move_then(gateways: Callable[..., Gateway]) -> None:
    one = gateways(**COLD)
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await client.execute("SYSTEM STOP MOVES events")
        await store(client, *HISTORY)
        assert set(await rows_by_disk(client)) == {"default"}
        await client.execute("SYSTEM START MOVES events")
        await moved(client)
        assert await rows_by_disk(client) == {"default": 180, "cold": 300}


async def test_a_repeat_of_a_cold_event_is_a_duplicate(
    gateways: Callable[..., Gateway], tmp_path: Path, redis_client: "Redis", redis_url: str, database: str
) -> None:
    one = gateways(**COLD)
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        (tmp_path / "stage").mkdir()
        old = [event(occurred_at=moment(100)) for _ in range(30)]
        settings = one.settings("t")
        async with event_stage(tmp_path / "stage", redis_url, database, settings, client) as stage:
            await stage.send(*old)
            await stage.settle()
            await moved(client)
            assert await rows_by_disk(client) == {"cold": 30}
            await redis_client.delete(*[key async for key in redis_client.scan_iter("tallybook:{events.ids.*")])
            ids = [UUID(one["event_id"]) for one in old]
            reports = await known(client, [_as_it_lies(identity) for identity in ids], NOWHERE)
            assert len(reports) == 30
            # Under other content, days and months: the first one wins.
            again = [one | {"occurred_at": moment(n), "user_id": "other"} for n, one in enumerate(old)]
            await stage.send(*again)
            await stage.settle()
            assert await stage.lying() == 30
            assert {row[1] for row in (await stage.rows()).values()} == {one["user_id"] for one in old}


def _as_it_lies(identity: UUID) -> bytes:
    return identity.bytes[7::-1] + identity.bytes[:7:-1]


async def test_who_is_erased_is_gone_from_the_cold_place_too(gateways: Callable[..., Gateway], database: str) -> None:
    one = gateways(**COLD)
    one.start()
    name = "xq7KpZ3LmVt9RwYb"  # nothing in it repeats, so files hold it as it is
    async with migrated(one, events_cold_days=DAYS) as client, create_pool(Settings(database_url=database)) as pool:
        theirs = [[Event(n, TODAY - timedelta(days=n), name)] for n in (1, 50, 90)]
        await store(client, *HISTORY, *theirs)
        await moved(client)
        assert len(_with(one, name)) >= 2
        assert (await erase(client, pool, name))["events"] == 3
        wait_for(lambda: not _with(one, name), "the parts that had the user are removed")
        assert sum((await rows_by_disk(client)).values()) == 480
        assert (await rows_by_disk(client))["cold"] == 300


def _with(gateway: Gateway, text: str) -> list[Path]:
    """Files of tables that hold a text, in either place."""
    found = []
    for folder in (gateway.folder / "store", gateway.folder.parent / "cold"):
        for path in (Path(where, name) for where, _, names in os.walk(folder) for name in names):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                if text.encode() in path.read_bytes():
                    found.append(path)
    return found


# -- killed on the way -------------------------------------------------------------------------------------------------

#: Calls of the system that a move makes: copies of files, and the names that parts get in the end.
RENAMES, COPIES = "rename,renameat,renameat2", "copy_file_range,sendfile"


@pytest.mark.parametrize(
    ("calls", "nth"),
    [
        pytest.param(RENAMES, 1, id="rename-1"),
        pytest.param(RENAMES, 3, id="rename-3", marks=pytest.mark.slow),
        pytest.param(COPIES, 1, id="copy_file_range-1", marks=pytest.mark.slow),
        pytest.param(COPIES, 60, id="copy_file_range-60"),
    ],
)
async def test_a_kill_in_the_midst_of_a_move_loses_and_doubles_nothing(
    gateways: Callable[..., Gateway], calls: str, nth: int
) -> None:
    one = gateways(**COLD)
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await client.execute("SYSTEM STOP MOVES events")
        await client.execute("SYSTEM STOP MERGES events")
        await store(client, *HISTORY, *REPEATS)
        before, told = await rows(client), await answers(client)
        batch = _lines(some(990_000, 50, 70))
        await client.insert("events", batch, "the last one")
        before += [row for row in await rows(client) if row not in before]
        with _killed_at(one, calls, nth):
            with contextlib.suppress(CLICKHOUSE_ERRORS):  # killed before the answer
                await client.execute("SYSTEM START MOVES events")
            assert one.process
            wait_for(lambda: one.process and one.process.poll() is not None, "it is killed", 20)
    one.start()
    async with connect(one.settings("t")) as client:
        assert sorted(await rows(client)) == sorted(before)
        await moved(client)
        assert sorted(await rows(client)) == sorted(before)
        await client.insert("events", batch, "the last one")  # the answer to it never arrived, say
        assert sorted(await rows(client)) == sorted(before)
        assert len(await answers(client)) == len(told)
        listed = await client.query(
            "SELECT name, count() FROM system.parts WHERE active AND table = 'events' GROUP BY 1"
        )
        assert {count for _, count in listed} == {1}


def _lines(events: list[Event]) -> bytes:
    return "\n".join(json.dumps(one.row) for one in events).encode()


class _killed_at:
    """strace kills the process at its n-th call of those."""

    def __init__(self, gateway: Gateway, calls: str, nth: int) -> None:
        assert gateway.process
        self._pid = gateway.process.pid
        inject = f"inject={calls}:signal=SIGKILL:when={nth}"
        self._command = [require("strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject]

    def __enter__(self) -> None:
        self._tracer = subprocess.Popen([*self._command, "-p", str(self._pid)], stderr=subprocess.PIPE, text=True)
        threads = Path(f"/proc/{self._pid}/task")
        wait_for(lambda: self._tracer.poll() is not None or _are_traced(threads), "strace holds every thread")
        if self._tracer.poll() is not None:
            pytest.skip(f"strace may not trace here: {self._tracer.stderr and self._tracer.stderr.read()}")

    def __exit__(self, *_: object) -> None:
        self._tracer.kill()
        self._tracer.communicate()


def _are_traced(threads: Path) -> bool:
    return all("TracerPid:\t0\n" not in (one / "status").read_text() for one in threads.iterdir())


async def test_the_id_of_a_block_is_kept_when_its_part_is_in_the_cold_place(gateways: Callable[..., Gateway]) -> None:
    # The part with the greatest number lies there alone: looked for in the hot place only, its id would be forgotten.
    one = gateways(**COLD)
    one.start()
    batch = _lines(some(1, 50, 70))
    async with migrated(one, events_cold_days=DAYS) as client:
        await store(client, some(500, 10, 0))
        await client.insert("events", batch, "old")
        await moved(client)
    one.signal(signal.SIGKILL)
    one.start()
    async with connect(one.settings("t")) as client:
        await client.insert("events", batch, "old")
        assert len(await rows(client)) == 60
    assert "block_ids_forgotten" not in one.log.read_text()


# -- settings that change ----------------------------------------------------------------------------------------------


async def test_the_rule_follows_its_setting_and_events_can_be_brought_back(gateways: Callable[..., Gateway]) -> None:
    one = gateways(**COLD)
    one.start()
    sql = "SELECT create_table_query FROM system.tables WHERE database = 't' AND name = 'events'"

    async def rule(**fields: Any) -> str:
        async with migrated(one, **fields) as client:
            text = str((await client.query(sql))[0][0])
            return text.partition(" TTL ")[2].partition(" SETTINGS ")[0]

    cold, kept = "event_date + toIntervalDay({}) TO VOLUME 'cold'", "event_date + toIntervalDay({})"
    assert await rule() == ""
    assert await rule(events_cold_days=60) == cold.format(60)
    assert await rule(events_cold_days=30, retention_days=("events=400",)) == f"{cold.format(30)}, {kept.format(400)}"
    # Gone before it could move.
    assert await rule(events_cold_days=30, retention_days=("events=30",)) == kept.format(30)
    assert await rule(retention_days=("events=400",)) == kept.format(400)
    async with migrated(one, events_cold_days=DAYS) as client:
        await store(client, *HISTORY)
        await moved(client)
        told = await answers(client)
    async with migrated(one) as client:  # never, from now on: what is cold stays, and is read
        assert (await rows_by_disk(client))["cold"] == 300
        assert await answers(client) == told
        for [partition] in await client.query(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND table = 'events' AND disk_name = 'cold'"
        ):
            await client.execute(f"ALTER TABLE events MOVE PARTITION ID '{partition}' TO VOLUME 'default'")
        assert await rows_by_disk(client) == {"default": 480}
        assert await answers(client) == told
    one.signal(signal.SIGTERM)
    without = gateways()
    without.start()  # the table still has its policy, and the note says so
    async with connect(without.settings("t")) as client:
        assert await answers(client) == told


async def test_what_is_too_old_goes_from_the_cold_place(gateways: Callable[..., Gateway]) -> None:
    one = gateways(**COLD)
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await store(client, *HISTORY)
        await moved(client)
    async with migrated(one, events_cold_days=DAYS, retention_days=("events=100",)) as client:

        async def is_gone() -> bool:
            return sum((await rows_by_disk(client)).values()) == 360

        await until(is_gone, "events of 110 and 140 days are gone")


async def test_a_server_without_the_policy_is_told_what_it_lacks(gateways: Callable[..., Gateway]) -> None:
    one = gateways()
    one.start()
    async with migrated(one):
        pass
    settings = one.settings("t", events_cold_days=DAYS, redis_url="unix:///none", database_url="postgresql://u@:1/d")
    with pytest.raises(SchemaError, match="storage policy hot_cold with the volumes default and cold"):
        await migrate_clickhouse.migrate(settings)
    findings = [one for one in await examine(settings) if one.store == "clickhouse"]
    assert [one.level for one in findings] == ["ok", "unfit"]
    assert "deploy/clickhouse/cold.xml" in findings[1].message


async def test_the_metrics_say_what_is_hot_cold_and_due(gateways: Callable[..., Gateway]) -> None:
    one = gateways(**COLD)
    one.start()
    settings = one.settings("t", events_cold_days=DAYS)
    async with migrated(one, events_cold_days=DAYS) as client:
        await event_storage.report(settings, client)
        assert _stored() == {"hot": 0, "cold": 0}
        await client.execute("SYSTEM STOP MOVES events")
        await store(client, *HISTORY)
        await event_storage.report(settings, client)
        assert _stored() == {"hot": 480, "cold": 0}
        assert event_storage.EVENTS_DUE._value.get() > 0
        await client.execute("SYSTEM START MOVES events")
        await moved(client)
        await event_storage.report(settings, client)
        assert _stored() == {"hot": 180, "cold": 300}
        assert event_storage.EVENTS_DUE._value.get() == 0


def _stored() -> dict[str, int]:
    return {place: int(event_storage.EVENTS_STORED_ROWS.labels(place)._value.get()) for place in ("hot", "cold")}


# -- places that are not there -----------------------------------------------------------------------------------------


def refused(gateway: Gateway) -> str:
    """Why it does not start."""
    process = gateway.launch()
    assert process.wait(30) == 1
    return gateway.log.read_text().strip().splitlines()[-1]


async def test_a_folder_that_is_not_mounted_ends_the_start_and_one_that_was_moved_is_taken(
    gateways: Callable[..., Gateway], tmp_path: Path
) -> None:
    one = gateways(**COLD, TALLYBOOK_EVENTS_COLD_DIR=str(tmp_path / "disk"))
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await store(client, *HISTORY)
        await moved(client)
        told = await answers(client)
    one.signal(signal.SIGTERM)
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    (tmp_path / "disk").mkdir()  # the bare mount point
    assert "is not the folder of cold events" in refused(one)
    assert "is not the folder of cold events" in refused(gateways(TALLYBOOK_EVENTS_COLD_DIR=str(tmp_path / "new")))
    other = gateways("other", **COLD, TALLYBOOK_EVENTS_COLD_DIR=str(tmp_path / "elsewhere"))
    assert "of another data folder" in refused(other)
    again = gateways(**COLD, TALLYBOOK_EVENTS_COLD_DIR=str(tmp_path / "elsewhere"))
    again.start()
    async with connect(again.settings("t")) as client:
        assert await answers(client) == told


def test_a_folder_that_holds_nothing_can_be_left(tmp_path: Path) -> None:
    (tmp_path / "clickhouse").mkdir()
    first = Settings(events_cold_days=DAYS, events_cold_dir=str(tmp_path / "one"))
    assert prepare(first, tmp_path).roots == (tmp_path / "one",)
    second = msgspec.structs.replace(first, events_cold_dir=str(tmp_path / "two"))
    assert prepare(second, tmp_path).roots == (tmp_path / "two",)
    (tmp_path / "two/store/abc/def/202601_1_1_0").mkdir(parents=True)
    with pytest.raises(ColdError, match="is not the folder of cold events"):
        prepare(msgspec.structs.replace(first, events_cold_dir=str(tmp_path / "three")), tmp_path)
    (tmp_path / "clickhouse/cold.json").write_text("{")
    with pytest.raises(ColdError, match="cannot be read as a note"):
        prepare(second, tmp_path)


def test_nothing_is_made_where_no_event_is_to_be_cold(tmp_path: Path) -> None:
    (tmp_path / "clickhouse").mkdir()
    assert prepare(Settings(), tmp_path) == (None, ())
    assert list(tmp_path.iterdir()) == [tmp_path / "clickhouse"]


# -- S3 ----------------------------------------------------------------------------------------------------------------


async def test_events_move_from_a_folder_into_s3_and_are_seen_erased_and_known_there(
    gateways: Callable[..., Gateway], bucket: S3, tmp_path: Path, database: str
) -> None:
    folder = gateways(**COLD)
    folder.start()
    async with migrated(folder, events_cold_days=DAYS) as client:
        await store(client, *HISTORY, *REPEATS)
        told, lying = await answers(client), await rows(client)
        await moved(client)
        assert set(await rows_by_disk(client)) == {"default", "cold"}
    folder.signal(signal.SIGTERM)
    one = gateways(**in_s3(bucket, tmp_path))
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client, create_pool(Settings(database_url=database)) as pool:
        await moved(client, off="cold")  # what was in the folder goes on to S3
        assert await rows_by_disk(client) == {"default": 200, "cold_cache": 340}
        left_behind = one.folder.parent / "cold/store"
        wait_for(lambda: not list(left_behind.glob("*/*/20*_*_*_*")), "the folder is empty")
        assert bucket.objects
        assert await answers(client) == told
        assert await rows(client) == lying
        old = [_as_it_lies(one[0]) for one in lying]
        assert len(await known(client, old, NOWHERE)) == 480
        assert (await erase(client, pool, "user-7"))["events"] == sum(row[2] == "user-7" for row in lying)
        assert not [row for row in await rows(client) if row[2] == "user-7"]
        left = await rows(client)
    one.signal(signal.SIGKILL)
    one.start()
    async with connect(one.settings("t")) as client:
        assert await rows(client) == left
    seen = [path for path in one.folder.parent.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert seen == []  # of the log and the notes, too
    one.signal(signal.SIGTERM)
    without = gateways(**COLD)
    assert f"cold events are at {bucket.url}" in refused(without)


async def test_while_s3_is_away_hot_events_and_other_tables_are_there_and_repeats_wait(
    gateways: Callable[..., Gateway], bucket: S3, tmp_path: Path
) -> None:
    one = gateways(**in_s3(bucket, tmp_path, TALLYBOOK_TEST_EVENTS_COLD_CACHE_BYTES="0"))
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await store(client, *HISTORY)
        await moved(client)
        lying = await rows(client)
        bucket.is_there.clear()  # it takes requests, and says nothing
        with pytest.raises(ClickHouseError) as silent:  # of the engine: its statement has ended
            await rows(client)
        assert classify(silent.value) == "unknown"
        bucket.is_there.set()
        assert await rows(client) == lying
        bucket.stop()
        assert await client.query("SELECT count() FROM tracker_events") == [(0,)]
        recent = "SELECT uniqExact(user_id) FROM events FINAL WHERE event_date >= today() - 2"
        assert await client.query(recent) == [(40,)]
        with pytest.raises(CLICKHOUSE_ERRORS) as caught:
            await known(client, [_as_it_lies(UUID(int=46_005))], NOWHERE)
        assert classify(caught.value) == "unknown"
        bucket.start()

        async def is_back() -> bool:
            try:
                return await rows(client) == lying
            except CLICKHOUSE_ERRORS:
                return False

        await until(is_back, "all is as before")


async def test_a_kill_in_the_midst_of_a_move_into_s3_loses_and_doubles_nothing(
    gateways: Callable[..., Gateway], bucket: S3, tmp_path: Path
) -> None:
    one = gateways(**in_s3(bucket, tmp_path))
    one.start()
    async with migrated(one, events_cold_days=DAYS) as client:
        await client.execute("SYSTEM STOP MOVES events")
        await store(client, *HISTORY, *REPEATS)
        before = await rows(client)
    for objects in (1, 20, 60):
        async with connect(one.settings("t")) as client:
            has = len(bucket.objects)
            await client.execute("SYSTEM START MOVES events")
            wait_for(lambda: len(bucket.objects) >= has + objects, "it moves")  # noqa: B023 - asked within the round
        one.signal(signal.SIGKILL)
        one.start()
        async with connect(one.settings("t")) as client:
            await client.execute("SYSTEM STOP MOVES events")
            assert await rows(client) == before
    async with connect(one.settings("t")) as client:
        await client.execute("SYSTEM START MOVES events")
        await moved(client)
        assert await rows(client) == before
        assert Counter(row[0] for row in before) == Counter(row[0] for row in await rows(client))
