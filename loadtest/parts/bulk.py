"""Bulk counting: `POST /stats` with 10,000 items at a time."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.parts.clicks import Plan, is_exact
from loadtest.tools import cpu, wrk
from loadtest.tools.servers import Server, cores
from loadtest.tools.settled import settled

ITEMS = 10_000

#: Name in the result -> different banners in one request. The goal is meant for the first.
_POPULATIONS = {"clicks_per_s": 100, "clicks_per_s_all_different": ITEMS}

Row = dict[str, Any]


def race(make: Callable[[Path], Server], plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[list[Row]]:
    """The rows of one round after the other."""
    for number in range(plan.rounds):
        place = folder / f"{number}-bulk"
        server = make(place)
        try:
            server.start()
            yield [measure(server, banners, number, plan, say) for banners in _POPULATIONS.values()]
        finally:
            server.stop()
            shutil.rmtree(place, ignore_errors=True)


def measure(server: Server, banners: int, number: int, plan: Plan, say: Callable[[str], None]) -> Row:
    """Load with two connections per core, and compare. The sample of banners that is counted is the whole of them."""
    connections = 2 * cores()
    population = range(1, min(banners, _ASKED) + 1)
    wrk.run(server.url, "bulk.lua", connections, plan.warmup_s, [ITEMS, banners])
    before, cpu_before = settled(lambda: server.total(population)), server.cpu()
    seen = wrk.run(server.url, "bulk.lua", connections, plan.seconds, [ITEMS, banners])
    spent = cpu.per_request_us(cpu_before, server.cpu(), seen.requests * ITEMS)
    counted = settled(lambda: server.total(population)) - before
    share = ITEMS // banners * len(population)  # clicks of one request that fall on the banners asked for
    row = {
        "round": number,
        "banners": banners,
        "clicks_per_s": round(seen.per_second * ITEMS),
        "p50_ms": round(seen.p50_ms, 2),
        "p99_ms": round(seen.p99_ms, 2),
        "cpu_us": round(spent["total"], 3),
        "acknowledged": seen.acknowledged * share,
        "counted": counted,
        "non_2xx": seen.non_2xx,
        "socket_errors": seen.socket_errors,
        "exact": is_exact(seen.acknowledged * share, counted, (connections + seen.socket_errors) * share),
    }
    say(
        f"round {number + 1}  bulk, {banners:,} banners: {row['clicks_per_s']:,} clicks/s, p99 {row['p99_ms']} ms"
        f"{'' if row['exact'] else '  MISMATCH'}{', some refused' if seen.non_2xx else ''}"
    )
    return row


#: Banners whose counts are compared: asking for each of 10,000 would take longer than the measurement.
_ASKED = 100


def summary(rows: list[Row]) -> dict[str, Any]:
    """Medians per population."""
    result: dict[str, Any] = {}
    for name, banners in _POPULATIONS.items():
        values = [row["clicks_per_s"] for row in rows if row["banners"] == banners]
        result[name] = median(values) if values else None
    return {**result, "items": ITEMS, "rows": rows}
