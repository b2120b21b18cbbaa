"""The side-by-side benchmark: `python -m loadtest.bench`.

    tallybook              answers when a click is in shared memory (the default)
    tallybook ack=redis    answers when Redis has it on disk
    gin-memory             Go, gin, a map under a mutex; nothing survives
    gin-redis              Go, gin, one HINCRBY per click

Every Redis is the same server with the same `appendfsync always`. One side runs at a time, all cores are shared with
the generator (wrk), and after each run the acknowledged clicks are compared with the counted ones: a difference fails
the benchmark, whatever it measured.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest import report
from loadtest.parts import bulk, clicks, flush, read
from loadtest.peers.build import PeerError, build
from loadtest.tools.machine import describe
from loadtest.tools.servers import Side, peer, tallybook
from loadtest.tools.stack import StartError
from loadtest.tools.wrk import WrkError

RESULT = Path(__file__).parent / "results" / "bench.json"
PARTS = ("clicks", "bulk", "read", "flush")

EXIT_MISMATCH, EXIT_UNUSABLE, EXIT_INTERRUPTED = 1, 2, 130


class Bench:
    """One run: measures the parts asked for and writes after each round, so that an interruption loses one round."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._plan = clicks.Plan(rounds=options.rounds, seconds=options.seconds)
        self.result = self._former() | {"machine": describe(options.date, folder)}

    def run(self) -> None:
        """Measure. Raises StartError, WrkError, PeerError."""
        measures: Mapping[str, Callable[[], None]] = {
            "clicks": self._clicks,
            "bulk": self._bulk,
            "read": lambda: self._keep("read", read.run(self._plan.rounds, self._folder, say)),
            "flush": lambda: self._keep("flush", flush.run(self._plan.rounds, self._folder, say)),
        }
        for part in self._options.only or PARTS:
            say(f"-- {part}")
            measures[part]()

    def _clicks(self) -> None:
        binaries = build()
        sides = [
            Side(clicks.LANE, tallybook("lane")),
            Side(clicks.GIN_REDIS, peer(binaries["gin-redis"], needs_redis=True)),
            Side(clicks.ACK_REDIS, tallybook("redis")),
            Side(clicks.GIN_MEMORY, peer(binaries["gin-memory"], needs_redis=False)),
        ]
        if workers := self._options.workers:
            sides.append(Side(f"{clicks.LANE} workers={workers}", tallybook("lane", workers)))
        rows: list[clicks.Row] = []
        for new in clicks.race(sides, self._plan, self._folder, say):
            rows += new
            self._keep("clicks", clicks.summary(rows))

    def _bulk(self) -> None:
        rows: list[bulk.Row] = []
        for new in bulk.race(tallybook("lane"), self._plan, self._folder, say):
            rows += new
            self._keep("bulk", bulk.summary(rows))

    def _keep(self, part: str, measured: dict[str, Any]) -> None:
        self.result[part] = measured
        target: Path = self._options.output
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.result, indent=1) + "\n")
        unfinished.replace(target)

    def _former(self) -> dict[str, Any]:
        """With --only, the other parts stay as they were measured before."""
        if self._options.only and self._options.output.exists():
            former: dict[str, Any] = json.loads(self._options.output.read_text())
            return former
        return {}


def say(text: str) -> None:
    """A line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def mismatches(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rows in which acknowledged and counted differ."""
    tables = [table for name, table in result.items() if name in PARTS and name != "clicks"]
    tables += result.get("clicks", {}).values()
    return [row for table in tables for row in table["rows"] if not row["exact"]]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description="The side-by-side benchmark.")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part only; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run of wrk (default 5)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s: shows that it works, measures nothing")
    parser.add_argument("--workers", type=int, help="also measure tallybook with this many workers")
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="day to be published (default today)")
    parser.add_argument("--output", type=Path, help=f"where the result goes (default {RESULT.name} in results/)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 2, 2.0
    if options.output is None:
        options.output = RESULT.with_name("quick.json") if options.quick else RESULT
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run it; answers the exit code: 0 measured, 1 counts differ, 2 something is missing, 130 interrupted."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="tallybook-bench-") as folder:
        bench = Bench(options, Path(folder))
        code = 0
        try:
            bench.run()
        except KeyboardInterrupt:
            say(
                f"interrupted; the rounds of clicks and bulk, and the parts, that were complete are in {options.output}"
            )
            code = EXIT_INTERRUPTED
        except (StartError, WrkError, PeerError) as error:
            say(f"cannot measure: {error}")
            code = EXIT_UNUSABLE
    print(report.tables(bench.result))
    if wrong := mismatches(bench.result):
        say(f"{len(wrong)} runs counted something else than they acknowledged; none of these figures is worth anything")
        return EXIT_MISMATCH
    return code


if __name__ == "__main__":
    sys.exit(main())
