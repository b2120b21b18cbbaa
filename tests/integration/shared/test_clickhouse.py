"""The client and the schema of ClickHouse: what is acknowledged is stored once, and the schema keeps it so."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import msgspec
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from shared.errors import SchemaError
from shared.migrations import migrate_clickhouse
from shared.settings import Settings
from shared.stores import clickhouse_errors
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse, classify, connect, database
from tallybook.stack.check import examine
from tests.harness.process import free_port

pytestmark = pytest.mark.every_engine

WINDOW = "SETTINGS non_replicated_deduplication_window = 10000"
TRACKER = uuid.UUID(int=7)


@pytest.fixture
async def client(clickhouse_settings: Settings) -> AsyncIterator[ClickHouse]:
    """A client of this test's database."""
    async with connect(clickhouse_settings) as one:
        yield one


@pytest.fixture
async def plain(clickhouse_settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client of the library itself, which sends only what it is told."""
    parts = urlsplit(clickhouse_settings.clickhouse_url or "")
    one = await clickhouse_connect.get_async_client(
        host=parts.hostname,
        port=parts.port,
        username=parts.username,
        password=parts.password or "",
        database=database(clickhouse_settings),
    )
    yield one
    await one.close()


def event(offset: int, **fields: Any) -> dict[str, Any]:
    """An event of a tracker, as it lies in the log."""
    at = datetime(2026, 11, 21, 10, 0, 0, 123_000, UTC)
    return {
        "date": str(at.date()),
        "date_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event_id": str(uuid.UUID(int=offset)),
        "tracker_id": str(TRACKER),
        "ip": "203.0.113.9",
        "user_id": str(uuid.UUID(int=1)),
        "user_agent": "Mozilla/5.0",
        "url": "https://example.org/ä?a='b'",
        "value": 'a "value"\t',
        "is_bot": False,
        "log_partition": 3,
        "log_offset": offset,
        "log_seq": 1,
        **fields,
    }


def lines(*events: dict[str, Any]) -> bytes:
    """As they are sent."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


# -- a batch counts once -----------------------------------------------------------------------------------------------


def chain(window: tuple[bool, bool, bool]) -> list[str]:
    """Raw rows, a minute and an hour made of them, with a window where it is said."""
    raw, minute, hour = (WINDOW if is_set else "" for is_set in window)
    columns = "(page String, at DateTime('UTC'), views AggregateFunction(sum, UInt64))"
    return [
        f"CREATE TABLE raw (page String, at DateTime('UTC')) ENGINE = MergeTree ORDER BY at {raw}",
        f"CREATE TABLE minute {columns} ENGINE = AggregatingMergeTree ORDER BY (page, at) {minute}",
        f"CREATE TABLE hour {columns} ENGINE = AggregatingMergeTree ORDER BY (page, at) {hour}",
        "CREATE MATERIALIZED VIEW minute_mv TO minute AS SELECT page, toStartOfMinute(at) AS at,"
        " sumState(toUInt64(1)) AS views FROM raw GROUP BY page, at",
        "CREATE MATERIALIZED VIEW hour_mv TO hour AS SELECT page, toStartOfHour(at) AS at,"
        " sumMergeState(views) AS views FROM minute GROUP BY page, at",
    ]


COUNTS = "SELECT (SELECT count() FROM raw), (SELECT sumMerge(views) FROM minute), (SELECT sumMerge(views) FROM hour)"
BATCH = lines(*({"page": "p", "at": f"2026-11-21 10:00:{second:02}"} for second in range(10)))


@pytest.mark.parametrize(
    ("window", "dependent", "wanted"),
    [
        ((True, True, True), 1, (10, 10, 10)),
        ((True, True, False), 1, (10, 10, 20)),
        ((True, False, False), 1, (10, 20, 20)),
        ((False, False, False), 1, (20, 20, 20)),
        ((True, True, True), 0, (10, 20, 20)),
        ((True, True, False), 0, (10, 20, 20)),
        ((True, False, False), 0, (10, 20, 20)),
        ((False, False, False), 0, (20, 20, 20)),
    ],
)
async def test_a_batch_sent_twice_counts_once_only_with_every_window_and_the_setting(
    plain: AsyncClient, window: tuple[bool, bool, bool], dependent: int, wanted: tuple[int, int, int]
) -> None:
    for sql in chain(window):
        await plain.command(sql)
    settings = {
        "insert_deduplication_token": "a",
        "deduplicate_blocks_in_dependent_materialized_views": dependent,
        "async_insert": 0,
        "wait_end_of_query": 1,
    }
    for _ in range(2):
        await plain.raw_insert("raw", insert_block=BATCH, fmt="JSONEachRow", settings=settings)
    assert (await plain.query(COUNTS)).result_rows == [wanted]


async def test_the_client_counts_once_and_tells_equal_batches_apart(client: ClickHouse) -> None:
    for sql in chain((True, True, True)):
        await client.execute(sql)
    for token in ("a", "a", "b", "a", "b"):
        await client.insert("raw", BATCH, token)
    assert await client.query(COUNTS) == [(20, 20, 20)]


async def test_a_view_that_fails_is_healed_by_the_repeat(client: ClickHouse) -> None:
    for sql in chain((True, True, True)):
        await client.execute(sql)
    await client.execute("RENAME TABLE hour TO away")
    with pytest.raises(CLICKHOUSE_ERRORS):
        await client.insert("raw", BATCH, "a")
    await client.execute("RENAME TABLE away TO hour")
    await client.insert("raw", BATCH, "a")
    assert await client.query(COUNTS) == [(10, 10, 10)]


async def test_inserts_that_run_side_by_side_count_once(client: ClickHouse) -> None:
    batches = {f"batch {n}": lines(*(event(10 * n + i) for i in range(10))) for n in range(8)}
    await asyncio.gather(*(client.insert("tracker_events", rows, token) for token, rows in [*batches.items()] * 3))
    sql = "SELECT count(), uniqExact(log_partition, log_offset, log_seq) FROM tracker_events"
    assert await client.query(sql) == [(80, 80)]


async def test_an_insert_without_a_token_is_a_mistake(client: ClickHouse) -> None:
    with pytest.raises(ValueError, match="token"):
        await client.insert("tracker_events", lines(event(1)), "")


async def test_the_library_itself_can_do_everything_else(plain: AsyncClient) -> None:
    await plain.command(
        "CREATE TABLE other (n UInt32, at DateTime64(3), tags Array(String), more JSON) ENGINE = Memory"
    )
    at = datetime(2026, 11, 21, 10, 0, 0, 5000)  # noqa: DTZ001 - as the library has it
    wanted = [(n, at, ["a'b", "\t"], {"x": {"y": n}}) for n in range(5_000)]
    await plain.insert("other", wanted, column_names=["n", "at", "tags", "more"])  # Native, packed by lz4
    assert (await plain.query("SELECT * FROM other ORDER BY n")).result_rows == wanted
    async with await plain.query_rows_stream("SELECT n FROM other ORDER BY n") as stream:
        assert [row async for row in stream] == [(n,) for n in range(5_000)]
    assert await plain.raw_query("SELECT max(n) FROM other", fmt="CSV") == b"4999\n"
    assert await plain.ping()


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"date": "yesterday"},
        {"date_time": "x"},
        {"event_id": "x"},
        {"ip": "203.0.113.999"},
        {"is_bot": "perhaps"},
        {"log_partition": "x"},
        {"more": 1},
    ],
    ids=lambda bad: next(iter(bad)),
)
async def test_a_bad_record_is_an_error_of_data_and_stores_nothing(client: ClickHouse, bad: dict[str, Any]) -> None:
    with pytest.raises(ClickHouseError) as caught:
        await client.insert("tracker_events", lines(event(1), event(2, **bad)), "a")
    assert classify(caught.value) == "data", caught.value
    assert await client.query("SELECT count() FROM tracker_events") == [(0,)]


