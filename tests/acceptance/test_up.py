"""`tallybook up`, the real one: whatever is killed, every acknowledged click is counted once."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.settings import Settings
from shared.stores.clickhouse import connect
from tallybook.exits import Exit
from tallybook.stack import clickhouse
from tests.harness.http import fetched
from tests.harness.process import ROOT, Program, descendants, free_port, lives, program
from tests.harness.subjects.clicks import Ledger, counted, crowd
from tests.harness.wait import PATIENCE_S, until, wait_for

pytestmark = pytest.mark.timeout(180)

#: Clicks that have to be acknowledged before something is killed, and after it.
ROUND = 300
#: Settings of a stack that has short minutes, so that it flushes while the test looks on.
SETTINGS = {
    "TALLYBOOK_METRICS_PORT": "0",
    "TALLYBOOK_WORKERS": "2",
    "TALLYBOOK_TEST_MINUTE_S": "1",
    "TALLYBOOK_TEST_GRACE_S": "0.5",
    "TALLYBOOK_TEST_DRAIN_TIMEOUT_S": "10",
}

Up = Callable[..., AbstractContextManager[Program]]


@pytest.fixture
def up(folder: Path, tmp_path: Path, port: int) -> Up:
    """Starts the stack."""

    def start(**environ: str) -> AbstractContextManager[Program]:
        command = ("-m", "tallybook", "up", "--data-dir", str(folder), "--port", str(port))
        return program(*command, log=tmp_path / "up.log", **{**SETTINGS, **environ})

    return start


def ready(stack: Program, port: int) -> None:
    """Wait for the line that says so."""
    address = f"http://127.0.0.1:{port}"
    assert stack.line() == (
        f"tallybook is ready on {address}  -  open {address}/ in a browser  -  try: curl -i -X POST {address}/stats/42"
    )


def pids(folder: Path) -> dict[str, int]:
    """What runs, by name."""
    found: dict[str, int] = json.loads((folder / "stack.json").read_text())["pids"]
    return found


def workers(folder: Path) -> list[int]:
    """The processes that count."""
    below = descendants(pids(folder)["ingest"])
    return sorted(pid for pid, command in below.items() if command[-1:] == ["ingest"])


async def acknowledged(ledger: Ledger, more: int) -> None:
    """Wait until so many more clicks are."""
    wanted = ledger.acked.total() + more
    await until(lambda: ledger.acked.total() >= wanted, "the service takes clicks")


def check(port: int, ledger: Ledger) -> None:
    """The client's ledger against what the service counted, and the service against itself."""
    answers: list[dict[int, int]] = []

    def is_answered() -> bool:
        try:
            answers.append(counted(port, sorted(ledger.attempted)))
            return bool(json.loads(fetched(port, "/accounting"))["difference"] == 0)
        except OSError:
            return False  # a store is still on its way back

    wait_for(is_answered, "an exact answer")
    ledger.check(answers[-1])


def test_clicks_are_counted_exactly_and_survive_a_restart(up: Up, port: int, folder: Path) -> None:
    ledger = Ledger()

    async def load() -> None:
        async with crowd(port, ledger):
            await acknowledged(ledger, 2 * ROUND)

    with up() as stack:
        ready(stack, port)
        asyncio.run(load())
        assert ledger.acked == ledger.attempted
        check(port, ledger)
        below = descendants(stack.pid)
        assert stack.signal(signal.SIGTERM) == Exit.OK
        assert not [pid for pid in below if lives(pid)]
        assert not (folder / "stack.json").exists()
    with up() as stack:
        ready(stack, port)
        check(port, ledger)
        assert stack.signal(signal.SIGINT) == Exit.OK


