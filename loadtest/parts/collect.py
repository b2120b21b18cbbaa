"""Compare what pages report with the same by other routes of one stack, by turns, in another order each round.

three clicks of a view to `POST /c`    three clicks with ids to `POST /stats`
one view to `POST /c`                  one hit with a body to `POST /track`
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from loadtest.latency import added
from loadtest.parts.clicks import BANNERS, CONNECTIONS, Plan, is_exact
from loadtest.tools import wrk
from loadtest.tools.ratios import middle, paired
from loadtest.tools.settled import settled
from loadtest.tools.stack import Stack
from shared.settings import Settings
from shared.stores import clickhouse

ITEMS, BULK, VIEW, HIT = "collect", "bulk", "view", "hit"
#: Side -> what one request counts, and where that is counted: banners, or a table.
_SIDES: dict[str, tuple[int, range | str]] = {
    ITEMS: (3, BANNERS),
    BULK: (3, range(1001, 1001 + len(BANNERS))),
    VIEW: (1, "web_items"),
    HIT: (1, "tracker_events"),
}
#: Seconds in which workers read the tables, and in which a batch of the sink waits.
_LOADED_S, _BATCH_S = 1.5, 1.5

Row = dict[str, Any]


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the median paired ratios per number of connections, and the rows. Raises StartError, WrkError."""
    rows = list[Row]()
    with Stack(folder / "collect") as stack:
        urls = stack.urls()
        tracker = asyncio.run(_filled(urls["TALLYBOOK_DATABASE_URL"]))
        time.sleep(_LOADED_S)
        for number in range(plan.rounds):
            for side in list(_SIDES) if number % 2 == 0 else reversed(_SIDES):
                for connections in CONNECTIONS:
                    rows.append(_measured(stack, urls, [side, len(BANNERS), tracker], number, connections, plan))
                    say(_line(rows[-1]))
    return summary(rows)


def summary(rows: list[Row]) -> dict[str, Any]:
    """Return the ratios and medians per number of connections, and the rows."""
    result: dict[str, Any] = {}
    for connections in CONNECTIONS:
        own = [row for row in rows if row["connections"] == connections]
        result[f"c{connections}"] = {
            "vs_bulk": paired(own, ITEMS, BULK, "rps"),
            "view_vs_hit": paired(own, VIEW, HIT, "rps"),
            "rps": {side: middle(own, side, "rps") for side in _SIDES},
        }
    return {**result, "rows": rows}


async def _filled(database_url: str) -> str:
    """Add the site, and a tracker. Return the latter."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO sites (site) VALUES ('shop')")
        await connection.execute("INSERT INTO site_hosts (host, site) VALUES ('shop.example', 'shop')")
    finally:
        await connection.close()
    [tracker] = await added(database_url, 1)
    return str(tracker)


def _measured(
    stack: Stack, urls: dict[str, str], arguments: list[object], number: int, connections: int, plan: Plan
) -> Row:
    side = str(arguments[0])
    weight, place = _SIDES[side]

    def counted() -> int:
        return stack.total(place) if isinstance(place, range) else asyncio.run(_stored(urls, place))

    wrk.run(stack.url, "page.lua", connections, plan.warmup_s, arguments)
    before = settled(counted)
    seen = wrk.run(stack.url, "page.lua", connections, plan.seconds, arguments)
    found = settled(counted) - before
    unknown = (connections + seen.socket_errors) * weight
    return {
        "round": number,
        "side": side,
        "connections": connections,
        "rps": round(seen.per_second, 1),
        "p99_ms": round(seen.p99_ms, 3),
        "acknowledged": seen.acknowledged * weight,
        "counted": found,
        "non_2xx": seen.non_2xx,
        "exact": is_exact(seen.acknowledged * weight, found, unknown),
    }


async def _stored(urls: dict[str, str], table: str) -> int:
    await asyncio.sleep(_BATCH_S)
    async with clickhouse.connect(Settings(clickhouse_url=urls["TALLYBOOK_CLICKHOUSE_URL"])) as tables:
        return int((await tables.query(f"SELECT count() FROM {table}"))[0][0])  # noqa: S608 - a table of ours


def _line(row: Row) -> str:
    verdict = "exact" if row["exact"] else "MISMATCH"
    figures = f"{row['rps']:>9,.0f} rps  p99 {row['p99_ms']:.2f} ms"
    refused = f"  {row['non_2xx']} refused" if row["non_2xx"] else ""
    return f"round {row['round'] + 1}  {row['side']:<7} c{row['connections']:<4} {figures}  {verdict}{refused}"
