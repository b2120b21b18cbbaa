"""The real product as a child: `tallybook up` on a folder of its own."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from loadtest.tools import cpu
from loadtest.tools.client import AnswerError, Client

#: Seconds in which a server must answer after its start, and end after SIGTERM.
_START_S, _STOP_S = 60.0, 60.0
_POLL_S = 0.02


class StartError(Exception):
    """A server did not start. The message holds the end of what it printed."""


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """A process with its output in a file, ready when a GET of `ready` answers 200."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path, url: str, ready: str) -> None:
        self.url = url
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, env=dict(environ), stdout=output, stderr=output)
        try:
            self._wait_ready(ready)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left of the tree after a minute."""
        if self._process.poll() is not None:
            return
        tree = psutil.Process(self.pid).children(recursive=True)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in psutil.wait_procs(tree, timeout=5)[1]:
            process.kill()

    def _wait_ready(self, path: str) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise StartError(f"ended with {self._process.returncode}: {self._tail()}")
            try:
                with Client(self.url) as client:
                    client.get(path)
                return
            except (OSError, AnswerError):
                time.sleep(_POLL_S)
        raise StartError(f"nobody answered on {self.url}{path} within {_START_S:.0f} s: {self._tail()}")

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]


class Stack:
    """tallybook on a fresh folder, with a free port. Use it in a `with` statement."""

    #: What starts it; tests may name a stub.
    command: tuple[str, ...] = (sys.executable, "-m", "tallybook")

    def __init__(self, folder: Path, verb: str = "up", settings: Mapping[str, str] | None = None) -> None:
        port = free_port()
        self.folder, self.url, self._verb = folder, f"http://127.0.0.1:{port}", verb
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOOK_")}
        self.environ = {
            **inherited,
            "TALLYBOOK_LOG_LEVEL": "warning",
            **(settings or {}),
            "TALLYBOOK_DATA_DIR": str(folder / "data"),
            "TALLYBOOK_PORT": str(port),
            "TALLYBOOK_METRICS_PORT": "0",
        }
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it is ready. Raises StartError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "tallybook.log"
        self._child = Child([*self.command, self._verb], self.environ, log, self.url, "/health/ready")

    def stop(self) -> None:
        """Drain and stop."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def pid(self) -> int:
        """Return the id of the supervisor, the root of the tree of processes."""
        assert self._child is not None
        return self._child.pid

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds used so far, per kind of process."""
        return cpu.seconds(self.pid)

    def total(self, banners: Sequence[int]) -> int:
        """Clicks of these banners in the last hours."""
        with Client(self.url) as client:
            return sum(clicks(client, banner) for banner in banners)

    def urls(self) -> dict[str, str]:
        """What `tallybook env` exports: the URLs of the running stores."""
        deadline = time.monotonic() + _START_S  # the note that it reads is written when the last part runs
        while True:
            done = subprocess.run(
                [*self.command, "env"], env=self.environ, capture_output=True, text=True, timeout=30, check=False
            )
            if done.returncode == 0:
                break
            if time.monotonic() > deadline:
                raise StartError(f"`tallybook env` ended with {done.returncode}: {done.stderr}")
            time.sleep(_POLL_S)
        words = [word for line in done.stdout.splitlines() for word in shlex.split(line)]
        return dict(word.split("=", 1) for word in words if "=" in word)


def clicks(client: Client, banner: int, hours: int = 12) -> int:
    """Clicks of one banner from some hours ago until the end of this hour."""
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start, end = this_hour - timedelta(hours=hours), this_hour + timedelta(hours=1)
    answer = client.get(f"/stats/{banner}", tsFrom=rfc3339(start), tsTo=rfc3339(end), step="hour")
    return int(answer["total"])


def rfc3339(instant: datetime) -> str:
    """A UTC instant as the service reads it: `2026-01-31T12:00:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
