"""The embedded servers: real ones, one owner per folder, nothing left behind, nothing lost."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tallybook.exits import Exit, Stop
from tallybook.stack import clickhouse
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers
from tallybook.stack.launcher import SAME, server_identity
from tallybook.stack.restarts import Restarts
from tests.harness.owners import OWNER, ask, execute, need_root, read, write
from tests.harness.process import ROOT, Program, lives, program
from tests.harness.services import enterable, missing
from tests.harness.wait import wait_for

Owner = Callable[[], AbstractContextManager[Program]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that other users may enter."""
    return enterable(tmp_path) / "data"


@pytest.fixture
def owner(folder: Path, tmp_path: Path) -> Owner:
    """Starts an owner of the folder."""
    return lambda: program("-c", OWNER, str(folder), log=tmp_path / "owner.log")


@pytest.fixture
def held(folder: Path) -> Iterator[DataFolder]:
    """The folder, owned by this process."""
    one = DataFolder(folder)
    one.take()
    yield one
    one.release()


def test_a_clean_stop_keeps_everything_and_leaves_nothing(owner: Owner) -> None:
    with owner() as first:
        state = json.loads(first.line())
        write(state)
        assert first.signal(signal.SIGTERM) == 0
    assert not lives(state["redis"])
    assert not lives(state["postgres"])
    with owner() as second:
        assert read(json.loads(second.line())) == (7, 7)


def test_a_killed_owner_leaves_no_orphan_and_loses_nothing(owner: Owner) -> None:
    with owner() as first:
        state = json.loads(first.line())
        write(state)
        assert first.signal(signal.SIGKILL) == -signal.SIGKILL
    with owner() as second:  # at once: the start waits for the old servers
        again = json.loads(second.line())
        assert not lives(state["redis"])
        assert not lives(state["postgres"])
        assert read(again) == (7, 7)


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_a_killed_server_comes_back_with_everything(owner: Owner, server: str) -> None:
    with owner() as one:
        state = json.loads(one.line())
        write(state)
        os.kill(state[server], signal.SIGKILL)
        again = json.loads(one.line())
        assert again[server] != state[server]

        def answers() -> bool:
            try:
                return read(again) == (7, 7)
            except (OSError, asyncpg.PostgresError, RedisError):
                return False

        wait_for(answers, f"{server} answers again with all that it had")


def test_a_second_copy_is_refused_with_the_name_of_the_first(owner: Owner) -> None:
    with owner() as first:
        first.line()
        with owner() as second:
            assert second.process.wait(30) == Exit.FOLDER_IN_USE
        assert f"is in use (pid {first.pid} on {os.uname().nodename} since " in second.errors()


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ({"postgres": "13"}, "was made by Postgres 13"),
        ({"redis": "valkey-server 99.1"}, "was written by valkey-server 99.1"),
        ({"redis": "redis-server 7.0"}, "was written by redis-server 7.0"),
    ],
)
def test_files_of_another_version_are_refused(held: DataFolder, note: dict[str, str], words: str) -> None:
    held.write("embedded.json", note)
    with pytest.raises(Stop, match=words) as caught:
        EmbeddedServers(held).start()
    assert caught.value.code is Exit.FOREIGN_DATA


def test_an_initdb_that_was_cut_short_starts_over(held: DataFolder) -> None:
    (held.path / "pg").mkdir()
    (held.path / "pg" / "PG_VERSION").write_text("18\n")
    (held.path / "initdb.unfinished").touch()
    servers = EmbeddedServers(held, redis=False)
    servers.start()
    servers.stop()
    assert not (held.path / "initdb.unfinished").exists()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(held: DataFolder) -> None:
    (held.path / "redis" / "appendonlydir").mkdir(parents=True)
    (held.path / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(Stop, match=r"(?s)redis stopped at its start.*Its log ends:.*[Mm]anifest") as caught:
        EmbeddedServers(held, postgres=False).start()
    assert caught.value.code is Exit.SERVER_FAILED


def test_a_long_path_gets_its_sockets_elsewhere(folder: Path) -> None:
    one = DataFolder(folder / ("x" * 90))
    one.take()
    servers = EmbeddedServers(one, postgres=False)
    try:
        servers.start()
        assert servers.redis_url
        assert str(one.path) not in servers.redis_url
        assert Redis.from_url(servers.redis_url).ping()
    finally:
        servers.stop()
        one.release()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Stop, match="cannot be written") as caught:
        DataFolder(tmp_path / "file" / "data").take()
    assert caught.value.code is Exit.FOLDER_UNWRITABLE


# -- ClickHouse --------------------------------------------------------------------------------------------------------


