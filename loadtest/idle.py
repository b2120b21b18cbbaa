"""Measure what a stack without traffic costs: `python -m loadtest.idle [--seconds 30]`.

Print processor, memory and wake-ups of each process, and the commands that the stores receive. Write the sums into
`loadtest/results/bench.json` as `idle.cpu_percent` (of one core) and `idle.memory_mb`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from loadtest.tools.machine import describe
from loadtest.tools.result import RESULT, Result
from loadtest.tools.stack import Stack, StartError
from shared.settings import Settings, load
from shared.stores import clickhouse
from shared.stores.redis_client import connect

#: Seconds that a stack gets to settle, and the share by which two looks at its processor may still differ.
_SETTLE_S, _LOOK_S, _DIFFERENCE = 60.0, 5.0, 0.2

_TRANSACTIONS = "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database"
_QUERIES = "SELECT value FROM system.events WHERE event = 'Query'"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since its start: seconds of the processor, and voluntary context switches."""

    name: str
    cpu_s: float
    wakes: int


def run(seconds: float, folder: Path, say: Callable[[str], None], settle_s: float = _SETTLE_S) -> dict[str, Any]:
    """Return the cost of an idle stack on a fresh folder. Raises StartError."""
    with Stack(folder / "idle") as stack:
        settings = load({**stack.environ, **stack.urls()})
        _settle(stack, settle_s)
        asked = asyncio.run(_asked(settings))
        before, began = _usage(stack.pid), time.monotonic()
        time.sleep(seconds)
        after, took_s = _usage(stack.pid), time.monotonic() - began
        memory = {pid: memory_mb(pid) for pid in after}
        calls = _difference(asked, asyncio.run(_asked(settings)), took_s)
    processes = [
        {
            "name": now.name,
            "cpu_percent": round((now.cpu_s - then.cpu_s) / took_s * 100, 2),
            "memory_mb": round(memory[pid], 1),
            "wakes_per_s": round((now.wakes - then.wakes) / took_s, 1),
        }
        for pid, now in after.items()
        if (then := before.get(pid)) is not None
    ]
    result = {
        "cpu_percent": round(sum(one["cpu_percent"] for one in processes), 2),
        "memory_mb": round(sum(one["memory_mb"] for one in processes), 1),
        "seconds": round(took_s, 1),
        "processes": sorted(processes, key=lambda one: -one["cpu_percent"]),
        "calls_per_s": calls,
    }
    say(table(result))
    return result


def table(result: Mapping[str, Any]) -> str:
    """Return the measurement as Markdown."""
    lines = ["| process | CPU % of a core | MB | wake-ups/s |", "|---|---|---|---|"]
    lines += [
        f"| {one['name']} | {one['cpu_percent']:.2f} | {one['memory_mb']:.1f} | {one['wakes_per_s']:.1f} |"
        for one in result["processes"]
    ]
    lines.append(f"| **sum** | **{result['cpu_percent']:.2f}** | **{result['memory_mb']:.1f}** | |")
    lines += ["", "| store | command | a second |", "|---|---|---|"]
    for store, commands in result["calls_per_s"].items():
        lines += [f"| {store} | {name} | {count:.2f} |" for name, count in commands.items()]
    return "\n".join(lines)


def _settle(stack: Stack, settle_s: float) -> None:
    """Wait until the stack uses as much of the processor as in the look before."""
    deadline, last = time.monotonic() + settle_s, 0.0
    while time.monotonic() < deadline:
        before = sum(stack.cpu().values())
        time.sleep(min(_LOOK_S, settle_s))
        used = sum(stack.cpu().values()) - before
        if abs(used - last) <= _DIFFERENCE * used:
            return
        last = used


def _usage(pid: int) -> dict[int, Usage]:
    """Return what each process of a tree has used, by its id."""
    found: dict[int, Usage] = {}
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            times, wakes = process.cpu_times(), _wakes(process)
            used = times.user + times.system + times.children_user + times.children_system
            found[process.pid] = Usage(_name(process), used, wakes)
        except psutil.NoSuchProcess:
            continue
    return found


def _wakes(process: psutil.Process) -> int:
    """Return the voluntary context switches of all threads: each ends a wait. Zero without /proc."""
    switches = 0
    for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:  # the thread ended
            continue
        switches += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return switches


def _name(process: psutil.Process) -> str:
    """Return what a process is: its title, or the module that Python runs in it."""
    words = process.cmdline()
    if "-m" in words and words.index("-m") + 1 < len(words):
        return " ".join(words[words.index("-m") + 1 :])
    if words and words[0].startswith("postgres:"):
        return " ".join(words).strip()
    parent = process.parent()
    is_python = process.name().startswith("python")
    return f"{_name(parent)}: child" if is_python and parent is not None else process.name()


def memory_mb(pid: int) -> float:
    """Return the proportional share of memory (PSS), or the resident set where /proc does not tell it."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


async def _asked(settings: Settings) -> dict[str, dict[str, int]]:
    """Return the commands that each store has received so far."""
    redis = connect(settings)
    try:
        stats: dict[str, Any] = await redis.info("commandstats")
    finally:
        await redis.aclose()
    connection = await asyncpg.connect(settings.database_url)
    try:
        transactions = int(await connection.fetchval(_TRANSACTIONS))
    finally:
        await connection.close()
    async with clickhouse.connect(settings) as tables:
        queries = await tables.query(_QUERIES)
    return {
        "redis": {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()},
        "postgres": {"transactions": transactions},
        "clickhouse": {"queries": int(queries[0][0]) if queries else 0},
    }


def _difference(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]], seconds: float
) -> dict[str, dict[str, float]]:
    """Return the commands a second between two looks, the most frequent first."""
    result: dict[str, dict[str, float]] = {}
    for store, commands in after.items():
        moved = {name: count - before[store].get(name, 0) for name, count in commands.items()}
        often = sorted(moved.items(), key=lambda one: -one[1])
        result[store] = {name: round(count / seconds, 2) for name, count in often if count}
    return result


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 measured, 2 something is missing."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.idle", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the measurement (default 30)")
    parser.add_argument("--output", type=Path, default=RESULT, help=f"file of results (default {RESULT.name})")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tallybook-idle-", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        result = Result(options.output, describe(f"{datetime.now(UTC):%Y-%m-%d}", folder))
        try:
            result.keep("idle", run(options.seconds, folder, print))
        except StartError as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
