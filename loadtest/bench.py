"""Run the benchmark, side by side with other programs: `python -m loadtest.bench`.

    tallybook              answers when a click is in shared memory (the default)
    tallybook ack=redis    answers when Redis has it on disk
    gin-memory             Go, gin, a map under a mutex; nothing survives
    fiber-memory           the same behind fiber (fasthttp)
    gin-redis              Go, gin, one HINCRBY per click

Every Redis is the same server with the same `appendfsync always`. One side runs at a time and shares all cores with the
generator (wrk). Each run compares acknowledged with counted clicks: a difference fails the benchmark.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest import hits, idle, report
from loadtest.parts import bulk, clicks, collect, flush, links, others, read, web
from loadtest.peers.build import PeerError, build
from loadtest.tools.machine import describe
from loadtest.tools.result import RESULT, Result
from loadtest.tools.servers import Side, peer, tallybook
from loadtest.tools.stack import StartError
from loadtest.tools.wrk import WrkError

PARTS = ("clicks", "links", "collect", "hits", "others", "bulk", "read", "flush", "web", "idle")

EXIT_MISMATCH, EXIT_UNUSABLE, EXIT_INTERRUPTED = 1, 2, 130


class Bench:
    """One run. Measure the parts asked for and write after each round, so that an interruption loses one round."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._plan = clicks.Plan(rounds=options.rounds, seconds=options.seconds)
        self.result = Result(options.output, describe(options.date, folder))

    def run(self) -> None:
        """Measure. Raises StartError, WrkError, PeerError."""
        rounds, folder, keep = self._plan.rounds, self._folder, self.result.keep
        measures: Mapping[str, Callable[[], None]] = {
            "clicks": self._clicks,
            "links": lambda: keep("links", links.run(self._plan, folder, say)),
            "collect": lambda: keep("collect", collect.run(self._plan, folder, say)),
            "hits": self._hits,
            "others": lambda: keep("others", others.run(self._plan, folder, say, self._options.connections)),
            "bulk": self._bulk,
            "read": lambda: keep("read", read.run(rounds, folder, say)),
            "flush": lambda: keep("flush", flush.run(rounds, folder, say)),
            "web": lambda: keep("web", web.run(rounds, folder, say, self._options.items)),
            "idle": lambda: keep("idle", idle.run(self._options.idle_seconds, folder, say)),
        }
        for part in self._options.parts:
            began = time.monotonic()
            say(f"-- {part}")
            measures[part]()
            say(f"-- {part} took {time.monotonic() - began:.0f} s")

    def _clicks(self) -> None:
        binaries = build()
        sides = [
            Side(clicks.LANE, tallybook("lane")),
            Side(clicks.GIN_REDIS, peer(binaries["gin-redis"], needs_redis=True)),
            Side(clicks.ACK_REDIS, tallybook("redis")),
            Side(clicks.GIN_MEMORY, peer(binaries["gin-memory"], needs_redis=False)),
            Side(clicks.FIBER, peer(binaries["fiber-memory"], needs_redis=False)),
        ]
        if workers := self._options.workers:
            sides.append(Side(f"{clicks.LANE} workers={workers}", tallybook("lane", workers)))
        rows: list[clicks.Row] = []
        for new in clicks.race(sides, self._plan, self._folder, say):
            rows += new
            self.result.keep("clicks", clicks.summary(rows))

    def _bulk(self) -> None:
        rows: list[bulk.Row] = []
        for new in bulk.race(tallybook("lane"), self._plan, self._folder, say):
            rows += new
            self.result.keep("bulk", bulk.summary(rows))

    def _hits(self) -> None:
        hits.install()
        rows: list[hits.Row] = []
        for new in hits.race((hits.HITS, hits.PEER), range(self._plan.rounds), self._plan.seconds, self._folder):
            rows += new
            self.result.keep("hits", hits.summary(rows, ("vs_node", "cpu_vs_node")))


def say(text: str) -> None:
    """Print a line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def mismatches(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows, at any depth, in which acknowledged and counted differ."""
    wrong = [row for row in result.get("rows", ()) if not row["exact"]]
    for value in result.values():
        if isinstance(value, dict):
            wrong += mismatches(value)
    return wrong


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: no part; the parts are {', '.join(PARTS)}")
    return names


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description="The side-by-side benchmark.")
    parser.add_argument("--parts", type=_parts, default=PARTS, help=f"parts to measure (default {','.join(PARTS)})")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one run of wrk (default 3)")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="length of the part `idle` (default 30)")
    parser.add_argument(
        "--connections", type=int, default=others.IDLE_CONNECTIONS, help="idle connections of `others` (default 5000)"
    )
    parser.add_argument("--items", type=int, default=web.ITEMS, help="rows of `web` (default 3,000,000)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s: shows that it works, measures nothing")
    parser.add_argument("--workers", type=int, help="also measure tallybook with this many workers")
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="day to be published (default today)")
    parser.add_argument("--output", type=Path, help=f"where the result goes (default {RESULT.name} in results/)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.items = 2, 2.0, 100_000
    if options.output is None:
        options.output = RESULT.with_name("quick.json") if options.quick else RESULT
    return options


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 measured, 1 counts differ, 2 something is missing, 130 interrupted."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="tallybook-bench-") as folder:
        bench = Bench(options, Path(folder))
        code = 0
        try:
            bench.run()
        except KeyboardInterrupt:
            say(f"interrupted; complete rounds of clicks, hits and bulk, and complete parts, are in {options.output}")
            code = EXIT_INTERRUPTED
        except (StartError, WrkError, PeerError) as error:
            say(f"cannot measure: {error}")
            code = EXIT_UNUSABLE
    print(report.tables(bench.result.parts))
    if wrong := mismatches(bench.result.parts):
        say(f"{len(wrong)} runs counted something else than they acknowledged; none of these figures is worth anything")
        return EXIT_MISMATCH
    return code


if __name__ == "__main__":
    sys.exit(main())