@pytest.fixture
def clickhouse_owner(folder: Path, tmp_path: Path) -> Owner:
    """Starts an owner of the folder that wants ClickHouse, too."""
    if not clickhouse.is_installed():
        missing("clickhouse", "chdb is not installed")
    return lambda: program("-c", OWNER, str(folder), "clickhouse", log=tmp_path / "owner.log")


def test_clickhouse_lives_and_ends_with_its_owner_and_keeps_everything(clickhouse_owner: Owner, folder: Path) -> None:
    with clickhouse_owner() as first:
        state = json.loads(first.line())
        url, pid = state["clickhouse_url"], state["clickhouse"]
        assert ask(url, "CREATE DATABASE t ENGINE = Atomic") == ""
        assert ask(url, "CREATE TABLE t.kept (x UInt8) ENGINE = MergeTree ORDER BY x") == ""
        assert ask(url, "INSERT INTO t.kept VALUES (7)") == ""
        os.kill(pid, signal.SIGKILL)  # it is started again where it was
        again = json.loads(first.line())
        assert again["clickhouse"] != pid
        assert again["clickhouse_url"] == url
        wait_for(lambda: reads(url), "ClickHouse answers again with all that it had")
        assert first.signal(signal.SIGKILL) == -signal.SIGKILL
    with clickhouse_owner() as second:  # at once: the start waits for the old one
        state = json.loads(second.line())
        assert not lives(again["clickhouse"])
        assert state["clickhouse_url"] != url  # another password
        assert urlsplit(state["clickhouse_url"]).port == urlsplit(url).port
        assert "AUTHENTICATION_FAILED" in ask(url, "SELECT 1")
        assert reads(state["clickhouse_url"])
        held = {os.readlink(one) for one in Path(f"/proc/{state['clickhouse']}/fd").iterdir()}
        assert str(folder / "lock.servers") in held
        assert second.signal(signal.SIGTERM) == 0
    assert not lives(state["clickhouse"])
    assert (folder / "clickhouse").stat().st_mode & 0o077 == 0


def reads(url: str) -> bool:
    """Whether the row is there."""
    try:
        return ask(url, "SELECT x FROM t.kept") == "7\n"
    except (OSError, http.client.HTTPException):
        return False


def test_files_of_a_newer_clickhouse_are_refused(held: DataFolder) -> None:
    if not clickhouse.is_installed():
        missing("clickhouse", "chdb is not installed")
    held.write("embedded.json", {"clickhouse": "99.1.0"})
    with pytest.raises(Stop, match=r"was written by chdb-core 99\.1\.0") as caught:
        EmbeddedServers(held, redis=False, postgres=False, clickhouse=True).start()
    assert caught.value.code is Exit.FOREIGN_DATA


# -- root --------------------------------------------------------------------------------------------------------------


def namespaces() -> bool:
    """Whether this machine lets us have user namespaces of our own."""
    try:
        return subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_root_keeps_to_the_way_that_made_the_files(held: DataFolder) -> None:
    need_root()
    way = []
    for mode in (0o755, 0o700):  # the second start could not choose an ordinary user any more
        servers = EmbeddedServers(held)
        servers.start()
        way.append(held.read("embedded.json")["run_as"])
        servers.stop()
        held.path.chmod(mode)
    assert way[0] == way[1]


def test_root_maps_itself_where_no_other_user_can_enter(folder: Path) -> None:
    need_root()
    if not namespaces():
        pytest.skip("this kernel gives no user namespaces")
    folder.mkdir(mode=0o700)
    one = DataFolder(folder / "data")
    one.take()
    servers = EmbeddedServers(one)
    try:
        servers.start()
        assert one.read("embedded.json")["run_as"] == "userns"
        assert (one.path / "pg").stat().st_uid == 0
        assert servers.database_url
        asyncio.run(execute(servers.database_url, "SELECT 1"))
    finally:
        servers.stop()
        one.release()


def test_files_of_an_ordinary_user_are_not_for_root(tmp_path: Path) -> None:
    former = "same" if os.geteuid() == 0 else "drop"
    with pytest.raises(Stop, match="were made by") as caught:
        server_identity([tmp_path], former)  # type: ignore[arg-type]
    assert caught.value.code is Exit.FOLDER_UNWRITABLE


def test_an_ordinary_user_starts_them_as_himself(folder: Path) -> None:
    need_root()
    ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]  # we, under another number
    if not namespaces():
        pytest.skip("this kernel gives no user namespaces")
    once = OWNER.replace("while True", "while pids is None") + "servers.stop()"
    done = subprocess.run(
        [*ordinary, sys.executable, "-c", once, str(folder)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["redis_url"], done.stderr
    assert json.loads((folder / "embedded.json").read_text())["run_as"] == SAME.mode


def test_waiting_times_double_and_have_an_end() -> None:
    restarts = Restarts()
    waits = []
    for _ in range(8):
        restarts.started()
        waits.append(restarts.died())
        assert restarts.died() is None  # no news
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
