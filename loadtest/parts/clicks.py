"""Race single clicks: all sides in each round, one at a time, in another order each round."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.tools import cpu, wrk
from loadtest.tools.ratios import paired
from loadtest.tools.servers import Server, Side
from loadtest.tools.settled import settled

LANE, ACK_REDIS = "tallybook", "tallybook ack=redis"
GIN_MEMORY, GIN_REDIS, FIBER = "gin-memory", "gin-redis", "fiber-memory"

#: Banners that are clicked, round-robin.
BANNERS = range(1, 101)
CONNECTIONS = (64, 256)

#: Name in the result -> what is divided by what. Throughput: more is better; p99 and CPU: less is better.
_RATIOS = {
    "vs_gin_redis": (LANE, GIN_REDIS, "rps"),
    "vs_gin_memory": (LANE, GIN_MEMORY, "rps"),
    "ack_redis_vs_gin_redis": (ACK_REDIS, GIN_REDIS, "rps"),
    "p99_vs_gin_redis": (LANE, GIN_REDIS, "p99_ms"),
    "cpu_vs_gin_redis": (LANE, GIN_REDIS, "cpu_us"),
    "cpu_vs_gin_memory": (LANE, GIN_MEMORY, "cpu_us"),
    "vs_fiber_memory": (LANE, FIBER, "rps"),
    "cpu_vs_fiber_memory": (LANE, FIBER, "cpu_us"),
}
#: Headers of the requests -> the script that sends them.
_SCRIPTS = {"wrk": "click.lua", "browser": "browser.lua"}
#: Sides that are loaded with the headers of browsers as well, and the ratios of those runs.
_BROWSED = (LANE, GIN_MEMORY, FIBER)
_BROWSER_RATIOS = ("vs_gin_memory", "cpu_vs_gin_memory", "vs_fiber_memory", "cpu_vs_fiber_memory")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rounds, and the seconds of each run of wrk."""

    rounds: int = 5
    seconds: float = 3.0
    warmup_s: float = 1.0


def race(sides: Sequence[Side], plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[list[Row]]:
    """Yield the rows of one round after the other."""
    for number in range(plan.rounds):
        at = number % len(sides)
        rows: list[Row] = []
        for side in (*sides[at:], *sides[:at]):
            place = folder / f"{number}-{sides.index(side)}"
            server = side.make(place)
            try:
                server.start()
                for headers in _SCRIPTS if side.name in _BROWSED else ("wrk",):
                    for connections in CONNECTIONS:
                        rows.append(measure(server, side.name, number, connections, plan, headers))
                        say(line(rows[-1]))
            finally:
                server.stop()
                shutil.rmtree(place, ignore_errors=True)
        yield rows


def measure(server: Server, name: str, number: int, connections: int, plan: Plan, headers: str = "wrk") -> Row:
    """Warm up, load, and compare what was acknowledged with what was counted."""
    wrk.run(server.url, _SCRIPTS[headers], connections, plan.warmup_s, [len(BANNERS)])
    counted_before, cpu_before = settled(lambda: server.total(BANNERS)), server.cpu()
    seen = wrk.run(server.url, _SCRIPTS[headers], connections, plan.seconds, [len(BANNERS)])
    spent = cpu.per_request_us(cpu_before, server.cpu(), seen.requests)
    counted = settled(lambda: server.total(BANNERS)) - counted_before
    return {
        "round": number,
        "side": name,
        "headers": headers,
        "connections": connections,
        "rps": round(seen.per_second, 1),
        "p50_ms": round(seen.p50_ms, 3),
        "p99_ms": round(seen.p99_ms, 3),
        "cpu_us": round(spent["total"], 2),
        "cpu_us_by": {kind: round(spent[kind], 2) for kind in cpu.KINDS},
        "acknowledged": seen.acknowledged,
        "counted": counted,
        "non_2xx": seen.non_2xx,
        "socket_errors": seen.socket_errors,
        "exact": is_exact(seen.acknowledged, counted, connections + seen.socket_errors),
    }


def is_exact(acknowledged: int, counted: int, unknown: int) -> bool:
    """Return whether every acknowledged request is counted, and at most `unknown` more."""
    return acknowledged <= counted <= acknowledged + unknown


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the median paired ratios per number of connections, and the rows behind them."""
    result: dict[str, Any] = {}
    for connections in CONNECTIONS:
        chosen = [row for row in rows if row["connections"] == connections]
        plain, browser = ([row for row in chosen if row["headers"] == headers] for headers in _SCRIPTS)
        result[f"c{connections}"] = {
            **{name: paired(plain, *sides) for name, sides in _RATIOS.items()},
            "browser": {**{name: paired(browser, *_RATIOS[name]) for name in _BROWSER_RATIOS}, "rows": browser},
            "rows": plain,
        }
    return result


def line(row: Row) -> str:
    """Format a row for the terminal."""
    verdict = "exact" if row["exact"] else f"MISMATCH: {row['acknowledged']} acknowledged, {row['counted']} counted"
    trouble = f", {row['non_2xx']} refused" if row["non_2xx"] else ""
    trouble += f", {row['socket_errors']} socket errors" if row["socket_errors"] else ""
    return (
        f"round {row['round'] + 1}  {row['side']:<20} {row['headers']:<7} c{row['connections']:<4} "
        f"{row['rps']:>9,.0f} rps  "
        f"p50 {row['p50_ms']:.2f} ms  p99 {row['p99_ms']:.2f} ms  CPU {row['cpu_us']:.1f} us  {verdict}{trouble}"
    )