async def test_rows_of_too_many_months_are_an_error_of_data(client: ClickHouse) -> None:
    months = [event(n, date=f"{1990 + n // 12}-{n % 12 + 1:02}-01") for n in range(150)]
    with pytest.raises(ClickHouseError) as caught:
        await client.insert("tracker_events", lines(*months), "a")
    assert classify(caught.value) == "data", caught.value


async def test_other_failures_have_their_classes(client: ClickHouse, clickhouse_settings: Settings) -> None:
    await _fails(client.insert("missing", b"{}\n", "a"), 60, "setup")
    await _fails(client.query("SELECT throwIf(1)"), 395, "setup")
    await _fails(
        client.query("SELECT uniqExact(number) FROM numbers(9000000) SETTINGS max_memory_usage = 9000000"),
        241,
        "overload",
    )
    parts = urlsplit(clickhouse_settings.clickhouse_url or "")
    wrong = parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}").geturl()
    async with connect(msgspec.structs.replace(clickhouse_settings, clickhouse_url=wrong)) as stranger:
        await _fails(stranger.query("SELECT 1"), 516, "setup")
        await _fails(stranger.insert("tracker_events", lines(event(1)) * 10_000, "a"), 516, "setup")
    nobody = msgspec.structs.replace(clickhouse_settings, clickhouse_url=f"http://u:p@127.0.0.1:{free_port()}")
    async with connect(nobody) as away:
        await _fails(away.insert("tracker_events", lines(event(1)), "a"), None, "unknown")