def test_l8_a_kill_loses_nothing_and_doubles_nothing(up: Up, port: int, folder: Path) -> None:
    """Each process in its turn, under load, and the books agree after each."""
    ledger = Ledger()

    def living(target: str) -> list[int]:
        return workers(folder) if target == "worker" else [pids(folder)[target]]

    async def load(target: str) -> None:
        async with crowd(port, ledger):
            await acknowledged(ledger, ROUND)
            victim = living(target)[0]
            os.kill(victim, signal.SIGKILL)
            await acknowledged(ledger, ROUND)  # all the others go on, and the victim comes back
            await until(lambda: victim not in living(target), f"{target} comes back")
            await acknowledged(ledger, ROUND)

    with up() as stack:
        ready(stack, port)
        for target in ("worker", "ingest", "aggregator", "redis", "postgres"):
            asyncio.run(load(target))
            check(port, ledger)
        assert stack.signal(signal.SIGTERM) == Exit.OK


@pytest.mark.parametrize("ack", ["lane", pytest.param("redis", marks=pytest.mark.slow)])
def test_a_killed_parent_takes_all_along_and_loses_nothing(up: Up, port: int, ack: str) -> None:
    ledger = Ledger()

    async def load(stack: Program) -> None:
        async with crowd(port, ledger):
            await acknowledged(ledger, ROUND)
            stack.process.kill()
            stack.process.wait()

    async def more() -> None:
        async with crowd(port, ledger):
            await acknowledged(ledger, ROUND)

    with up(TALLYBOOK_ACK=ack) as stack:
        ready(stack, port)
        below = descendants(stack.pid)
        asyncio.run(load(stack))
    with up(TALLYBOOK_ACK=ack) as stack:  # at once, on the same folder and port
        ready(stack, port)
        assert not [command for pid, command in below.items() if lives(pid)]
        asyncio.run(more())
        check(port, ledger)


def test_a_stop_under_load_loses_nothing(up: Up, port: int) -> None:
    ledger = Ledger()

    async def load(stack: Program) -> None:
        async with crowd(port, ledger):
            await acknowledged(ledger, ROUND)
            stack.process.terminate()
            assert await asyncio.to_thread(stack.process.wait, PATIENCE_S) == Exit.OK

    with up() as stack:
        ready(stack, port)
        asyncio.run(load(stack))
    with up() as stack:
        ready(stack, port)
        check(port, ledger)


def test_a_second_copy_is_refused_with_the_name_of_the_first(up: Up, port: int) -> None:
    with up() as first:
        ready(first, port)
        with up() as second:
            assert second.process.wait(PATIENCE_S) == Exit.FOLDER_IN_USE
            assert f"is in use (pid {first.pid} on " in second.errors()
        assert json.loads(fetched(port, "/health/live")) == {"status": "ok"}


