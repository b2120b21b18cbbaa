"""`tallybook up` with addresses, proxies and users that are not the usual ones."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread

import psutil
import pytest

from tallybook.exits import Exit
from tallybook.stack import services
from tallybook.stack.launcher import can_walk_to
from tests.harness.owners import need_root
from tests.harness.process import ROOT, Program, free_port, program
from tests.harness.wait import PATIENCE_S, wait_for

pytestmark = pytest.mark.timeout(180)

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Up = Callable[..., AbstractContextManager[Program]]


@pytest.fixture
def up(folder: Path, tmp_path: Path, port: int) -> Up:
    """Starts the stack."""

    def start(**environ: str) -> AbstractContextManager[Program]:
        command = ("-m", "tallybook", "up", "--data-dir", str(folder), "--port", str(port))
        usual = {"TALLYBOOK_METRICS_PORT": "0", "TALLYBOOK_WORKERS": "1"}
        return program(*command, log=tmp_path / "up.log", **{**usual, **environ})

    return start


def tallybook(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A command, to its end."""
    command = [sys.executable, "-m", "tallybook", *arguments]
    environ = {**os.environ, **environ}
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]"])
def test_every_name_of_an_address_of_this_machine_can_be_bound(up: Up, port: int, host: str) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with up(TALLYBOOK_HOST=host, TALLYBOOK_METRICS_HOST=host, TALLYBOOK_METRICS_PORT=str(free_port())) as stack:
        address = stack.line().split()[4]
        assert address == f"http://{'[::1]' if ':' in host else '127.0.0.1'}:{port}"
        with DIRECT.open(f"{address}/health/ready", timeout=PATIENCE_S) as answer:
            assert "keys" not in json.load(answer)["checks"]  # this host alone reaches it


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"TALLYBOOK_HOST": "203.0.113.9"}, "TALLYBOOK_HOST=203.0.113.9 is no address of this machine"),
        ({"TALLYBOOK_HOST": "no-such-host.invalid"}, "TALLYBOOK_HOST=no-such-host.invalid is no address and no name"),
        (
            {"TALLYBOOK_METRICS_HOST": "[::1", "TALLYBOOK_METRICS_PORT": "9"},
            "TALLYBOOK_METRICS_HOST=[::1 is no address",
        ),
        ({"TALLYBOOK_METRICS_PORT": "PORT"}, "is TALLYBOOK_PORT, too: set one of them to another"),
        ({"TALLYBOOK_METRICS_PORT": "PORT", "TALLYBOOK_HOST": "0.0.0.0"}, "is TALLYBOOK_PORT, too"),
    ],
)
def test_an_address_that_cannot_be_bound_is_a_settings_error(
    up: Up, port: int, folder: Path, environ: dict[str, str], words: str
) -> None:
    with up(**{name: str(port) if value == "PORT" else value for name, value in environ.items()}) as stack:
        assert stack.process.wait(PATIENCE_S) == Exit.SETTINGS
        (line,) = stack.errors().splitlines()
        assert line.startswith("error: ")
        assert words in line
    assert not (folder / "pg").exists()


class Listener:
    """Notes every connection that it gets, and breaks it off."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.heard.append(connection.recv(65536))

    def close(self) -> None:
        """Hear no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxies() -> Iterator[tuple[Listener, dict[str, str]]]:
    """A proxy, and the variables that send everything through it."""
    proxy = Listener()
    names = ("http_proxy", "https_proxy", "all_proxy")
    url = f"http://127.0.0.1:{proxy.port}"
    environ = {name: url for known in names for name in (known, known.upper())}
    yield proxy, environ | {"no_proxy": "", "NO_PROXY": "example.org"}
    proxy.close()


def test_s3_no_statement_and_no_key_goes_through_a_proxy_of_the_environment(
    up: Up, port: int, folder: Path, tmp_path: Path, proxies: tuple[Listener, dict[str, str]]
) -> None:
    proxy, environ = proxies
    (tmp_path / "key").write_text("tb_hunter2\n")
    with up(**environ) as stack:
        stack.line()
        at = ("--data-dir", str(folder))
        done = tallybook("accounting", *at, "--key-file", str(tmp_path / "key"), **environ)
        assert json.loads(done.stdout)["difference"] == 0, done.stderr
        assert tallybook("check", *at, **environ).returncode == Exit.OK
    assert proxy.heard == []


def test_commands_find_the_stack_as_soon_as_it_is_ready(up: Up, port: int, folder: Path) -> None:
    with up() as stack:

        def is_ready() -> bool:
            assert stack.process.poll() is None, stack.errors()
            try:
                with DIRECT.open(f"http://127.0.0.1:{port}/health/ready", timeout=PATIENCE_S) as answer:
                    return bool(answer.status == 200)
            except urllib.error.HTTPError as error:
                error.close()
                return False
            except OSError:
                return False

        wait_for(is_ready, "readiness")
        noted = json.loads((folder / "stack.json").read_text())
        assert noted["url"] == f"http://127.0.0.1:{port}"
        assert {"redis", "postgres", "ingest"} <= set(noted["pids"])


def test_workers_of_root_run_as_the_user_of_the_servers_and_read_its_secrets(
    up: Up, folder: Path, tmp_path: Path
) -> None:
    need_root()
    (tmp_path / "secret").write_text("x" * 40)
    (tmp_path / "secret").chmod(0o600)
    settings = {"ALGORITHM": "HS256", "ISSUER": "me", "AUDIENCE": "you", "KEYS_FILE": str(tmp_path / "secret")}
    with up(**{f"TALLYBOOK_JWT_{name}": value for name, value in settings.items()}) as stack:
        stack.line()
        pids = json.loads((folder / "stack.json").read_text())["pids"]
        user = (folder / "pg").stat().st_uid
        if not user or not all(can_walk_to(path, user, user) for path in services.PROGRAM):
            pytest.skip("no other user can enter this Python")
        for name in ("ingest", "aggregator"):
            for one in (psutil.Process(pids[name]), *psutil.Process(pids[name]).children()):
                assert set(one.uids()) == {user}, name
                assert one.environ().get("TALLYBOOK_JWT_KEYS_FILE") is None
        assert (folder / "lanes").stat().st_uid == user
        assert (folder / "lanes").stat().st_mode & 0o077 == 0
