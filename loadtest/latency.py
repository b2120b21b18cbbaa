"""From answered to visible: how long a hit takes into ClickHouse while 5,000 a second come.

    python -m loadtest.latency [--rate 5000] [--seconds 30]

The whole product on this machine, which the generator (wrk) shares. The table is asked ten times a second which hits it
has; one counts as visible when the answer that shows it has come. Its age is taken from the time in its row, which lies
before its answer, and is rounded up to 10 ms: the figures are upper bounds. Into loadtest/results/latency.json.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from loadtest.tools import wrk
from loadtest.tools.machine import describe
from loadtest.tools.stack import Stack, StartError
from loadtest.tools.wrk import WrkError
from shared.settings import Settings
from shared.stores import clickhouse

RESULT = Path(__file__).parent / "results" / "latency.json"
_TRACKERS = 100
#: Milliseconds that each connection of the generator waits between two hits, besides some of them for the answer.
_PAUSE_MS, _ANSWER_MS = 50, 10
_LOOK_S = 0.1
_BUCKET_MS = 10
#: Seconds that are looked at again and again: a hit that takes longer is found by the last look, over all.
_WINDOW_S = 20
#: Seconds that the last hits may take.
_PATIENCE_S = 60.0
_VISIBLE = (
    "SELECT intDiv(toUnixTimestamp64Milli(date_time), {bucket:Int64}) AS at, count() FROM tracker_events "
    "WHERE date_time >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY at"
)


async def added(url: str, count: int = _TRACKERS) -> list[UUID]:
    """New trackers in the database of the URL."""
    trackers = [uuid4() for _ in range(count)]
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(
            "INSERT INTO trackers (uuid, value) VALUES ($1, 'Spring sale')", [(one,) for one in trackers]
        )
    finally:
        await connection.close()
    return trackers


class Watch:
    """Which hits are visible, and how old they were when they became so."""

    def __init__(self, tables: clickhouse.ClickHouse) -> None:
        self.ages: Counter[int] = Counter()
        self._tables = tables
        self._seen: Counter[int] = Counter()
        self._began_ms = time.time_ns() // 1_000_000

    async def look(self, *, at_all: bool = False) -> int:
        """Ask once; answers how many hits were seen so far."""
        since = self._began_ms if at_all else max(self._began_ms, time.time_ns() // 1_000_000 - _WINDOW_S * 1000)
        found = await self._tables.query(_VISIBLE, {"bucket": _BUCKET_MS, "since": since})
        now_ms = time.time_ns() // 1_000_000
        for at, count in found:
            new = count - self._seen[at]
            if new and at * _BUCKET_MS >= since:  # a bucket at the edge of the window is not whole
                self.ages[now_ms - at * _BUCKET_MS] += new
                self._seen[at] = count
        return self._seen.total()


def percentile(ages: Counter[int], share: float) -> int:
    """The age in milliseconds that this share of the hits does not exceed."""
    left = share * ages.total()
    for age in sorted(ages):
        left -= ages[age]
        if left <= 0:
            return age
    return max(ages, default=0)


async def _measure(stack: Stack, rate: int, seconds: float) -> dict[str, Any]:
    urls = stack.urls()
    trackers = await added(urls["TALLYBOOK_DATABASE_URL"])
    connections = round(rate * (_PAUSE_MS + _ANSWER_MS) / 1000)
    async with clickhouse.connect(Settings(clickhouse_url=urls["TALLYBOOK_CLICKHOUSE_URL"])) as tables:
        await asyncio.sleep(2)  # the workers read the table of trackers
        watch = Watch(tables)
        load = asyncio.create_task(
            asyncio.to_thread(wrk.run, stack.url, "hit.lua", connections, seconds, [_PAUSE_MS, *trackers])
        )
        while not load.done():
            await watch.look()
            await asyncio.sleep(_LOOK_S)
        run = await load
        deadline = time.monotonic() + _PATIENCE_S
        while await watch.look(at_all=True) < run.acknowledged and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
    return {
        "hits_per_s": round(run.per_second),
        "seconds": seconds,
        "answered": run.acknowledged,
        "refused": run.non_2xx,
        "visible": watch.ages.total(),
        "p50_ms": percentile(watch.ages, 0.5),
        "p99_ms": percentile(watch.ages, 0.99),
        "max_ms": max(watch.ages, default=0),
        "answer_p99_ms": round(run.p99_ms, 1),
    }


def main() -> int:
    """The command line; 1 when an answered hit did not become visible."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.latency", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=5000, help="hits a second, about (default 5000)")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallybook-latency-", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        folder.chmod(0o755)
        try:
            with Stack(folder / "stack") as stack:
                result = asyncio.run(_measure(stack, options.rate, options.seconds))
        except (StartError, WrkError) as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 2
        result["machine"] = describe(f"{datetime.now(UTC):%Y-%m-%d}", folder)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0 if result["visible"] >= result["answered"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
