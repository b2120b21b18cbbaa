"""`tallybook users` on real stores: what it shows, and that nothing is left of who was erased."""

import asyncio
import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from shared.events.rows import Cut, Packer, blocks, rows_of, user_of
from shared.events.rows import Event as SentEvent
from shared.hit import id_bytes
from shared.privacy import erasure
from shared.privacy.erasure import USER_TABLES, sweep
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse, connect
from shared.stores.postgres import create_pool
from shared.uuid7 import NIL
from tallybook.cli import main
from tallybook.exits import Exit
from tests.harness.process import ROOT
from tests.harness.subjects.analytics import RECEIVED, Event, store

pytestmark = pytest.mark.every_engine

LONG_AGO = datetime(2026, 3, 1, tzinfo=UTC)
#: An id that would break out of SQL, JSON and CSV, and one of a cookie.
ODD = "=a'\"\\ü,\n{x}"
COOKIE = str(UUID(int=7))

_T = TypeVar("_T")


@pytest.fixture
def stores(database: str, clickhouse_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    assert clickhouse_settings.clickhouse_url
    monkeypatch.setenv("TALLYBOOK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", database)
    monkeypatch.setenv("TALLYBOOK_CLICKHOUSE_URL", clickhouse_settings.clickhouse_url)
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")
    return Settings(database_url=database, clickhouse_url=clickhouse_settings.clickhouse_url)


def with_stores(settings: Settings, work: Callable[[ClickHouse, Any], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with connect(settings) as clickhouse, create_pool(settings) as pool:
            return await work(clickhouse, pool)

    return asyncio.run(run())


def add(settings: Settings, *batches: list[Event]) -> None:
    with_stores(settings, lambda clickhouse, _: store(clickhouse, *batches))


def users(settings: Settings) -> list[str]:
    async def work(clickhouse: ClickHouse, _: Any) -> list[str]:
        return [str(user) for [user] in await clickhouse.query("SELECT user_id FROM events ORDER BY event_id, user_id")]

    return with_stores(settings, work)


def run(*arguments: str, stdin: str | None = None) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, ("users", *arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def hit(number: int, user: str) -> bytes:
    row = {"date": "2026-03-01", "date_time": "2026-03-01 00:00:00.000", "event_id": str(UUID(int=number))}
    row |= {"tracker_id": str(UUID(int=1)), "ip": "::", "user_id": user, "user_agent": "", "url": "", "value": ""}
    return json.dumps(row | {"is_bot": 0, "log_partition": 0, "log_offset": number, "log_seq": 0}).encode()


def test_every_table_with_a_user_is_known(stores: Settings) -> None:
    async def work(clickhouse: ClickHouse, _: Any) -> set[str]:
        sql = (
            "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase() AND name = 'user_id' "
            "AND type IN ('String', 'UUID', 'LowCardinality(String)')"
        )
        return {str(table) for [table] in await clickhouse.query(sql)}

    assert with_stores(stores, work) == {table.name for table in USER_TABLES}


def test_everything_of_a_user_is_written_out(stores: Settings) -> None:
    later = LONG_AGO + timedelta(days=40)
    add(stores, [Event(1, later, ODD, "buy", {"a": 1}), Event(2, LONG_AGO, ODD), Event(3, LONG_AGO, "other")])
    lines = run("export", ODD)
    rows = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [(row["table"], row["user_id"], row["event_type"]) for row in rows] == [
        ("events", ODD, "view"),
        ("events", ODD, "buy"),
    ]
    assert json.loads(rows[1]["properties"]) == {"a": 1}
    assert "rows: 2" in lines.stderr
    table = list(csv.DictReader(io.StringIO(run("export", ODD, "--format", "csv").stdout, newline="")))
    assert [row["event_id"] for row in table] == [row["event_id"] for row in rows]
    assert table[0]["user_id"] == f"'{ODD}"


def test_truths_and_nothing_look_in_csv_as_in_json(stores: Settings) -> None:
    async def view(clickhouse: ClickHouse, _: Any) -> None:
        row = json.loads(page_view(1, ODD, datetime.now(UTC))) | {"is_bounce": True}
        await clickhouse.insert("page_views_raw", json.dumps(row).encode(), "views")

    add(stores, [Event(1, LONG_AGO, ODD)])
    with_stores(stores, view)
    of_json = json.loads(run("export", ODD).stdout.splitlines()[1])
    event, viewed = csv.DictReader(io.StringIO(run("export", ODD, "--format", "csv").stdout, newline=""))
    assert (of_json["is_bounce"], viewed["is_bounce"]) == (True, "true")
    assert event["is_bounce"] == ""


def test_an_export_ends_quietly_when_nobody_reads_on(stores: Settings) -> None:
    add(stores, [Event(number, LONG_AGO, ODD, properties={"a": "x" * 1000}) for number in range(1, 500)])
    command = [sys.executable, "-m", "tallybook", "users", "export", ODD, "--format", "csv"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith(b"table,")
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == Exit.FAILED
    process.stderr.close()


def test_v4_who_is_erased_is_in_no_table_and_nobody_else_is_touched(stores: Settings) -> None:
    add(
        stores,
        [Event(1, LONG_AGO, ODD), Event(2, LONG_AGO, "other")],
        [Event(1, LONG_AGO, ODD), Event(3, LONG_AGO, COOKIE)],
    )

    async def hits(clickhouse: ClickHouse, _: Any) -> None:
        await clickhouse.insert("tracker_events", hit(1, COOKIE) + b"\n" + hit(2, str(UUID(int=8))), "hits")

    with_stores(stores, hits)
    erased = run("erase", ODD, "--yes", "--json")
    found = {"events": 2, "tracker_events": 0, "page_views_raw": 0}
    assert json.loads(erased.stdout) == {"erased": {**found, "dead letters": 0}, "left": 0}
    assert users(stores) == ["other", COOKIE]
    said = "events: 1, tracker_events: 1, page_views_raw: 0, dead letters: 0; left: 0\n"
    assert run("erase", COOKIE, stdin="y\n").stdout.endswith(said)
    assert users(stores) == ["other"]
    assert run("export", COOKIE).stdout == ""

    async def traces(clickhouse: ClickHouse, pool: Any) -> tuple[Any, Any]:
        [[hits]] = await clickhouse.query("SELECT count() FROM tracker_events")
        texts = await clickhouse.query("SELECT command FROM system.mutations WHERE database = currentDatabase()")
        kept = await pool.fetch("SELECT user_hash FROM erasures")
        assert not any(ODD in str(text) or COOKIE in str(text) for [text] in texts)
        return hits, {row["user_hash"] for row in kept}

    digests = {hashlib.sha256(user.encode()).digest() for user in (ODD, COOKIE)}
    assert with_stores(stores, traces) == (1, digests)


def page_view(number: int, user: str, at: datetime) -> bytes:
    row = {"event_time": f"{at.timestamp():.3f}", "page_id": "/", "user_id": user, "duration_ms": 7, "user_agent": "x"}
    row |= {"ip_address": "203.0.113.9", "region": "DE", "is_bounce": False, "processed_time": f"{at.timestamp():.3f}"}
    return json.dumps(row | {"log_partition": 0, "log_offset": number, "log_seq": 0}).encode()


def test_page_views_of_a_user_are_erased_and_what_they_added_up_to_stays(stores: Settings) -> None:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    lines = [page_view(1, ODD, at), page_view(2, "other", at), page_view(3, ODD, at + timedelta(minutes=1))]

    async def views(clickhouse: ClickHouse, _: Any) -> None:
        await clickhouse.insert("page_views_raw", b"\n".join(lines), "views")

    async def left(clickhouse: ClickHouse, _: Any) -> tuple[list[str], list[Any]]:
        raw = await clickhouse.query("SELECT user_id FROM page_views_raw ORDER BY log_offset")
        sums = await clickhouse.query("SELECT sum(views), uniqMerge(users) FROM page_views_agg_hour")
        return [user for [user] in raw], [tuple(row) for row in sums]

    with_stores(stores, views)
    rows = [json.loads(line) for line in run("export", ODD).stdout.splitlines()]
    assert [(row["table"], row["user_id"], int(row["log_offset"])) for row in rows] == [
        ("page_views_raw", ODD, 1),
        ("page_views_raw", ODD, 3),
    ]
    header, *table = list(csv.reader(io.StringIO(run("export", ODD, "--format", "csv").stdout, newline="")))
    assert [row[header.index("duration_ms")] for row in table] == ["7", "7"]
    assert json.loads(run("erase", ODD, "--yes", "--json").stdout)["erased"]["page_views_raw"] == 2
    assert with_stores(stores, left) == (["other"], [(3, 2)])

    async def again(clickhouse: ClickHouse, pool: Any) -> int:
        later = page_view(4, ODD, datetime.now(UTC) + timedelta(hours=1))
        await clickhouse.insert("page_views_raw", lines[0] + b"\n" + later, "as if it had been on its way")
        found = await sweep(clickhouse, pool)
        await erasure._mutated(clickhouse, "page_views_raw")
        return found

    assert with_stores(stores, again) == 1
    assert with_stores(stores, left)[0] == ["other", ODD]


def test_whoever_does_not_say_yes_erases_nothing(stores: Settings) -> None:
    add(stores, [Event(1, LONG_AGO, "a")])
    assert run("erase", "a", stdin="n\n").exit_code == Exit.FAILED
    assert users(stores) == ["a"]
    assert run("erase", str(NIL), "--yes").exit_code == Exit.USAGE
    assert run("erase", "", "--yes").exit_code == Exit.USAGE


def test_what_comes_back_is_erased_again_and_who_comes_again_stays(stores: Settings) -> None:
    add(stores, [Event(1, LONG_AGO, "a"), Event(2, LONG_AGO, "b")])
    run("erase", "a", "--yes")
    later = datetime.now(UTC) + timedelta(hours=1)
    late_s = int((later - RECEIVED).total_seconds())
    back = [Event(1, LONG_AGO, "a"), Event(3, LONG_AGO + timedelta(days=40), "a"), Event(4, later, "a", delay_s=late_s)]
    add(stores, back)
    assert users(stores) == ["a", "b", "a", "a"]

    async def swept(clickhouse: ClickHouse, pool: Any) -> tuple[int, int]:
        first = await sweep(clickhouse, pool)
        await erasure._mutated(clickhouse, "events")
        return first, await sweep(clickhouse, pool)

    assert with_stores(stores, swept) == (2, 0)
    assert users(stores) == ["b", "a"]


def test_what_is_dated_after_an_erasure_and_came_before_it_is_erased_again(stores: Settings) -> None:
    """It was on its way in the log, in a journal or in a letter, and its time is what a client said."""
    ahead, now = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC)
    run("erase", "a", "--yes")
    view = json.loads(page_view(1, "a", ahead)) | {"processed_time": f"{now.timestamp():.3f}"}
    again = json.loads(page_view(2, "a", ahead))

    async def came(clickhouse: ClickHouse, pool: Any) -> list[int]:
        lines = b"\n".join(json.dumps(one).encode() for one in (view, again))
        await clickhouse.insert("page_views_raw", lines, "views")
        found = await sweep(clickhouse, pool)
        for table in USER_TABLES:
            await erasure._mutated(clickhouse, table.name)
        return [found, *[rows for [rows] in await clickhouse.query("SELECT log_offset FROM page_views_raw")]]

    before, after = (int((moment - RECEIVED).total_seconds()) for moment in (now, ahead))
    add(stores, [Event(1, ahead, "a", delay_s=before), Event(2, ahead, "a", delay_s=after), Event(3, ahead, "b")])
    assert with_stores(stores, came) == [2, 2]
    assert users(stores) == ["a", "b"]


def block(*users: str) -> bytes:
    """A record with an event of each user."""
    packer = Packer(Settings(event_past_days=2800), int(datetime.now(UTC).timestamp() * 1000))
    rows = [packer.row(SentEvent(UUID(int=number), LONG_AGO, user, "view")) for number, user in enumerate(users, 1)]
    [(_, value)] = blocks(rows, Cut(100, 1 << 20))
    return value


def test_a_user_is_taken_out_of_dead_letters_and_others_stay_in_them(stores: Settings) -> None:
    long = "x" * 127 + "ü"  # its length has two bytes
    damaged = block(ODD, "b").replace(b"view", b"vie!", 1)
    values = [
        json.dumps({"user_id": ODD}, ensure_ascii=False).encode(),
        json.dumps({"user_id": "b", "x": ODD}).encode(),
        json.dumps({"user_id": "b", "x": f"{ODD}!"}).encode(),
        block("b", ODD, long, ODD),
        block(ODD),
        block("b", long),
        damaged,
    ]
    sql = (
        "INSERT INTO processing_errors "
        "(log, topic, partition, log_offset, log_seq, sink, reason, detail, key, raw, version) "
        "VALUES ('streams', 'events', 0, $1, 0, 'events', 'columns', $3, '', $2, 1)"
    )

    async def written(_: ClickHouse, pool: Any) -> None:
        for number, value in enumerate(values):
            await pool.execute(sql, number, value, f"cannot read {ODD}" if number in (0, 3) else "of a user")

    async def left(_: ClickHouse, pool: Any) -> dict[int, bytes | None]:
        rows = await pool.fetch("SELECT log_offset, raw, detail, dropped_at FROM processing_errors ORDER BY log_offset")
        assert not any(ODD in row["detail"] for row in rows)
        assert all((row["raw"] is None) == (row["dropped_at"] is not None) for row in rows)
        return {row["log_offset"]: row["raw"] for row in rows}

    with_stores(stores, written)
    letters = [json.loads(line) for line in run("export", ODD).stdout.splitlines()]
    assert {(row["table"], row["reason"]) for row in letters} == {("processing_errors", "columns")}
    assert [row["letter"].split("/")[3] for row in letters] == ["0-0", "1-0", "3-0", "3-0", "4-0", "6-0"]
    assert [row["record"] for row in letters[:2]] == [values[0].decode(), values[1].decode()]
    events = [json.loads(row["record"]) for row in letters[2:5]]
    assert [(one["event_id"], one["user_id"]) for one in events] == [(str(UUID(int=n)), ODD) for n in (2, 4, 1)]
    assert events[0]["occurred_at"] == "2026-03-01T00:00:00.000+00:00"
    assert (events[0]["event_type"], events[0]["properties"]) == ("view", {})
    assert letters[5]["record"] is None
    table = list(csv.DictReader(io.StringIO(run("export", ODD, "--format", "csv").stdout, newline="")))
    assert [row["letter"] for row in table] == [row["letter"] for row in letters]
    assert json.loads(run("erase", ODD, "--yes", "--json").stdout)["erased"]["dead letters"] == 5
    assert run("export", ODD).stdout == ""
    found = with_stores(stores, left)
    assert [number for number, raw in found.items() if raw is None] == [0, 1, 4, 6]
    assert (found[2], found[5]) == (values[2], values[5])
    mixed = found[3]
    assert mixed is not None
    assert [user_of(row) for row in rows_of(mixed)] == ["b", long]
    assert rows_of(mixed) == [rows_of(values[3])[0], rows_of(values[3])[2]]


def letters_of(stores: Settings, values: list[tuple[bytes, bytes]]) -> None:
    """Dead letters of page views, with key and value."""
    sql = (
        "INSERT INTO processing_errors "
        "(log, topic, partition, log_offset, log_seq, sink, reason, detail, key, raw, version) "
        "VALUES ('streams', 'page_views', 0, $1, 0, 'page_views', 'columns', 'at `$.user_id`', $2, $3, 1)"
    )

    async def written(_: ClickHouse, pool: Any) -> None:
        for number, (key, value) in enumerate(values):
            await pool.execute(sql, number, key, value)

    with_stores(stores, written)


#: Spellings of ids in letters, by the id.
SPELLINGS: list[tuple[str, list[bytes]]] = [
    (
        "4711",
        [
            b'{"user_id":4711}',
            b'{"user_id": "4711"}',
            b'{"user_id":4711.0}',
            b'{"user_id":4.711E3}',
            b'{"user_id":"\\u0034711"}',
            b'{"a":[{"b":["4711"]}]}',
            b'{"visitor-ID":4711}',
            b'{"users":[],"uid":[4711]}',
            b'{"\\u0075ser":{"id":4711}}',
            b'{"user_id":4711,"user_id":1}',
            b'{"user_id":4711,',
            b"user=4711;",
        ],
    ),
    (
        "ann+news@example.org",
        [
            b'{"user_id":"ann\\u002Bnews@example.org"}',
            b'{"user_id":"ann\\u002bnews\\u0040example.org"}',
            b'{"user_id":"ann\\u002Bnews@example.org","x":NaNa}',
            b'\xff{"user_id":"ann+news@example.org"}',
        ],
    ),
    ("org/7", [b'{"user_id":"org\\/7"}', b'{"user_id":"org/7"}', b'{"user_id":"org\\/7"']),
    ('ü"\\', [b'{"user_id":"\\u00fc\\u0022\\\\"}', '{"user_id":"ü\\"\\\\"}'.encode()]),
    (
        COOKIE,
        [
            f'{{"user_id":"{COOKIE.upper()}"}}'.encode(),
            f'{{"user_id":"{COOKIE}'.encode(),
            b"\x01\x00 a hit " + id_bytes(UUID(COOKIE).bytes) + b" that is damaged",
        ],
    ),
    ("😀", [b'{"user_id":"\\ud83d\\ude00"}', b'{"user_id":"\\ud83d\\ude00"']),
    ("123456789012345678901234567890", [b'{"user_id":123456789012345678901234567890}']),
]
#: What is of others.
OTHERS = [
    b'{"user_id":1,"duration":4711,"4711":{"id":4711},"ok":true,"COOKIE":[4711,4711.0]}',
    b'{"user_id":47110}',
    b'{"user_id":"14711"}',
    b'{"user_id":4711.5}',
    b'{"user_id":"47 11"}',
    b"47110;",
    b"{}",
]


@pytest.mark.parametrize(("user", "values"), SPELLINGS, ids=[user for user, _ in SPELLINGS])
def test_a_user_is_found_in_letters_however_the_id_is_spelled(stores: Settings, user: str, values: list[bytes]) -> None:
    letters_of(stores, [(b"", value) for value in (*values, *OTHERS)])
    found = [json.loads(line) for line in run("export", user).stdout.splitlines()]
    assert [int(row["letter"].split("/")[3].partition("-")[0]) for row in found] == list(range(len(values)))
    assert json.loads(run("erase", user, "--yes", "--json").stdout)["erased"]["dead letters"] == len(values)
    assert run("export", user).stdout == ""

    async def left(_: ClickHouse, pool: Any) -> list[Any]:
        rows = await pool.fetch("SELECT raw, detail FROM processing_errors ORDER BY log_offset")
        assert all((row["raw"] is None) == (row["detail"] == "") for row in rows)
        return [row["raw"] for row in rows if row["raw"] is not None]

    assert with_stores(stores, left) == OTHERS


def test_a_letter_under_the_key_of_a_user_is_about_that_user(stores: Settings) -> None:
    letters_of(stores, [(b"ann", b'{"page_id":"/"}'), (b"bob", b'{"page_id":"/"}')])
    assert len(run("export", "ann").stdout.splitlines()) == 1
    assert json.loads(run("erase", "ann", "--yes", "--json").stdout)["erased"]["dead letters"] == 1


def test_a_user_is_taken_out_of_what_a_replay_began_to_send(stores: Settings) -> None:
    mixed, plain = block("b", ODD), json.dumps({"user_id": ODD}, ensure_ascii=False).encode()
    sql = (
        "INSERT INTO processing_errors "
        "(log, topic, partition, log_offset, log_seq, sink, reason, detail, key, raw, sending, version) "
        "VALUES ('streams', 'events', 0, $1, 0, 'events', 'columns', '', '', $2, $3, 1)"
    )

    async def written(_: ClickHouse, pool: Any) -> None:
        for number, (raw, sending) in enumerate([(mixed, mixed), (b"no json", plain), (plain, plain)]):
            await pool.execute(sql, number, raw, sending)

    async def left(_: ClickHouse, pool: Any) -> list[tuple[Any, ...]]:
        sql = "SELECT raw, sending, dropped_at IS NOT NULL FROM processing_errors ORDER BY log_offset"
        return [tuple(row) for row in await pool.fetch(sql)]

    with_stores(stores, written)
    letters = [json.loads(line)["letter"].split("/")[3] for line in run("export", ODD).stdout.splitlines()]
    assert letters == ["0-0", "1-0", "2-0"]
    assert json.loads(run("erase", ODD, "--yes", "--json").stdout)["erased"]["dead letters"] == 3
    first, *others = with_stores(stores, left)
    assert [[user_of(row) for row in rows_of(value)] for value in first[:2]] == [["b"], ["b"]]
    assert [first[2], *others] == [False, (None, None, True), (None, None, True)]


def test_without_stores_nothing_is_said_to_be_erased(stores: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_CLICKHOUSE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TALLYBOOK_CLICKHOUSE_TIMEOUT_S", "2")
    result = run("erase", "a", "--yes")
    assert result.exit_code == Exit.UNREACHABLE
    assert "left" not in result.stdout
