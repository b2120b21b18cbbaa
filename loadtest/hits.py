"""The ceiling of the tracker: hits a second, beside the click path and beside the same handler in Node.

    python -m loadtest.hits [--rounds 5] [--seconds 3]

    tallybook        the whole product; answers when the record log has the hit; its sink stores them meanwhile
    clicks           the click path of the same product, answered from shared memory
    clicks ack=redis the click path that waits for Redis's disk, as a hit does
    node-tracker     fastify and ioredis, one XADD per hit (`loadtest/peers/node-tracker`), nothing behind it

All sides in each round, one at a time, in another order each round; wrk shares the cores. Every Redis is the same with
`appendfsync always`. After each run what was answered is compared with what is stored. Ratios are of the same round,
and their median counts. Into loadtest/results/hits.json.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import redis

from loadtest.latency import added
from loadtest.peers.build import PeerError
from loadtest.tools import cpu, wrk
from loadtest.tools.machine import describe
from loadtest.tools.ratios import paired
from loadtest.tools.servers import Valkey, cores
from loadtest.tools.settled import settled
from loadtest.tools.stack import Child, Stack, StartError, free_port
from loadtest.tools.wrk import WrkError
from shared.settings import Settings
from shared.stores import clickhouse

RESULT = Path(__file__).parent / "results" / "hits.json"
NODE = Path(__file__).parent / "peers" / "node-tracker"
HITS, CLICKS, DURABLE, PEER = "tallybook", "clicks", "clicks ack=redis", "node-tracker"
CONNECTIONS = (64, 256)
_WARMUP_S, _TRACKERS, _BANNERS = 1.0, 100, range(1, 101)
_RATIOS = {
    "vs_clicks": (HITS, CLICKS, "rps"),
    "vs_clicks_ack_redis": (HITS, DURABLE, "rps"),
    "vs_node": (HITS, PEER, "rps"),
    "cpu_vs_node": (HITS, PEER, "cpu_us"),
}

Row = dict[str, Any]


class Side(Protocol):
    """What takes requests, and how many of them it has stored."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def load(self, connections: int, seconds: float) -> wrk.Run: ...
    def cpu(self) -> dict[str, float]: ...
    def stored(self) -> int: ...


class Tracker:
    """The whole product, asked for hits."""

    def __init__(self, folder: Path) -> None:
        self._stack = Stack(folder)
        self._trackers: list[UUID] = []

    def start(self) -> None:
        self._stack.start()
        self._urls = self._stack.urls()
        self._trackers = asyncio.run(added(self._urls["TALLYBOOK_DATABASE_URL"], _TRACKERS))
        time.sleep(1.5)  # the workers read the table

    def stop(self) -> None:
        self._stack.stop()

    def load(self, connections: int, seconds: float) -> wrk.Run:
        return wrk.run(self._stack.url, "hit.lua", connections, seconds, [0, *self._trackers])

    def cpu(self) -> dict[str, float]:
        return self._stack.cpu()

    def stored(self) -> int:
        async def asked() -> int:
            async with clickhouse.connect(Settings(clickhouse_url=self._urls["TALLYBOOK_CLICKHOUSE_URL"])) as tables:
                return int((await tables.query("SELECT count() FROM tracker_events"))[0][0])

        def slowly() -> int:
            time.sleep(1.5)  # a batch of the sink waits for a second
            return asyncio.run(asked())

        return settled(slowly)


class Clicks:
    """The same, asked for clicks."""

    def __init__(self, folder: Path, ack: str) -> None:
        self._stack = Stack(folder, settings={"TALLYBOOK_ACK": ack})

    def start(self) -> None:
        self._stack.start()

    def stop(self) -> None:
        self._stack.stop()

    def load(self, connections: int, seconds: float) -> wrk.Run:
        return wrk.run(self._stack.url, "click.lua", connections, seconds, [len(_BANNERS)])

    def cpu(self) -> dict[str, float]:
        return self._stack.cpu()

    def stored(self) -> int:
        return settled(lambda: self._stack.total(_BANNERS))


