"""The embedded servers in places that are not as expected: paths, leftovers, users, time zones, other users' ports."""

import asyncio
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tallybook.exits import Exit, Stop
from tallybook.stack import clickhouse, launcher
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers
from tests.harness.owners import OWNER, ask, need_root, read, write
from tests.harness.process import program
from tests.harness.services import enterable, missing
from tests.harness.wait import wait_for

PATHS = ["c++", "100%", "c#", "R&D", "a,b", "two  words", 'it\'s "q" $HOME', "söß 東京", "-dash", "x" * 200]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that other users may enter."""
    return enterable(tmp_path)


@contextmanager
def started(folder: Path, **wanted: bool) -> Iterator[EmbeddedServers]:
    """Servers of this process on the folder."""
    one = DataFolder(folder)
    one.take()
    servers = EmbeddedServers(one, **wanted)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
        one.release()


def state(servers: EmbeddedServers) -> dict[str, Any]:
    return {"redis_url": servers.redis_url, "database_url": servers.database_url}


@pytest.mark.parametrize("name", PATHS)
def test_every_path_of_a_data_folder_can_be_used(place: Path, name: str) -> None:
    (place / name).mkdir()
    with started(place / name / "data", clickhouse=clickhouse.is_installed()) as servers:
        write(state(servers))
        assert read(state(servers)) == (7, 7)
        assert servers.clickhouse_url is None or ask(servers.clickhouse_url, "SELECT 7") == "7\n"
        link = Path(servers.redis_url.removeprefix("unix://")).parent if servers.redis_url else Path()
    assert not link.is_symlink()


def test_a_path_too_long_for_the_servers_is_refused_with_a_sentence(place: Path) -> None:
    folder = place.joinpath(*["x" * 200] * 5)
    with (
        pytest.raises(Stop, match="more than 900 bytes: name a shorter one with --data-dir") as caught,
        started(folder),
    ):
        pass
    assert caught.value.code is Exit.FOLDER_UNWRITABLE


def test_sockets_are_found_again_after_a_cleaner_took_their_name_away(place: Path) -> None:
    with started(place / ("x" * 90)) as servers:
        write(state(servers))
        link = Path((servers.redis_url or "").removeprefix("unix://")).parent
        link.unlink()
        servers.revive()
        assert read(state(servers)) == (7, 7)


def test_a_name_that_belongs_to_somebody_else_is_not_followed(
    place: Path, servers_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(servers_folder))  # a short path
    with started(place / ("x" * 90), postgres=False) as servers:
        link = Path((servers.redis_url or "").removeprefix("unix://")).parent
        assert link.parent == servers_folder
    link.mkdir()
    with pytest.raises(Stop, match="belongs to somebody else"), started(place / ("x" * 90), postgres=False):
        pass


def test_lock_files_of_killed_servers_that_name_another_process_do_not_stop_a_start(place: Path) -> None:
    folder = place / "data"
    with program("-c", OWNER, str(folder), log=place / "owner.log") as owner:
        write(json.loads(owner.line()))
        pid_file, lock = folder / "pg/postmaster.pid", folder / "run/.s.PGSQL.5432.lock"
        left = [pid_file.read_text(), lock.read_text()]
        assert owner.signal(signal.SIGKILL) == -signal.SIGKILL
    uid = (folder / "pg").stat().st_uid
    with subprocess.Popen(["sleep", "1000"], user=uid if os.geteuid() == 0 else None) as other:
        try:
            with program("-c", OWNER, str(folder), log=place / "owner.log") as owner:
                owner.line()  # the old ones are gone
                assert owner.signal(signal.SIGTERM) == 0
            for path, text in zip((pid_file, lock), left, strict=True):
                path.write_text("\n".join([str(other.pid), *text.splitlines()[1:], ""]))
                os.chown(path, uid, -1)
            with started(folder) as servers:
                assert read(state(servers)) == (7, 7)
        finally:
            other.kill()


def test_the_owner_of_the_files_stays_when_the_machine_gets_a_user_for_postgres(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_root()
    known = launcher.pwd.getpwnam

    def without_postgres(name: str) -> object:
        if name == "postgres":
            raise KeyError(name)
        return known(name)

    with monkeypatch.context() as patched:
        patched.setattr(launcher.pwd, "getpwnam", without_postgres)
        with started(place / "data") as servers:
            write(state(servers))
    owner = (place / "data/pg").stat().st_uid
    monkeypatch.setattr(launcher.pwd, "getpwnam", lambda _: known("daemon"))
    with started(place / "data") as servers:
        assert read(state(servers)) == (7, 7)
    assert (place / "data/pg").stat().st_uid == owner


@pytest.mark.parametrize("zone", ["CST-8", ":/etc/localtime", "Nowhere/At_All"])
def test_every_time_zone_of_the_environment_can_be_used(
    place: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    with started(place / "data", clickhouse=clickhouse.is_installed()) as servers:
        assert read_zone(servers) == "UTC"
        assert servers.clickhouse_url is None or ask(servers.clickhouse_url, "SELECT timezone()") == "UTC\n"


def read_zone(servers: EmbeddedServers) -> str:
    async def show() -> str:
        connection = await asyncpg.connect(servers.database_url)
        try:
            return str(await connection.fetchval("SHOW timezone"))
        finally:
            await connection.close()

    return asyncio.run(show())


def test_servers_are_told_no_secrets_of_the_service(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_JWT_KEYS", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with started(place / "data", clickhouse=clickhouse.is_installed()) as servers:
        for name, process in servers.processes.items():
            assert b"hunter2" not in Path(f"/proc/{process.pid}/environ").read_bytes(), name


def test_nobody_else_lists_a_data_folder_and_its_lock_is_no_link(place: Path) -> None:
    folder = place / "data"
    folder.mkdir(mode=0o755)
    (place / "precious").write_text("kept")
    (folder / "lock").symlink_to(place / "precious")
    with pytest.raises(Stop, match="cannot be written") as caught:
        DataFolder(folder).take()
    assert caught.value.code is Exit.FOLDER_UNWRITABLE
    assert (place / "precious").read_text() == "kept"
    (folder / "lock").unlink()
    (folder / "lock.servers").symlink_to(place / "precious")
    with pytest.raises(Stop, match="cannot be written"):
        DataFolder(folder).take()
    (folder / "lock.servers").unlink()
    one = DataFolder(folder)
    one.take()
    one.release()
    assert folder.stat().st_mode & 0o066 == 0


# -- the gateway of ClickHouse -----------------------------------------------------------------------------------------


def test_nobody_else_can_listen_where_the_gateway_is_expected(place: Path) -> None:
    if not clickhouse.is_installed():
        missing("clickhouse", "chdb is not installed")
    with started(place / "data", redis=False, postgres=False, clickhouse=True) as servers:
        url = servers.clickhouse_url or ""
        at = ("127.0.0.1", urlsplit(url).port or 0)
        assert is_taken(at)
        former = servers.processes["clickhouse"]
        former.kill()
        former.wait()
        servers.revive()  # it notices the death, and waits a moment
        assert is_taken(at)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(at, 5)
        wait_for(lambda: servers.revive() or servers.processes["clickhouse"] is not former, "another gateway")

        def answers() -> bool:
            try:
                return ask(url, "SELECT 7") == "7\n"
            except (OSError, http.client.HTTPException):
                return False

        wait_for(answers, "the other gateway answers where the first one did")


def is_taken(at: tuple[str, int]) -> bool:
    """Whether the address cannot be bound, with any option that shares one."""
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                other.bind(at)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
            return False
    return True


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_an_engine_that_dies_by_a_signal_is_started_again(place: Path, number: signal.Signals) -> None:
    if not clickhouse.is_installed():
        missing("clickhouse", "chdb is not installed")
    with started(place / "data", redis=False, postgres=False, clickhouse=True) as servers:
        former = servers.processes["clickhouse"]
        former.send_signal(number)
        assert former.wait(60) == -number
        wait_for(lambda: servers.revive() or servers.processes["clickhouse"] is not former, "another gateway")
        url = servers.clickhouse_url or ""

        def answers() -> bool:
            try:
                return ask(url, "SELECT 7") == "7\n"
            except (OSError, http.client.HTTPException):
                return False

        wait_for(answers, "the other gateway answers")
