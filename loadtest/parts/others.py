"""Measure what the front costs other requests, against the same application on Granian's own listener.

Both sides have one worker and the same stores, and take turns under load. The application of the second side runs
beside the stack (`loadtest.tools.bare`).
"""

import asyncio
import http.client
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import psutil

from loadtest.events import events
from loadtest.idle import memory_mb
from loadtest.parts.clicks import BANNERS, Plan
from loadtest.parts.read import day, day_path, fill
from loadtest.tools import wrk
from loadtest.tools.ratios import middle, paired
from loadtest.tools.servers import cores
from loadtest.tools.stack import Child, Stack, StartError, free_port

FRONT, BARE = "front", "granian"
#: Events of an upload (about 5 MB), and uploads at the same time.
UPLOAD_EVENTS, UPLOADERS = 26_000, 2
#: Connections of wrk: for small requests, and for reads of a day.
_SMALL, _LARGE = 64, 8
#: One worker on each side; both take uploads of this size.
_SETTINGS = {"TALLYBOOK_WORKERS": "1", "TALLYBOOK_TEST_EVENTS_MAX": str(UPLOAD_EVENTS)}
IDLE_CONNECTIONS = 5_000
#: Seconds after which idle connections are measured: before the front closes them (ten seconds).
_IDLE_S = 2.0
_TIMEOUT_S = 60.0

#: Name in the result -> the value that is compared.
_VALUES = {"health": "rps", "day_read": "rps", "upload": "rps", "click_p99": "p99_ms"}

Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    url: str


def run(plan: Plan, folder: Path, say: Say, connections: int = IDLE_CONNECTIONS) -> dict[str, Any]:
    """Return ratios of the sides and the rows behind them. Raises StartError, WrkError."""
    rows = list[Row]()
    with ExitStack() as running:
        stack = running.enter_context(Stack(folder / "others", settings=_SETTINGS))
        asyncio.run(_filled(stack.urls()["TALLYBOOK_DATABASE_URL"]))
        bare = _bare(stack, folder)
        running.callback(bare.stop)
        targets = [_Target(FRONT, stack.url), _Target(BARE, bare.url)]
        for number in range(plan.rounds):
            for target in targets if number % 2 == 0 else reversed(targets):
                rows += _round(target, number, plan, say)
    kilobytes = _idle_connection_kb(folder, connections)
    say(f"{connections:,} idle connections: {kilobytes} KB each")
    return summary(rows) | {"idle_connection_kb": kilobytes, "idle_connections": connections}


def summary(rows: list[Row]) -> dict[str, Any]:
    """Return the median paired ratio of each kind of request, the median of the front, and the rows."""
    result: dict[str, Any] = {}
    for kind, value in _VALUES.items():
        own = [row for row in rows if row["kind"] == kind]
        result[kind] = {"vs_granian": paired(own, FRONT, BARE, value), value: middle(own, FRONT, value)}
    return {**result, "rows": rows}


async def _filled(database_url: str) -> None:
    """Persist a day of clicks."""
    connection = await asyncpg.connect(database_url)
    try:
        await fill(connection, *day())
    finally:
        await connection.close()


def _bare(stack: Stack, folder: Path) -> Child:
    """Start the application on Granian's own listener, with the stores of the stack."""
    port = free_port()
    environ = {**stack.environ, **stack.urls(), "TALLYBOOK_PORT": str(port)}
    command = [sys.executable, "-m", "loadtest.tools.bare", str(port)]
    return Child(command, environ, folder / "bare.log", f"http://127.0.0.1:{port}", "/health/ready")


def _round(target: _Target, number: int, plan: Plan, say: Say) -> list[Row]:
    rows = list[Row]()

    def keep(kind: str, **figures: object) -> None:
        rows.append({"round": number, "side": target.name, "kind": kind, **figures})
        say(f"round {number + 1}  {target.name:<8} {kind}: {figures}")

    for kind, path, connections in (("health", "/health/live", _SMALL), ("day_read", day_path(), _LARGE)):
        wrk.run(target.url, "get.lua", connections, plan.warmup_s, [path])
        seen = wrk.run(target.url, "get.lua", connections, plan.seconds, [path])
        keep(kind, **_seen(seen))
    keep("upload", **_uploads(target, _Bodies(number, target.name), plan.seconds))
    keep("click_p99", **_clicks_meanwhile(target, number, plan.seconds))
    return rows