def test_a_busy_port_is_named_before_anything_starts(up: Up, port: int, folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with up() as stack:
            assert stack.process.wait(PATIENCE_S) == Exit.PORT_BUSY
            assert f"error: 127.0.0.1:{port} cannot be bound" in stack.errors()
    assert not (folder / "pg").exists()


def test_a_service_that_cannot_start_ends_the_stack(tmp_path: Path, folder: Path, port: int) -> None:
    """A package `ingest` that dies stands in front of ours."""
    (tmp_path / "first" / "ingest").mkdir(parents=True)
    (tmp_path / "first" / "ingest" / "__init__.py").touch()
    (tmp_path / "first" / "ingest" / "__main__.py").write_text("raise SystemExit('no luck today')\n")
    command = ("-P", "-m", "tallybook", "ingest", "--data-dir", str(folder), "--port", str(port))
    paths = os.pathsep.join([str(tmp_path / "first"), str(ROOT)])
    environ = {**SETTINGS, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    with program(*command, log=tmp_path / "log", **environ) as stack:
        assert stack.process.wait(PATIENCE_S) == Exit.CHILD_FAILED
        assert stack.errors().count("no luck today") == 5
        assert "`python -m ingest` died 5 times at its start" in stack.errors()


def test_env_and_check_find_the_running_stack(up: Up, port: int, folder: Path) -> None:
    def tallybook(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tallybook", *arguments, "--data-dir", str(folder)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    with up() as stack:
        ready(stack, port)
        exports = tallybook("env").stdout
        assert f"export TALLY_URL=http://127.0.0.1:{port}" in exports
        (sockets,) = re.findall(r"^export PGHOST=(.+)$", exports, re.MULTILINE)
        assert Path(sockets).samefile(folder / "run")  # a long path has a short name
        done = tallybook("check")
        assert done.returncode == Exit.OK, done.stdout
        assert "appendfsync always" in done.stdout
        assert ("windows of block ids set" in done.stdout) == clickhouse.is_installed()
        assert json.loads(tallybook("accounting").stdout)["difference"] == 0
        assert tallybook("banners", "add", "7", "8", "--name", "spring").stdout == "added or renamed: 2\n"
        assert tallybook("banners", "list").stdout == "7\tspring\n8\tspring\n"
        assert tallybook("banners", "remove", "7").stdout == "removed: 1\n"
    assert tallybook("env").returncode == Exit.NOT_RUNNING


def test_s1_metrics_are_on_a_port_of_their_own(up: Up, port: int) -> None:
    metrics_port = free_port()
    with up(TALLYBOOK_METRICS_PORT=str(metrics_port)) as stack:
        ready(stack, port)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=PATIENCE_S) as answer:
            assert b"tallybook_" in answer.read()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S)
        assert refused.value.code == 404
        refused.value.close()


def test_the_addresses_of_env_can_be_used(up: Up, port: int, folder: Path) -> None:
    async def ask(redis_url: str, database_url: str) -> None:
        async with Redis.from_url(redis_url) as redis:
            assert await redis.ping()
        connection = await asyncpg.connect(database_url)
        try:
            assert await connection.fetchval("SELECT count(*) FROM click_stats") == 0
        finally:
            await connection.close()

    async def ask_clickhouse(url: str) -> None:
        async with connect(Settings(clickhouse_url=url)) as client:
            assert await client.query("SELECT count() FROM tracker_events") == [(0,)]

    with up() as stack:
        ready(stack, port)
        shell = f'eval "$({sys.executable} -m tallybook env --data-dir {folder})"; '
        shell += 'echo "$TALLYBOOK_REDIS_URL"; echo "$TALLYBOOK_DATABASE_URL"; echo "$TALLYBOOK_CLICKHOUSE_URL"'
        told = subprocess.run(["sh", "-c", shell], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        redis_url, database_url, *clickhouse_url = told.stdout.split()
        asyncio.run(ask(redis_url, database_url))
        assert len(clickhouse_url) == clickhouse.is_installed()
        for url in clickhouse_url:
            asyncio.run(ask_clickhouse(url))


def test_a_folder_that_cannot_be_written_ends_the_start(up: Up, folder: Path) -> None:
    folder.write_text("a file, not a folder")
    with up() as stack:
        assert stack.process.wait(PATIENCE_S) == Exit.FOLDER_UNWRITABLE
        assert f"error: The data folder {folder} cannot be written" in stack.errors()


def test_files_of_another_version_end_the_start(up: Up, folder: Path) -> None:
    folder.mkdir()
    (folder / "embedded.json").write_text('{"postgres": "9"}')
    with up() as stack:
        assert stack.process.wait(PATIENCE_S) == Exit.FOREIGN_DATA
        assert "was made by Postgres 9" in stack.errors()


def test_an_unsafe_redis_is_refused_with_the_reason(up: Up, tmp_path: Path) -> None:
    from tallybook.stack.binaries import find_redis

    socket_path = tmp_path / "r.sock"
    server = subprocess.Popen(
        [find_redis(), "--port", "0", "--unixsocket", str(socket_path), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(socket_path.exists, "a Redis")
        with up(TALLYBOOK_REDIS_URL=f"unix://{socket_path}") as stack:
            assert stack.process.wait(PATIENCE_S) == Exit.UNSAFE
            assert "appendonly is no, not yes: a restart loses every open minute" in stack.errors()
    finally:
        server.terminate()
        server.wait()
