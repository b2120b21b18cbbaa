"""Reading one day of minutes over HTTP against the bare query on the same Postgres, by turns."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop

from loadtest.tools.client import Client
from loadtest.tools.stack import Stack, rfc3339

#: Banners whose whole day is in Postgres; one of them is read.
_BANNERS, _BANNER = 100, 42
_MINUTES = 1440
#: Reads of one kind in one round.
_READS = 200

_FILL = """
INSERT INTO click_stats ("timestamp", banner_id, count)
SELECT minute, banner, 1 + (banner * 7 + extract(epoch FROM minute)::bigint / 60) % 50
FROM generate_series($1::timestamptz, $2::timestamptz - interval '1 minute', interval '1 minute') AS minute,
     generate_series(1, $3::bigint) AS banner
"""
_LEDGER = """
INSERT INTO click_ledger (incarnation, rows, clicks)
SELECT 'loadtest', count(*), sum(count) FROM click_stats
"""
_BARE = """
SELECT "timestamp", count FROM click_stats
WHERE banner_id = $1 AND "timestamp" >= $2 AND "timestamp" < $3 ORDER BY "timestamp"
"""

Row = dict[str, Any]


def run(rounds: int, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Median of the paired ratios, and the rows."""
    with Stack(folder / "read") as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows: list[Row] = runner.run(_measure(stack, rounds, say))
    return {
        "vs_bare_query": round(median(row["ratio"] for row in rows), 3),
        "http_ms": round(median(row["http_ms"] for row in rows), 3),
        "query_ms": round(median(row["query_ms"] for row in rows), 3),
        "rows": rows,
    }


async def _measure(stack: Stack, rounds: int, say: Callable[[str], None]) -> list[Row]:
    start, end = day()
    connection = await asyncpg.connect(stack.urls()["TALLYBOOK_DATABASE_URL"])
    try:
        await fill(connection, start, end)
        return [await _round(connection, stack.url, number, start, end, say) for number in range(rounds)]
    finally:
        await connection.close()


def day() -> tuple[datetime, datetime]:
    """Return the bounds of yesterday (UTC)."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - timedelta(days=1), end


def day_path() -> str:
    """Return the path that asks for yesterday's minutes of one banner."""
    start, end = day()
    return f"/stats/{_BANNER}?tsFrom={rfc3339(start)}&tsTo={rfc3339(end)}&step=minute"


async def fill(connection: Any, start: datetime, end: datetime) -> None:
    """Persist a day: rows and their ledger, in one transaction as the aggregator does."""
    async with connection.transaction():
        await connection.execute("SELECT click_stats_make_partition($1)", start)
        await connection.execute(_FILL, start, end, _BANNERS)
        await connection.execute(_LEDGER)
    await connection.execute("VACUUM ANALYZE click_stats")


async def _round(
    connection: Any, url: str, number: int, start: datetime, end: datetime, say: Callable[[str], None]
) -> Row:
    path = day_path()
    with Client(url) as client:
        bare = await connection.fetch(_BARE, _BANNER, start, end)
        answer = client.get(path)
        is_exact = len(bare) == _MINUTES and answer["total"] == sum(row["count"] for row in bare)
        http, query = [], []
        for _ in range(_READS):
            began = time.perf_counter()
            client.raw(path)
            http.append(time.perf_counter() - began)
            began = time.perf_counter()
            await connection.fetch(_BARE, _BANNER, start, end)
            query.append(time.perf_counter() - began)
    row = {
        "round": number,
        "http_ms": round(median(http) * 1000, 3),
        "query_ms": round(median(query) * 1000, 3),
        "ratio": round(median(http) / median(query), 3),
        "exact": is_exact,
    }
    say(
        f"round {number + 1}  a day of minutes: {row['http_ms']} ms over HTTP, {row['query_ms']} ms bare, "
        f"ratio {row['ratio']}{'' if is_exact else '  MISMATCH'}"
    )
    return row