def _seen(seen: wrk.Run) -> Row:
    return {
        "rps": round(seen.per_second, 1),
        "p99_ms": round(seen.p99_ms, 3),
        "exact": not seen.non_2xx and not seen.socket_errors,
    }


class _Bodies:
    """Uploads of events that were never sent before: one body with other ids each time."""

    def __init__(self, *names: object) -> None:
        self._seed = abs(hash(names)) % 2**31
        self._made = [_body(self._seed + one) for one in range(UPLOADERS)]
        self._lock = threading.Lock()
        self._taken = 0

    def next(self) -> bytes:
        """Return another body. Its ids differ from the first ones in their first eight digits."""
        with self._lock:
            self._taken += 1
            base = self._made[self._taken % UPLOADERS]
            mark = f'"event_id":"{(self._seed + self._taken * 7919) % 2**32:08x}'.encode()
        return base.replace(b'"event_id":"########', mark)


def _body(seed: int) -> bytes:
    """Return 5 MB of events whose ids still lack their first eight digits."""
    made = [one | {"event_id": "########" + one["event_id"][8:]} for one in events(UPLOAD_EVENTS, seed)]
    return msgspec.json.encode(made)


def _uploads(target: _Target, bodies: _Bodies, seconds: float) -> Row:
    """Upload for some seconds over kept-alive connections. Return uploads a second, and whether all were taken."""
    began = time.monotonic()
    with ThreadPoolExecutor(UPLOADERS) as pool:
        until = began + seconds
        clients = [pool.submit(_upload, target.url, bodies, lambda: time.monotonic() < until) for _ in range(UPLOADERS)]
        statuses = [status for one in clients for status in one.result()]
    taken = sum(200 <= status < 300 for status in statuses)
    return {"rps": round(taken / (time.monotonic() - began), 2), "refused": len(statuses) - taken, "exact": taken > 0}


def _upload(url: str, bodies: _Bodies, goes_on: Callable[[], bool]) -> list[int]:
    """Return the status of each upload until `goes_on` says no; one at least."""
    statuses = list[int]()
    headers = {"content-type": "application/json"}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)) as connection:
        while not statuses or goes_on():
            connection.request("POST", "/events", bodies.next(), headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            if answer.status == 503:
                time.sleep(0.1)
    return statuses


def _clicks_meanwhile(target: _Target, number: int, seconds: float) -> Row:
    """Return the latencies of clicks while two uploads and the reads of two clients run."""
    is_over = threading.Event()
    bodies = _Bodies("meanwhile", number, target.name)

    def read() -> None:
        with closing(http.client.HTTPConnection(urlsplit(target.url).netloc, timeout=_TIMEOUT_S)) as connection:
            while not is_over.is_set():
                connection.request("GET", day_path())
                connection.getresponse().read()

    with ThreadPoolExecutor(UPLOADERS + 2) as pool:
        others = [pool.submit(_upload, target.url, bodies, lambda: not is_over.is_set()) for _ in range(UPLOADERS)]
        readers = [pool.submit(read) for _ in range(2)]
        try:
            seen = wrk.run(target.url, "click.lua", _SMALL, seconds, [len(BANNERS)])
        finally:
            is_over.set()
        for one in (*others, *readers):
            one.result()
    return _seen(seen)


def _idle_connection_kb(folder: Path, connections: int) -> float:
    """Return the memory that an idle connection costs the workers, after one click over each."""
    settings = {"TALLYBOOK_WORKERS": str(max(2, cores()))}
    with Stack(folder / "connections", settings=settings) as stack, ExitStack() as opened:
        parts = urlsplit(stack.url)
        workers = _workers(stack.pid)

        def connected() -> socket.socket:
            return opened.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=_TIMEOUT_S))

        _click(connected())
        time.sleep(_IDLE_S)
        before = sum(map(memory_mb, workers))
        for client in [connected() for _ in range(connections)]:
            _click(client)
        after = sum(map(memory_mb, workers))
    return round(max(0.0, after - before) * 1024 / connections, 2)


def _workers(pid: int) -> list[int]:
    """Return the ids of the processes of the HTTP service."""
    found = [one.pid for one in psutil.Process(pid).children(recursive=True) if "ingest" in one.cmdline()]
    if not found:
        raise StartError("the stack has no process of the HTTP service")
    return found


def _click(client: socket.socket) -> None:
    client.sendall(b"POST /stats/1 HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n")
    if not client.recv(4096).startswith(b"HTTP/1.1 204 "):
        raise StartError("a click was refused while connections were opened")