async def _fails(call: Any, code: int | None, wanted: str) -> None:
    with pytest.raises(CLICKHOUSE_ERRORS) as caught:
        await call
    assert (getattr(caught.value, "code", None), classify(caught.value)) == (code, wanted), caught.value


async def test_time_outs_are_nested(clickhouse_settings: Settings) -> None:
    short = msgspec.structs.replace(clickhouse_settings, clickhouse_timeout_s=3.0)
    async with connect(short) as client:  # the statement ends before the client gives up
        await _fails(
            client.query("SELECT sleepEachRow(0.5) FROM numbers(100) SETTINGS max_block_size = 1"), 159, "unknown"
        )


async def test_every_name_in_the_table_of_errors_is_the_name_of_its_code(client: ClickHouse) -> None:
    names = {code: name for codes in clickhouse_errors._CLASSES.values() for code, name in codes.items()}
    sql = "SELECT arrayMap(code -> errorCodeToName(code), {codes:Array(UInt32)})"
    assert (await client.query(sql, {"codes": list(names)}))[0][0] == list(names.values())


async def test_a_proxy_of_the_environment_is_not_asked_about_loopback(
    clickhouse_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "example.org")
    async with connect(clickhouse_settings) as client:
        assert await client.query("SELECT 1") == [(1,)]


# -- the schema --------------------------------------------------------------------------------------------------------


async def test_an_event_comes_back_as_it_was(client: ClickHouse) -> None:
    await client.insert("tracker_events", lines(event(5, ip="2001:db8::1"), event(6)), "a")
    found = await client.query("SELECT * FROM tracker_events ORDER BY log_offset")
    assert [str(row[4]) for row in found] == ["2001:db8::1", "::ffff:203.0.113.9"] or str(
        found[1][4]
    ) == "::ffff:cb00:7109"
    assert found[0][6:] == ("Mozilla/5.0", "https://example.org/ä?a='b'", 'a "value"\t', False, 3, 5, 1)
    sql = "SELECT count() FROM tracker_events WHERE tracker_id = {tracker:UUID} AND date = {day:Date} AND NOT is_bot"
    assert await client.query(sql, {"tracker": TRACKER, "day": datetime(2026, 11, 21, tzinfo=UTC).date()}) == [(2,)]


async def test_counts_of_a_tracker_read_its_rows_alone(client: ClickHouse) -> None:
    others = [event(n, tracker_id=str(uuid.UUID(int=100 + n % 50))) for n in range(100_000)]
    await client.insert("tracker_events", lines(*others, event(1)), "a")
    sql = (
        "EXPLAIN indexes = 1 SELECT count() FROM tracker_events WHERE tracker_id = toUUID('{}') AND date = '2026-11-21'"
    )
    plan = "\n".join(str(row[0]) for row in await client.query(sql.format(TRACKER)))
    granules = re.findall(r"Granules: (\d+)/(\d+)", plan)
    assert int(granules[-1][0]) <= 2 < int(granules[0][1]), plan


async def test_migrations_can_be_repeated_and_raced(clickhouse_settings: Settings) -> None:
    name = f"{database(clickhouse_settings)}_r"
    base = (clickhouse_settings.clickhouse_url or "").rpartition("/")[0]
    fresh = msgspec.structs.replace(clickhouse_settings, clickhouse_url=f"{base}/{name}")
    files = await migrate_clickhouse.pending(fresh)
    assert files
    await asyncio.gather(*(migrate_clickhouse.migrate(fresh) for _ in range(3)))
    assert await migrate_clickhouse.pending(fresh) == []
    assert await migrate_clickhouse.migrate(fresh) == []
    async with connect(fresh) as client:
        assert await client.query("SELECT name FROM schema_migrations ORDER BY name") == [(file,) for file in files]
        await client.execute(f"DROP DATABASE {name} SYNC")


async def test_migrations_of_a_newer_version_and_changed_ones_are_refused(
    client: ClickHouse, clickhouse_settings: Settings
) -> None:
    await client.insert("schema_migrations", lines({"name": "9999_later.sql", "sha256": "x"}), "later")
    with pytest.raises(SchemaError, match="9999_later"):
        await migrate_clickhouse.migrate(clickhouse_settings)
    await client.execute("TRUNCATE TABLE schema_migrations")
    await client.insert("schema_migrations", lines({"name": "0001_tracker_events.sql", "sha256": "x"}), "changed")
    with pytest.raises(SchemaError, match="was changed"):
        await migrate_clickhouse.pending(clickhouse_settings)


