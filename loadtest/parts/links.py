"""Compare redirect links with plain clicks of one stack: they take turns under load, in another order each round."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from loadtest.parts.clicks import BANNERS, CONNECTIONS, Plan, is_exact
from loadtest.tools import wrk
from loadtest.tools.ratios import middle, paired
from loadtest.tools.settled import settled
from loadtest.tools.stack import Stack

LINK, CLICK = "links", "clicks"
#: Side -> the script that sends its requests, and the banners that they count. A link has the number of its banner.
_LINKED = range(1001, 1001 + len(BANNERS))
_SIDES = {LINK: ("link.lua", _LINKED), CLICK: ("click.lua", BANNERS)}
#: Seconds in which workers read the table of links.
_LOADED_S = 1.5

Row = dict[str, Any]


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the median paired ratio of links to clicks per number of connections, and the rows behind it.

    Raises StartError, WrkError.
    """
    rows = list[Row]()
    with Stack(folder / "links") as stack:
        asyncio.run(_filled(stack.urls()["TALLYBOOK_DATABASE_URL"]))
        time.sleep(_LOADED_S)
        for number in range(plan.rounds):
            for side in list(_SIDES) if number % 2 == 0 else reversed(_SIDES):
                for connections in CONNECTIONS:
                    rows.append(_measured(stack, side, number, connections, plan))
                    say(_line(rows[-1]))
    return summary(rows)


def summary(rows: list[Row]) -> dict[str, Any]:
    """Return the ratios and medians per number of connections, and the rows."""
    result: dict[str, Any] = {}
    for connections in CONNECTIONS:
        own = [row for row in rows if row["connections"] == connections]
        result[f"c{connections}"] = {"vs_clicks": paired(own, LINK, CLICK, "rps"), "rps": middle(own, LINK, "rps")}
    return {**result, "rows": rows}


async def _filled(database_url: str) -> None:
    """Add a link for each banner."""
    connection = await asyncpg.connect(database_url)
    rows = [(f"b{number}", banner) for number, banner in enumerate(_LINKED, 1)]
    try:
        await connection.executemany(
            "INSERT INTO links (slug, banner_id, url) VALUES ($1, $2, 'https://shop.example/sale')", rows
        )
    finally:
        await connection.close()


def _measured(stack: Stack, side: str, number: int, connections: int, plan: Plan) -> Row:
    script, banners = _SIDES[side]
    wrk.run(stack.url, script, connections, plan.warmup_s, [len(banners)])
    before = settled(lambda: stack.total(banners))
    seen = wrk.run(stack.url, script, connections, plan.seconds, [len(banners)])
    counted = settled(lambda: stack.total(banners)) - before
    return {
        "round": number,
        "side": side,
        "connections": connections,
        "rps": round(seen.per_second, 1),
        "p99_ms": round(seen.p99_ms, 3),
        "acknowledged": seen.acknowledged,
        "counted": counted,
        "exact": is_exact(seen.acknowledged, counted, connections + seen.socket_errors),
    }


def _line(row: Row) -> str:
    verdict = "exact" if row["exact"] else "MISMATCH"
    figures = f"{row['rps']:>9,.0f} rps  p99 {row['p99_ms']:.2f} ms"
    return f"round {row['round'] + 1}  {row['side']:<7} c{row['connections']:<4} {figures}  {verdict}"
