"""Rows per second from Redis into Postgres: 100,000 (minute, banner) pairs, flushed by the aggregator's own code.

The rows get into Redis as all clicks do, by bulk requests with timestamps in the past, on a stack without aggregator.
Each round flushes them twice: as new rows, and onto the rows that the first flush wrote.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import structlog
import uvloop

from aggregator.clicks.minutes import Minutes
from loadtest.tools.client import Client
from loadtest.tools.stack import Stack, StartError, rfc3339
from shared.settings import load
from shared.stores.postgres import create_pool
from shared.stores.redis_client import connect

#: Closed minutes in one flush, and banners in each: 100,000 rows.
_MINUTES, _BANNERS = 10, 10_000
ROWS = _MINUTES * _BANNERS
#: Seconds until all clicks must have left the lanes.
_DRAIN_S = 60.0
#: One worker has room for every banner of every minute of a round.
_SETTINGS = {"TALLYBOOK_WORKERS": "1", "TALLYBOOK_NEW_BANNERS_PER_MINUTE": "1000000"}

Row = dict[str, Any]


def run(rounds: int, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Medians of rows per second onto new and onto existing rows, and the single rounds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with Stack(folder / "flush", "ingest", _SETTINGS) as stack, runner:
        rows: list[Row] = runner.run(_measure(stack, rounds, say))
    return {
        "rows_per_s": round(median(row["new_rows_per_s"] for row in rows)),
        "existing_rows_per_s": round(median(row["existing_rows_per_s"] for row in rows)),
        "flushed_rows": ROWS,
        "rows": rows,
    }


async def _measure(stack: Stack, rounds: int, say: Callable[[str], None]) -> list[Row]:
    settings = load({**stack.environ, **stack.urls()})
    redis = connect(settings)
    rows = []
    try:
        async with create_pool(settings) as pool:
            minutes = Minutes(settings, redis, pool)
            await pool.fetchval("SELECT 1")  # the connection is not what is measured
            for number in range(rounds):
                rows.append(await _round(stack.url, minutes, pool, number))
                say(_line(rows[-1]))
    finally:
        await redis.aclose()
    return rows


async def _round(url: str, minutes: Minutes, pool: Any, number: int) -> Row:
    last = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10 + number * _MINUTES)
    row: Row = {"round": number, "exact": True}
    for kind in ("new", "existing"):
        _post(url, last)
        before = await _persisted(pool)
        began = time.perf_counter()
        clicks = await minutes.flush()
        took_s = time.perf_counter() - began
        row[f"{kind}_rows_per_s"] = round(ROWS / took_s)
        row["exact"] = row["exact"] and clicks == ROWS and await _persisted(pool) - before == ROWS
    return row


def _post(url: str, last: datetime) -> None:
    """One click for each banner in each of the minutes before `last`, all of them in Redis when this returns."""
    with Client(url) as client:
        for ago in range(1, _MINUTES + 1):
            moment = rfc3339(last - timedelta(minutes=ago))
            client.post("/stats", [{"bannerId": banner, "timestamp": moment} for banner in range(1, _BANNERS + 1)])
        deadline = time.monotonic() + _DRAIN_S
        while client.get("/accounting")["inLanes"]:
            if time.monotonic() > deadline:
                raise StartError(f"the lanes were not drained within {_DRAIN_S:.0f} s")
            time.sleep(0.02)


async def _persisted(pool: Any) -> int:
    return int(await pool.fetchval("SELECT coalesce(sum(count), 0) FROM click_stats"))


def _line(row: Row) -> str:
    return (
        f"round {row['round'] + 1}  flush of {ROWS:,} rows: {row['new_rows_per_s']:,} rows/s new, "
        f"{row['existing_rows_per_s']:,} onto existing{'' if row['exact'] else '  MISMATCH'}"
    )