class Node:
    """fastify and ioredis over a Valkey of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._valkey = folder, Valkey(folder / "redis")
        self._port = free_port()
        self._trackers = [uuid4() for _ in range(_TRACKERS)]
        self._child: Child | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True)
        self._valkey.start()
        ids = self._folder / "trackers"
        ids.write_text("".join(f"{one}\n" for one in self._trackers))
        command = ["node", str(NODE / "server.mjs"), f"--port={self._port}", f"--redis={self._valkey.socket}"]
        command += [f"--workers={cores()}", f"--trackers={ids}"]
        environ = {**os.environ, "NODE_ENV": "production"}
        try:
            url = f"http://127.0.0.1:{self._port}"
            self._child = Child(command, environ, self._folder / "node.log", url, "/health")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._valkey.stop()

    def load(self, connections: int, seconds: float) -> wrk.Run:
        return wrk.run(f"http://127.0.0.1:{self._port}", "hit.lua", connections, seconds, [0, *self._trackers])

    def cpu(self) -> dict[str, float]:
        assert self._child is not None
        return cpu.added(cpu.seconds(self._child.pid), cpu.seconds(self._valkey.pid))

    def stored(self) -> int:
        with redis.Redis(unix_socket_path=str(self._valkey.socket)) as client:
            return settled(lambda: sum(int(str(client.xlen(key))) for key in client.scan_iter("*:log")))


SIDES: dict[str, Callable[[Path], Side]] = {
    HITS: Tracker,
    CLICKS: lambda folder: Clicks(folder, "lane"),
    DURABLE: lambda folder: Clicks(folder, "redis"),
    PEER: Node,
}


def install() -> None:
    """What the peer needs, as its lock file says. Raises PeerError."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise PeerError("Node is not installed, and a peer of the benchmark is a Node program: see https://nodejs.org")
    if (NODE / "node_modules").exists():
        return
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=NODE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PeerError(f"node-tracker cannot be installed: {done.stderr.strip()[-1000:]}")


def measured(side: Side, name: str, number: int, connections: int, seconds: float) -> Row:
    """Warm up, load, and compare what was answered with what is stored."""
    side.load(connections, _WARMUP_S)
    before, cpu_before = side.stored(), side.cpu()
    run = side.load(connections, seconds)
    spent = cpu.per_request_us(cpu_before, side.cpu(), run.requests)
    stored = side.stored() - before
    return {
        "round": number,
        "side": name,
        "connections": connections,
        "rps": round(run.per_second, 1),
        "p50_ms": round(run.p50_ms, 3),
        "p99_ms": round(run.p99_ms, 3),
        "cpu_us": round(spent["total"], 2),
        "acknowledged": run.acknowledged,
        "stored": stored,
        "non_2xx": run.non_2xx,
        # wrk forgets at most one request of each connection when it ends, and those of its two threads' last turn.
        "exact": run.acknowledged <= stored <= run.acknowledged + connections,
    }


def race(
    names: Sequence[str], rounds: Sequence[int], seconds: float, folder: Path, connections: Sequence[int] = CONNECTIONS
) -> Iterator[list[Row]]:
    """Yield the rows of one round after the other."""
    for number in rounds:
        rows = list[Row]()
        at = number % len(names)
        for name in (*names[at:], *names[:at]):
            place = folder / f"{number}-{names.index(name)}"
            side = SIDES[name](place)
            try:
                side.start()
                for several in connections:
                    rows.append(measured(side, name, number, several, seconds))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            finally:
                side.stop()
                shutil.rmtree(place, ignore_errors=True)
        yield rows


def summary(rows: Sequence[Row], names: Sequence[str] = tuple(_RATIOS)) -> dict[str, Any]:
    """Return these median paired ratios per number of connections, and the rows behind them."""
    result: dict[str, Any] = {}
    for connections in sorted({row["connections"] for row in rows}):
        of = [row for row in rows if row["connections"] == connections]
        result[f"c{connections}"] = {**{name: paired(of, *_RATIOS[name]) for name in names}, "rows": of}
    return result


def _former(options: argparse.Namespace) -> list[Row]:
    """The rounds before the first one of this run, which was interrupted or is measured in pieces."""
    if not options.first or not options.output.exists():
        return []
    result = json.loads(options.output.read_text())
    rows = [row for name, part in result.items() if name != "machine" for row in part["rows"]]
    return [row for row in rows if row["round"] < options.first]


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 measured, 1 counts differ, 2 something is missing."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.hits", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one run of wrk (default 3)")
    parser.add_argument("--first", type=int, default=0, help="number of the first round; rounds before it are kept")
    parser.add_argument("--connections", type=int, action="append", help=f"of wrk (default {CONNECTIONS})")
    parser.add_argument("--only", action="append", choices=tuple(SIDES), help="this side; may be repeated")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    names = options.only or tuple(SIDES)
    with tempfile.TemporaryDirectory(prefix="tallybook-hits-", ignore_cleanup_errors=True) as text:
        Path(text).chmod(0o755)
        try:
            if PEER in names:
                install()
            rounds = range(options.first, options.first + options.rounds)
            rows = _former(options)
            for new in race(names, rounds, options.seconds, Path(text), options.connections or CONNECTIONS):
                rows += new
            machine = describe(f"{datetime.now(UTC):%Y-%m-%d}", Path(text))
        except (StartError, WrkError, PeerError) as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 2
    result: dict[str, Any] = {"machine": machine, **summary(rows)}
    for connections in sorted({row["connections"] for row in rows}):
        print(f"c{connections}: { {name: result[f'c{connections}'][name] for name in _RATIOS} }")
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(row["exact"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
