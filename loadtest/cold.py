"""How much slower questions about cold events are than about hot ones: the same events in two databases of one embedded
ClickHouse, asked in turns.

    python -m loadtest.cold [--events 1000000] [--rounds 9]

The cold ones go where the settings say: TALLYBOOK_EVENTS_COLD_DIR, or TALLYBOOK_EVENTS_COLD_S3_URL. Each question is
asked with the files in the page cache as they happen to be (`warm`), and after they were put out of it (`read`).
Ratios are of times in one round, so that they bear other work on the machine; seconds do not.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import msgspec
import uvloop
from starlette.applications import Starlette

from ingest.http.openapi import routes
from ingest.http.problems import HANDLERS
from ingest.statistics import events as event_statistics
from shared.events.known_ids import Range, known
from shared.migrations import migrate_clickhouse
from shared.settings import Settings, load
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from tallybook.stack.clickhouse import ClickHouseChild
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers

#: Ids that are looked up together, as for a batch of a sink; half of them are there.
_IDS = 10_000
_BATCH, _DAYS = 500_000, 90
_NOWHERE = Range(60_000, 0, 0, 0, 0)

_FILL = """
INSERT INTO events (
    event_date, occurred_at, event_id, user_id, event_type, properties, received_at, log_partition, log_offset, log_seq
)
SELECT toDate(at), at, reinterpretAsUUID(sipHash128(number)), 
       concat('user-', toString(intHash32(number) % {users:UInt64})),
       ['view', 'click', 'purchase'][1 + intHash32(number + 1) % 3], concat('{"amount":', toString(number % 1000), '}'),
       at, 0, number, 0
FROM (
    SELECT number, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
        + toIntervalSecond(intDiv(number * 86400 * {days:UInt64}, {events:UInt64})) AS at
    FROM numbers({begin:UInt64}, {size:UInt64})
)
"""
_IDS_OF = """
SELECT reinterpretAsUUID(sipHash128(number)) FROM numbers({events:UInt64}) ORDER BY rand() LIMIT {half:UInt64}
"""
_HOT = """
SELECT count() FROM system.parts
WHERE database = currentDatabase() AND table = 'events' AND active AND disk_name = 'default'
"""
_SIZE = """
SELECT any(disk_name), sum(bytes_on_disk), count()
FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active
"""


async def _fill(tables: ClickHouse, events: int) -> None:
    of_all = {"events": events, "users": max(1, events // 50), "days": _DAYS}
    for begin in range(0, events, _BATCH):
        await tables.execute(_FILL, {**of_all, "begin": begin, "size": min(_BATCH, events - begin)})
    await tables.execute("OPTIMIZE TABLE events FINAL")


async def _daily_users(tables: ClickHouse) -> Any:
    app = Starlette(routes=routes(event_statistics.OPERATIONS), exception_handlers=HANDLERS)

    async def service(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"clickhouse": tables}}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(service), base_url="http://here", timeout=300) as one:
        answer = await one.get("/stats/dau", params={"from": "2026-01-01", "to": "2026-03-31"})
    return answer.raise_for_status().json()


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = await work()
    return time.perf_counter() - began, answer


def _forget_files(*folders: Path) -> None:
    """Put files out of the page cache, as far as the kernel does so."""
    for path in (Path(where, name) for folder in folders for where, _, names in os.walk(folder) for name in names):
        with contextlib.suppress(OSError):  # removed meanwhile, or no file
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


async def _compare(hot: ClickHouse, cold: ClickHouse, events: int, rounds: int, folders: list[Path]) -> dict[str, Any]:
    ids = [row[0].bytes for row in await hot.query(_IDS_OF, {"events": events, "half": _IDS // 2})]
    ids += [random.randbytes(16) for _ in range(_IDS // 2)]
    swapped = [one[7::-1] + one[:7:-1] for one in ids]
    questions: dict[str, Callable[[ClickHouse], Awaitable[Any]]] = {
        "dau": _daily_users,
        "ids": lambda tables: known(tables, swapped, _NOWHERE),
    }
    figures: dict[str, Any] = {}
    for name, ask in questions.items():
        for state in ("warm", "read"):
            times = []
            for _ in range(rounds + 1):
                if state == "read":
                    _forget_files(*folders)
                (one, answer), (other, same) = await _timed(lambda: ask(hot)), await _timed(lambda: ask(cold))  # noqa: B023
                assert answer == same, "cold events answer otherwise"
                times.append((one, other))
            hot_s, cold_s = (median(column) for column in zip(*times[1:], strict=True))
            figures[f"{name}, {state}"] = {
                "hot_s": round(hot_s, 4),
                "cold_s": round(cold_s, 4),
                "ratio": round(median(second / first for first, second in times[1:]), 2),
            }
    return figures


async def _measure(settings: Settings, url: str, events: int, rounds: int, folders: list[Path]) -> dict[str, Any]:
    of = {
        name: msgspec.structs.replace(settings, clickhouse_url=f"{url}/{name}", clickhouse_timeout_s=300.0)
        for name in ("hot", "cold")
    }
    for one in of.values():
        await migrate_clickhouse.migrate(msgspec.structs.replace(one, events_cold_days=0))
    async with clickhouse.connect(of["hot"]) as hot, clickhouse.connect(of["cold"]) as cold:
        for tables in (hot, cold):
            await _fill(tables, events)
        began = time.perf_counter()
        await migrate_clickhouse.migrate(of["cold"])
        while (await cold.query(_HOT))[0][0]:  # noqa: ASYNC110 - another process works
            await asyncio.sleep(0.05)
        moved_s = time.perf_counter() - began
        disk, size, parts = (await cold.query(_SIZE))[0]
        figures = await _compare(hot, cold, events, rounds, folders)
    return {"events": events, "disk": disk, "bytes": size, "parts": parts, "moved_s": round(moved_s, 2), **figures}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallybook-cold-") as folder:
        settings = load(data_dir=folder, events_cold_days=1)
        data = DataFolder(folder)
        data.take()
        servers = EmbeddedServers(data, redis=False, postgres=False, clickhouse=True, settings=settings)
        servers.start()
        try:
            folders = [Path(folder), ClickHouseChild(settings, Path(folder)).cold_folder or Path(folder)]
            work = _measure(settings, servers.clickhouse_url or "", arguments.events, arguments.rounds, folders)
            print(json.dumps(uvloop.run(work), indent=1))
        finally:
            servers.stop()
            data.release()


if __name__ == "__main__":
    main()