@pytest.mark.parametrize(
    "spoil",
    [
        ["ALTER TABLE tracker_events MODIFY SETTING non_replicated_deduplication_window = 0"],
        ["ALTER TABLE tracker_events RESET SETTING non_replicated_deduplication_window"],
        ["CREATE TABLE bare (x UInt8) ENGINE = MergeTree ORDER BY x"],
        ["CREATE MATERIALIZED VIEW v ENGINE = MergeTree ORDER BY day AS SELECT date AS day FROM tracker_events"],
        [
            "CREATE DATABASE {0}_o ENGINE = Atomic",
            "CREATE TABLE {0}_o.target (day Date) ENGINE = MergeTree ORDER BY day",
            "CREATE MATERIALIZED VIEW v TO {0}_o.target AS SELECT date AS day FROM tracker_events",
        ],
    ],
    ids=["zero", "reset", "a new table", "the table inside a view", "a target elsewhere"],
)
async def test_a_table_without_a_window_is_refused(
    client: ClickHouse, clickhouse_settings: Settings, spoil: list[str]
) -> None:
    assert await migrate_clickhouse.unprotected(clickhouse_settings) == []
    for sql in spoil:
        await client.execute(sql.format(client.database))
    assert len(await migrate_clickhouse.unprotected(clickhouse_settings)) == 1
    with pytest.raises(SchemaError, match="would count twice"):
        await migrate_clickhouse.migrate(clickhouse_settings)
    whole = msgspec.structs.replace(
        clickhouse_settings, redis_url="unix:///none", database_url="postgresql://u@127.0.0.1:1/d"
    )
    findings = [one for one in await examine(whole) if one.store == "clickhouse"]
    assert [one.level for one in findings] == ["ok", "unfit"]
    await client.execute(f"DROP DATABASE IF EXISTS {client.database}_o SYNC")


async def test_rows_are_on_the_disk_when_they_are_acknowledged(client: ClickHouse) -> None:
    sql = "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'tracker_events'"
    text = str((await client.query(sql))[0][0])
    for setting in (
        "fsync_after_insert",
        "fsync_part_directory",
        "min_rows_to_fsync_after_merge",
        "ttl_only_drop_parts",
    ):
        assert f"{setting} = 1" in text
    assert "non_replicated_deduplication_window = 10000" in text


@pytest.mark.parametrize(
    ("kind", "table", "day"),
    [("hits", "tracker_events", "date"), ("web", "web_items", "date"), ("events", "events", "event_date")],
)
async def test_v4_the_retention_follows_its_setting(
    client: ClickHouse, clickhouse_settings: Settings, kind: str, table: str, day: str
) -> None:
    # Page views have a retention of their own, which no setting moves.
    sql = (
        "SELECT name, create_table_query FROM system.tables"
        " WHERE database = currentDatabase() AND name NOT LIKE 'page_views_%'"
    )
    for days in (30, 30, 90, None, None):
        kept = (f"{kind}={days}",) if days else ()
        await migrate_clickhouse.migrate(msgspec.structs.replace(clickhouse_settings, retention_days=kept))
        texts = {str(name): str(text) for name, text in await client.query(sql)}
        found = {name: re.findall(r"TTL (\w+) \+ toIntervalDay\((\d+)\)", text) for name, text in texts.items()}
        assert {name: rules for name, rules in found.items() if rules} == ({table: [(day, str(days))]} if days else {})


async def test_what_is_too_old_goes(client: ClickHouse, clickhouse_settings: Settings) -> None:
    today = datetime.now(UTC).date()
    await client.insert("tracker_events", lines(event(1, date="2020-01-01")), "old")
    await client.insert("tracker_events", lines(event(2, date=str(today))), "new")
    await migrate_clickhouse.migrate(msgspec.structs.replace(clickhouse_settings, retention_days=("hits=30",)))
    await client.execute("OPTIMIZE TABLE tracker_events FINAL")
    assert await client.query("SELECT log_offset FROM tracker_events") == [(2,)]


def test_every_migration_bears_a_repetition() -> None:
    for path in sorted((Path(migrate_clickhouse.__file__).parent / "clickhouse").glob("*.sql")):
        for sql in migrate_clickhouse._END.split(re.sub(r"--.*", "", path.read_text())):
            # A mutation names what it changes; where nothing is left of that, it changes nothing.
            safe = r"\bIF (NOT )?EXISTS\b|\bMODIFY\b|\bUPDATE\b.*\bWHERE\b"
            assert not sql.strip() or re.search(safe, sql, re.DOTALL), f"{path.name}: {sql}"
