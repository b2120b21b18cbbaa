"""The embedded ClickHouse: speaks as a server does, keeps what it acknowledged, and shares its folder with nobody."""

import asyncio
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import lz4.frame
import pytest

from gateway.compression import zstd
from gateway.engine import BODY_MAX
from ingest.statistics.clickhouse_reads import Reads
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse, classify, connect, connect_without_database
from shared.workload import READS
from tests.harness.process import lives
from tests.harness.services import require
from tests.harness.subjects.gateway import PASSWORD, USER, Gateway
from tests.harness.wait import wait_for

RAW = """CREATE TABLE t.raw (n UInt64, text String) ENGINE = MergeTree ORDER BY n
SETTINGS non_replicated_deduplication_window = 1000"""

LIMITS = "SETTINGS non_replicated_deduplication_window = 1000"

#: A view that counts the rows, as aggregates of events do.
TOTAL = (
    """CREATE TABLE t.total (part UInt8, rows AggregateFunction(sum, UInt64))
    ENGINE = AggregatingMergeTree ORDER BY part
    SETTINGS non_replicated_deduplication_window = 1000""",
    """CREATE MATERIALIZED VIEW t.total_mv TO t.total AS
    SELECT toUInt8(n % 3) AS part, sumState(toUInt64(1)) AS rows FROM t.raw GROUP BY part""",
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for tests that leave it as it is."""
    one = with_table(Gateway(tmp_path_factory.mktemp("shared")))
    yield one
    one.close()


def with_table(one: Gateway) -> Gateway:
    """Start it, with an empty table `t.raw`."""
    one.start()
    one.ask("POST", body=b"CREATE DATABASE t ENGINE = Atomic")
    one.ask("POST", body=RAW.encode())
    return one


def rows(first: int, number: int) -> bytes:
    """So many rows, as they are sent."""
    return b"".join(json.dumps({"n": n, "text": f"row {n}"}).encode() + b"\n" for n in range(first, first + number))


def insert(gateway: Gateway, batch: bytes, token: str) -> int:
    """Insert once; the code of ClickHouse."""
    settings = {"insert_deduplication_token": token, "async_insert": "0"}
    return gateway.ask("POST", body=b"INSERT INTO t.raw FORMAT JSONEachRow\n" + batch, **settings).code


def count(gateway: Gateway) -> tuple[int, int]:
    """Rows, and different rows."""
    answer = gateway.ask("POST", body=b"SELECT count(), uniqExact(n) FROM t.raw")
    assert answer.code == 0, answer.text
    found = answer.text.split()
    return int(found[0]), int(found[1])


# -- as a server does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("selec", 400, 62, "SYNTAX_ERROR"),
        ("", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT * FROM t.missing", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT * FROM missing.raw", 404, 81, "UNKNOWN_DATABASE"),
        ("SELECT missing FROM t.raw", 400, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT toUInt8('x')", 500, 6, "CANNOT_PARSE_TEXT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SYSTEM SHUTDOWN", 500, 48, "NOT_IMPLEMENTED"),
        ("/* a */ system -- b\n kill", 500, 48, "NOT_IMPLEMENTED"),
        ("SELECT ‘'’; SYSTEM SHUTDOWN --'", 400, 62, "SYNTAX_ERROR"),
    ],
)
def test_errors_have_the_codes_names_and_statuses_of_a_server(
    shared: Gateway, sql: str, status: int, code: int, name: str
) -> None:
    answer = shared.ask("POST", body=sql.encode())
    assert (answer.status, answer.code) == (status, code), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name})" in answer.text
    assert shared.answers()


def test_a_wrong_password_or_user_is_refused_before_anything_is_read(shared: Gateway) -> None:
    for user, password in ((USER, "wrong"), (USER, ""), ("default", PASSWORD), ("", ""), ("jürgen", PASSWORD)):
        answer = shared.ask("POST", user=user, password=password, body=b"x" * 10_000_000)
        assert (answer.status, answer.code) == (403, 516), (user, password)
    assert shared.ask("POST", user=None, headers={"Authorization": "Basic ????"}).code == 516
    assert shared.ask("POST", user=None, body=b"SELECT 1").code == 516


def test_credentials_come_in_each_of_the_three_ways(shared: Gateway) -> None:
    sent = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    assert shared.ask("POST", user=None, headers=sent, body=b"SELECT 1").text == "1\n"
    connection = shared.ask("POST", "/?" + f"user={USER}&password={PASSWORD}&query=SELECT+2", user=None)
    assert connection.text == "2\n"


def test_q2_a_get_changes_nothing(shared: Gateway) -> None:
    assert shared.ask("GET", query="SELECT 1").text == "1\n"
    for sql in ("CREATE TABLE t.other (x UInt8) ENGINE = Memory", "INSERT INTO t.raw VALUES (1, 'x')"):
        assert shared.ask("GET", query=sql, readonly="0").code == 164  # READONLY


async def test_parameters_arrive_as_they_were(shared: Gateway) -> None:
    wanted = {
        "a": 'it\'s "quoted" `so` \\ and \\n',
        "b": "tab\t, line\n, return\r, zero-width\u200b, ☃, 🎈",
        "c": "'); DROP TABLE t.raw --",
        "d": "x" * 200_000,  # too long for a URL: it comes in a form
    }
    async with connect_without_database(shared.settings()) as client:
        sql = "SELECT {a:String}, {b:String}, {c:String}, {d:String}, {list:Array(String)}, {none:Nullable(String)}"
        found = await client.query(sql, {**wanted, "list": list(wanted.values()), "none": None})
    assert found == [(*wanted.values(), list(wanted.values()), None)]


def test_settings_and_databases_end_with_their_request(shared: Gateway) -> None:
    asked = b"SELECT currentDatabase(), getSetting('max_result_rows')"
    assert shared.ask("POST", body=asked, database="t", max_result_rows="77").text == "t\t77\n"
    assert shared.ask("POST", body=asked).text == "default\t0\n"
    assert shared.ask("POST", body=b"SET max_result_rows = 5").code == 0
    assert shared.ask("POST", body=b"USE t").code == 0
    assert shared.ask("POST", body=asked).text == "default\t0\n"
    assert shared.ask("POST", body=b"SELECT 1", **{"a = 1, b": "2"}).code == 115  # UNKNOWN_SETTING
    assert shared.ask("POST", body=b"SELECT 1", database="t`; DROP DATABASE t").code == 81  # UNKNOWN_DATABASE


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("lz4", lz4.frame.compress), ("zstd", zstd.compress)],
)
def test_bodies_may_be_packed(shared: Gateway, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"SELECT 'packed'")
    assert shared.ask("POST", body=packed, headers={"Content-Encoding": encoding}).text == "packed\n"
    for broken in (b"SELECT 1", packed[:-4]):
        assert shared.ask("POST", body=broken, headers={"Content-Encoding": encoding}).code == 271  # CANNOT_DECOMPRESS
    bomb = pack(bytes(BODY_MAX + 1))
    assert shared.ask("POST", body=bomb, headers={"Content-Encoding": encoding}).code == 307  # TOO_MANY_BYTES


def test_what_is_not_spoken_is_refused(shared: Gateway) -> None:
    assert shared.ask("POST", body=b"x", headers={"Content-Encoding": "br"}).code == 73
    file = b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--x--\r\n'
    assert shared.ask("POST", body=file, headers={"Content-Type": "multipart/form-data; boundary=x"}).code == 48
    assert shared.ask("POST", body=b"SELECT '\xff'").code == 1002
    assert shared.ask("DELETE").status == 405
    assert shared.ask("GET", "/elsewhere").status == 404


def test_a_statement_may_not_take_more_memory_than_it_is_given(shared: Gateway) -> None:
    greedy = b"SELECT uniqExact(number) FROM numbers(30000000)"
    assert shared.ask("POST", body=greedy, max_memory_usage=str(50 << 20)).code == 241  # MEMORY_LIMIT_EXCEEDED
    assert shared.answers()


def test_q2_the_engine_has_the_bounds_that_it_was_given(gateways: Callable[..., Gateway]) -> None:
    one = with_table(gateways(TALLYBOOK_CLICKHOUSE_MEMORY_BYTES=str(700 << 20)))
    names = b"('max_server_memory_usage', 'mark_cache_size')"
    sql = b"SELECT value FROM system.server_settings WHERE name IN %b ORDER BY name"
    assert one.ask("POST", body=sql % names).text.split() == [str(64 << 20), str(700 << 20)]
    assert one.ask("POST", body=b"SELECT uniqExact(number) FROM numbers(60000000)").code == 241


async def test_statements_do_not_wait_for_one_another(shared: Gateway) -> None:
    async with connect_without_database(shared.settings()) as client:
        await client.query("SELECT 1")
        slow = [asyncio.create_task(client.query("SELECT sleep(2)")) for _ in range(3)]
        await asyncio.sleep(0.1)
        quick = asyncio.create_task(client.query("SELECT 1"))
        done, _ = await asyncio.wait([*slow, quick], return_when=asyncio.FIRST_COMPLETED)
        assert done == {quick}
        await asyncio.gather(*slow)


async def test_however_many_read_there_is_room_for_others(shared: Gateway) -> None:
    async with (
        ClickHouse(shared.settings(), None, READS) as reads,
        connect_without_database(shared.settings()) as client,
    ):
        await asyncio.gather(reads.query("SELECT 1"), client.query("SELECT 1"))
        slow = [asyncio.create_task(reads.query("SELECT sleep(2)")) for _ in range(5)]
        await asyncio.sleep(0.1)
        insert = client.insert("t.raw", b'{"n":1,"text":"beside reads"}', "beside-reads")
        other = asyncio.create_task(asyncio.wait_for(insert, 15))
        done, _ = await asyncio.wait([*slow, other], return_when=asyncio.FIRST_COMPLETED)
        assert done == {other}
        await asyncio.gather(*slow, other)


def waits(gateway: Gateway, sql: str, **parameters: str) -> socket.socket:
    """A connection over which a statement was sent, and its answer not waited for."""
    query = urlencode({"user": USER, "password": PASSWORD, **parameters})
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    head = f"POST /?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sql)}\r\n\r\n"
    connection.sendall(head.encode() + sql.encode())
    return connection


def running(gateway: Gateway, text: str) -> int:
    """Statements with that text that run."""
    sql = f"SELECT count() FROM system.processes WHERE query LIKE '%{text}%' AND query NOT LIKE '%processes%'"
    return int(gateway.ask("POST", body=sql.encode()).text)


def test_a_read_ends_when_its_client_leaves(shared: Gateway) -> None:
    endless = "SELECT count() FROM numbers(100000000000000) WHERE 'left' != ''"
    connection = waits(shared, endless, workload=READS)
    wait_for(lambda: running(shared, "''left''") == 1, "the statement runs")
    connection.close()
    wait_for(lambda: running(shared, "''left''") == 0, "the statement is cancelled")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t.raw VALUES (1, 'x')",
        "DROP TABLE t.raw",
        "CREATE TEMPORARY TABLE x (a UInt8)",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file ('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1 INTO OUTFILE '/tmp/tallybook-test'",
        "SELECT 1 SETTINGS readonly = 0",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SET readonly = 0",
    ],
)
async def test_q2_what_statistics_ask_can_only_read_the_tables(shared: Gateway, sql: str) -> None:
    async with Reads(shared.settings("t")) as reads:
        with pytest.raises(CLICKHOUSE_ERRORS, match=r"READONLY|readonly"):
            await reads.query(sql)
        assert await reads.query("SELECT {a:String}", {"a": "file(OUTFILE"}) == [("file(OUTFILE",)]


# -- what was acknowledged is kept, once -------------------------------------------------------------------------------


def test_a_repeat_is_dropped_through_a_kill_and_through_a_stop(gateways: Callable[..., Gateway]) -> None:
    one = with_table(gateways())
    assert insert(one, rows(0, 100), "a") == 0
    for end in (signal.SIGKILL, signal.SIGTERM):
        assert one.signal(end) == (-signal.SIGKILL if end == signal.SIGKILL else 0)
        one.start()
        assert insert(one, rows(0, 100), "a") == 0
        assert count(one) == (100, 100)
    assert insert(one, rows(100, 100), "b") == 0
    assert count(one) == (200, 200)


async def _write(client: ClickHouse, batches: int, size: int) -> int:
    """Insert batches one by one, each until it is acknowledged; how often one had to be repeated."""
    repeats = 0
    for batch in range(batches):
        while True:
            try:
                await client.insert("raw", rows(batch * size, size), f"batch {batch}")
                break
            except CLICKHOUSE_ERRORS as error:
                if classify(error) != "unknown":
                    raise
                repeats += 1
                await asyncio.sleep(0.05)
    return repeats


async def test_a_writer_that_repeats_counts_once_through_kills(gateways: Callable[..., Gateway]) -> None:
    one, batches, size = with_table(gateways()), 120, 50
    for sql in TOTAL:
        assert one.ask("POST", body=sql.encode()).code == 0
    async with connect(one.settings("t")) as client:
        writer = asyncio.create_task(_write(client, batches, size))
        for _ in range(3):
            await asyncio.to_thread(_kill_when_there_is_more, one, 10 * size)
        assert await writer > 0
    assert count(one) == (batches * size, batches * size)
    assert one.ask("POST", body=b"SELECT sumMerge(rows) FROM t.total").text == f"{batches * size}\n"


def _kill_when_there_is_more(gateway: Gateway, more: int) -> None:
    wanted = count(gateway)[0] + more
    wait_for(lambda: count(gateway)[0] >= wanted, "the writer gets on")
    gateway.signal(signal.SIGKILL)
    gateway.start()


def _part(gateway: Gateway, last_block: int) -> Path:
    """The folder of a part of the one table."""
    return next(gateway.folder.glob(f"store/*/*/all_{last_block}_{last_block}_0"))


def _log(gateway: Gateway) -> Path:
    """The log of block ids of the one table."""
    return next(gateway.folder.glob("store/*/*/deduplication_logs/deduplication_log_1.txt"))


def test_an_id_without_rows_is_forgotten_and_its_insert_can_be_repeated(gateways: Callable[..., Gateway]) -> None:
    one = with_table(gateways())
    assert insert(one, rows(0, 10), "a") == 0
    assert insert(one, rows(10, 10), "b") == 0
    one.signal(signal.SIGTERM)
    shutil.rmtree(_part(one, 2))  # as a kill between the id and the rename leaves it
    one.start()
    assert "block_ids_forgotten" in one.log.read_text()
    for _ in range(2):
        assert insert(one, rows(0, 10), "a") == 0
        assert insert(one, rows(10, 10), "b") == 0
        assert count(one) == (20, 20)


def test_a_torn_id_does_not_hide_those_before_it(gateways: Callable[..., Gateway]) -> None:
    one = with_table(gateways())
    assert insert(one, rows(0, 10), "a") == 0
    one.signal(signal.SIGTERM)
    with _log(one).open("a") as log:
        log.write("1\tall_2_2_0\tall_123")  # no more got to the disk
    one.start()
    assert insert(one, rows(0, 10), "a") == 0
    assert insert(one, rows(10, 10), "b") == 0
    one.signal(signal.SIGKILL)
    one.start()
    assert insert(one, rows(0, 10), "a") == 0
    assert insert(one, rows(10, 10), "b") == 0
    assert count(one) == (20, 20)


#: Opens the folder without a repair, repeats an insert, and prints what is there.
UNREPAIRED = """
import sys, chdb
engine = chdb.connect(sys.argv[1])
engine.query("SET insert_deduplication_token = 'a', async_insert = 0")
with engine.send_insert("INSERT INTO t.raw", "JSONEachRow") as stream:
    stream.append(sys.stdin.buffer.read())
    stream.finish()
print(engine.query("SELECT count() FROM t.raw", "TSV"))
engine.close()
"""


def test_a_kill_between_the_id_and_the_rename_loses_nothing(gateways: Callable[..., Gateway], tmp_path: Path) -> None:
    one = with_table(gateways())
    assert one.process
    inject = "inject=rename,renameat,renameat2:signal=SIGKILL:when=1"
    tracer = subprocess.Popen(
        [
            require("strace"),
            "-f",
            "-qq",
            "-e",
            "trace=rename,renameat,renameat2",
            "-e",
            inject,
            "-p",
            str(one.process.pid),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    threads = Path(f"/proc/{one.process.pid}/task")
    try:
        wait_for(lambda: tracer.poll() is not None or _are_traced(threads), "strace holds every thread")
        if tracer.poll() is not None:
            pytest.skip(f"strace may not trace here: {tracer.stderr and tracer.stderr.read()}")
        with pytest.raises((OSError, EOFError)):
            insert(one, rows(0, 10), "a")
        assert one.process.wait(30) == -signal.SIGKILL
    finally:
        tracer.kill()
        tracer.communicate()
    assert _log(one).read_text().startswith("1\tall_1_1_0\t")  # the id is there ...
    assert not list(one.folder.glob("store/*/*/all_1_1_0"))  # ... and the rows are not
    copy = tmp_path / "copy"
    shutil.copytree(one.folder, copy, symlinks=True)
    done = subprocess.run([sys.executable, "-c", UNREPAIRED, copy], input=rows(0, 10), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [b"0"], "the engine mends this by itself now: is the repair still needed?"
    one.start()
    for _ in range(2):
        assert insert(one, rows(0, 10), "a") == 0
        assert count(one) == (10, 10)


def _are_traced(threads: Path) -> bool:
    return all("TracerPid:\t0\n" not in (one / "status").read_text() for one in threads.iterdir())


def test_a_large_insert_is_whole_or_not_there(shared: Gateway) -> None:
    batch = rows(0, 300_000)
    assert shared.ask("POST", body=b"CREATE TABLE t.large AS t.raw").code == 0
    statement = b"INSERT INTO t.large FORMAT JSONEachRow\n"
    assert shared.ask("POST", body=statement + batch + b'{"n":"x"}\n').code == 27
    assert shared.ask("POST", body=b"SELECT count() FROM t.large").text == "0\n"
    assert shared.ask("POST", body=statement + batch).code == 0
    assert shared.ask("POST", body=b"SELECT count(), uniqExact(n) FROM t.large").text == "300000\t300000\n"


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("(n UInt64, text String, CONSTRAINT c CHECK n > 100) ENGINE = MergeTree ORDER BY n", 469),
        ("(n UInt64, text String) ENGINE = MergeTree PARTITION BY n ORDER BY n", 252),
        ("(n UInt64, text String, more UInt8 DEFAULT throwIf(n = 7)) ENGINE = MergeTree ORDER BY n", 395),
        ("(n UInt8, text UInt64) ENGINE = MergeTree ORDER BY n", 27),
    ],
)
def test_what_was_not_stored_is_not_acknowledged(shared: Gateway, table: str, code: int) -> None:
    assert shared.ask("POST", body=f"CREATE OR REPLACE TABLE t.strict {table}".encode()).code == 0
    answer = shared.ask("POST", body=b"INSERT INTO t.strict FORMAT JSONEachRow\n" + rows(0, 200).replace(b"row", b"ro"))
    assert answer.code == code, answer.text
    assert shared.ask("POST", body=b"SELECT count() FROM t.strict").text == "0\n"


@pytest.mark.parametrize(
    ("table", "settings", "code"),
    [
        ("", {"max_memory_usage": "1000000", "max_untracked_memory": "0"}, 241),
        (", parts_to_delay_insert = 1, parts_to_throw_insert = 1", {}, 252),
        ("", {"max_execution_time": "0.001"}, 159),
    ],
    ids=["memory", "parts", "time"],
)
def test_an_insert_that_is_stopped_is_not_acknowledged(
    shared: Gateway, table: str, settings: dict[str, str], code: int
) -> None:
    create = f"CREATE OR REPLACE TABLE t.stopped (n UInt64, text String) ENGINE = MergeTree ORDER BY n {LIMITS}{table}"
    assert shared.ask("POST", body=create.encode()).code == 0
    assert shared.ask("POST", body=b"SYSTEM STOP MERGES t.stopped").code == 0
    statement = b"INSERT INTO t.stopped FORMAT JSONEachRow\n"
    for token in ("a", "b"):
        assert shared.ask("POST", body=statement + rows(ord(token), 1), insert_deduplication_token=token).code in (
            0,
            code,
        )
    before = shared.ask("POST", body=b"SELECT count() FROM t.stopped").text
    large = shared.ask("POST", body=statement + rows(1000, 100_000), **settings)
    assert large.code == code, large.text[:300]
    assert shared.ask("POST", body=b"SELECT count() FROM t.stopped").text == before


def test_a_view_that_throws_is_an_error_of_the_insert(shared: Gateway) -> None:
    for sql in (
        "CREATE TABLE t.source AS t.raw",
        "CREATE TABLE t.target AS t.raw",
        "CREATE MATERIALIZED VIEW t.view TO t.target AS SELECT n + throwIf(n = 7) AS n, text FROM t.source",
    ):
        assert shared.ask("POST", body=sql.encode()).code == 0
    assert shared.ask("POST", body=b"INSERT INTO t.source FORMAT JSONEachRow\n" + rows(0, 10)).code == 395


def test_an_insert_in_many_blocks_counts_once(shared: Gateway) -> None:
    assert shared.ask("POST", body=b"CREATE TABLE t.blocks AS t.raw").code == 0
    assert shared.ask("POST", body=b"SYSTEM STOP MERGES t.blocks").code == 0
    statement = b"INSERT INTO t.blocks (n, text) SETTINGS max_threads = 1 FORMAT JSONEachRow\n"
    blocks = {"max_block_size": "1000", "min_insert_block_size_rows": "1000", "min_insert_block_size_bytes": "0"}
    settings = {"insert_deduplication_token": "a", **blocks}
    for _ in range(3):
        assert shared.ask("POST", body=statement + rows(0, 20_000), **settings).code == 0
    parts = b"SELECT count(), uniqExact(n), uniqExact(_part) FROM t.blocks"
    assert shared.ask("POST", body=parts).text == "20000\t20000\t20\n"


def test_an_insert_may_be_empty_and_have_parameters(shared: Gateway) -> None:
    assert shared.ask("POST", body=b"CREATE TABLE t.small AS t.raw").code == 0
    assert shared.ask("POST", body=b"INSERT INTO t.small FORMAT JSONEachRow\n").code == 0
    statement = b"INSERT INTO {table:Identifier} FORMAT JSONEachRow\n" + rows(0, 2)
    assert shared.ask("POST", body=statement, param_table="small", database="t").code == 0
    assert shared.ask("POST", query="INSERT INTO t.small FORMAT CSV", body=b"3,x\n4,y\n").code == 0
    assert shared.ask("POST", body=b"INSERT INTO t.small VALUES (5, 'z')").code == 0
    assert (
        shared.ask("POST", body=b"SELECT groupArray(n) FROM (SELECT n FROM t.small ORDER BY n)").text == "[0,1,3,4,5]\n"
    )


def test_a_body_above_the_limit_is_refused(shared: Gateway) -> None:
    answer = shared.ask("POST", body=bytes(BODY_MAX + 1))
    assert answer.code == 307


# -- one process, one folder -------------------------------------------------------------------------------------------


def test_a_second_gateway_on_the_folder_is_refused(gateways: Callable[..., Gateway], tmp_path: Path) -> None:
    one = with_table(gateways())
    second = Gateway(tmp_path / "data")
    second.log = tmp_path / "second.log"
    assert second.launch().wait(30) == 1
    assert "is open in another process" in second.log.read_text()
    assert insert(one, rows(0, 1), "a") == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:18199", "http://user:@127.0.0.1:18199", "http://user:x@0.0.0.0:18199", ""]
)
def test_it_starts_on_loopback_and_with_a_password_only(tmp_path: Path, url: str) -> None:
    one = Gateway(tmp_path, TALLYBOOK_CLICKHOUSE_URL=url)
    assert one.launch().wait(30) == 1
    assert "TALLYBOOK_CLICKHOUSE_URL" in one.log.read_text()
    assert not one.folder.exists()


def test_an_engine_that_cannot_allocate_any_more_ends_its_process(gateways: Callable[..., Gateway]) -> None:
    one = with_table(gateways(TALLYBOOK_CLICKHOUSE_MEMORY_BYTES=str(1 << 40)))
    assert insert(one, rows(0, 10), "a") == 0
    one.limit_memory(64 << 20)
    deadline = time.monotonic() + 30
    assert one.process
    while one.process.poll() is None:
        assert time.monotonic() < deadline, one.log.read_text()[-2000:]
        try:
            one.ask("POST", body=b"SELECT uniqExact(number) FROM numbers(100000000)", max_memory_usage="0")
        except OSError:
            continue
    assert one.process.returncode == 70
    assert "engine_failed" in one.log.read_text()
    one.start()
    assert count(one) == (10, 10)


def test_a_stop_does_not_wait_for_a_long_statement(gateways: Callable[..., Gateway]) -> None:
    one = with_table(gateways())
    assert one.process
    url = f"http://127.0.0.1:{one.port}/?user={USER}&password={PASSWORD}"
    slow = "SELECT sleepEachRow(3) FROM numbers(20) SETTINGS max_block_size = 1"
    script = f"import urllib.request; urllib.request.urlopen('{url}', b'{slow}')"
    asked = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    running = b"SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'"
    wait_for(lambda: one.ask("POST", body=running).text != "1\n", "the statement runs")
    one.process.send_signal(signal.SIGTERM)
    one.process.wait(20)
    assert not lives(one.process.pid)
    asked.wait()
    one.start()


def test_the_password_is_in_the_environment_and_in_no_list_of_processes(shared: Gateway) -> None:
    assert shared.process
    arguments = Path(f"/proc/{shared.process.pid}/cmdline").read_bytes()
    assert PASSWORD.encode() not in arguments
    assert Path(f"/proc/{shared.process.pid}/environ").stat().st_mode & 0o077 == 0
    assert PASSWORD not in shared.log.read_text()
    assert os.getpgid(shared.process.pid) == shared.process.pid  # what the engine does to its group stays there
