"""Product events: uploaded over HTTP until they are visible in ClickHouse, and imported from CSV.

    python -m loadtest.events [--http 500000] [--import 1000000]

The service, the aggregator, embedded servers and the client are on the same cores. Into loadtest/results/events.json;
whoever measures queries adds to `MEASURES`, and gets the stack with the imported table.
"""

import argparse
import asyncio
import csv
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil
import uvloop

from loadtest.servers import cores
from shared import clickhouse, clickhouse_migrate, migrate
from shared.clickhouse import ClickHouse
from shared.events import EVENTS
from shared.settings import Settings
from tallybook.embedded import EmbeddedServers
from tallybook.folder import DataFolder

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "events.json"
#: Events of an upload, and uploads at the same time.
BATCH, CONNECTIONS = 5000, 4
#: Users, and days over which the events are spread.
USERS, DAYS = 50_000, 30
#: Seconds after which nothing more is expected.
_PATIENCE_S = 120.0

Figures = dict[str, Any]


def events(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Events as they are sent, in the order of their times: 190 bytes each."""
    chance = random.Random(seed)
    began = datetime.now(UTC) - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / count
    kinds, places, plans = (
        ("view", "view", "view", "click", "click", "signup", "purchase"),
        ("UA", "DE", "FR", "US"),
        ("free", "pro"),
    )
    for number in range(count):
        yield {
            "event_id": str(uuid.UUID(int=chance.getrandbits(128))),
            "occurred_at": (began + number * step).isoformat(timespec="milliseconds"),
            "user_id": f"user-{int(chance.random() ** 2 * USERS)}",
            "event_type": chance.choice(kinds),
            "properties": {"country": chance.choice(places), "plan": chance.choice(plans), "price": number % 1000},
        }


async def uploaded(settings: Settings, tables: ClickHouse, count: int) -> Figures:
    """Events a second from the first request until the last event is visible."""
    bodies, batch = list[bytes](), list[dict[str, Any]]()
    for one in events(count):
        batch.append(one)
        if len(batch) == BATCH:
            bodies.append(msgspec.json.encode(batch))
            batch = []
    sent, size = len(bodies) * BATCH, sum(map(len, bodies))
    accepted, latencies = 0, list[float]()
    url = f"http://{settings.host}:{settings.port}/events"

    async def client() -> None:
        nonlocal accepted
        async with httpx2.AsyncClient(timeout=60, headers={"content-type": "application/json"}) as http:
            while bodies:
                body, began = bodies.pop(), time.perf_counter()
                while (answer := await http.post(url, content=body)).status_code == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                latencies.append(time.perf_counter() - began)
                found = re.match(rb'\{"accepted":(\d+)', answer.content)
                accepted += int(found[1]) if found else 0

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    answered_s = time.perf_counter() - began
    visible = 0
    while visible < sent and time.perf_counter() - began < _PATIENCE_S:
        visible = int((await tables.query(f"SELECT count() FROM {EVENTS}"))[0][0])  # noqa: S608 - a constant
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - began
    latencies.sort()
    return {
        "events": sent,
        "bytes_per_event": round(size / sent),
        "answered_per_s": round(sent / answered_s),
        "visible_per_s": round(sent / seconds),
        "upload_p50_ms": round(latencies[len(latencies) // 2] * 1000),
        "upload_p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000),
        "exact": accepted == visible == sent,
    }


async def imported(settings: Settings, tables: ClickHouse, count: int, folder: Path) -> Figures:
    """Rows a second of the importer, as a process of its own; twice, for the repeat stores nothing."""
    path = folder / "events.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("event_id", "occurred_at", "user_id", "event_type", "properties_json"))
        for one in events(count, seed=2):
            rows.writerow((*list(one.values())[:4], msgspec.json.encode(one["properties"]).decode()))
    before = int((await tables.query("SELECT count() FROM events"))[0][0])
    first, peaks = await _run_import(settings, path)
    again, _ = await _run_import(settings, path)
    after = int((await tables.query(f"SELECT count() FROM {EVENTS}"))[0][0])  # noqa: S608 - a constant
    return {
        "rows": count,
        "rows_per_s": first["rows_per_s"],
        "repeated_rows_per_s": again["rows_per_s"],
        "memory_mb_at_quarters": peaks,
        "exact": first["stored"] == after - before == again["duplicates"] == count,
    }


async def _run_import(settings: Settings, path: Path) -> tuple[Figures, list[int]]:
    """What it says of itself, and its memory at each quarter of its time."""
    command = [sys.executable, "-m", "tallybook", "import-events", "--json", str(path)]
    process = await asyncio.create_subprocess_exec(*command, env=environ(settings), cwd=ROOT, stdout=subprocess.PIPE)
    memory, one = list[int](), psutil.Process(process.pid)
    waiting = asyncio.create_task(process.communicate())
    while not waiting.done():
        try:
            memory.append(one.memory_info().rss >> 20)
        except psutil.Error:
            break
        await asyncio.wait([waiting], timeout=0.2)
    said, _ = await waiting
    quarters = [max(memory[: max(1, len(memory) * part // 4)]) for part in (1, 2, 3, 4)]
    return json.loads(said), quarters


def environ(settings: Settings) -> dict[str, str]:
    """Variables of a child process."""
    names = ("redis_url", "database_url", "clickhouse_url", "data_dir", "port", "workers", "sink_rows", "sink_wait_s")
    values = {f"TALLYBOOK_{name.upper()}": str(getattr(settings, name)) for name in names}
    return {
        **os.environ,
        **values,
        "TALLYBOOK_METRICS_PORT": "0",
        "TALLYBOOK_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }


#: Further figures by name: each gets the settings and a client of the table, which has what was uploaded and imported.
MEASURES: dict[str, Callable[[Settings, ClickHouse], Awaitable[Figures]]] = {}


async def _measure(settings: Settings, arguments: argparse.Namespace, folder: Path) -> Figures:
    await migrate.migrate(settings.database_url or "")
    await clickhouse_migrate.migrate(settings)
    children = [
        subprocess.Popen([sys.executable, "-m", name], env=environ(settings), cwd=ROOT)  # noqa: ASYNC220
        for name in ("ingest", "aggregator")
    ]
    try:
        async with clickhouse.connect(settings) as tables:
            await _until_live(settings)
            figures: Figures = {"http": await uploaded(settings, tables, arguments.http)}
            print(json.dumps(figures["http"]), flush=True)
            for child in children:
                child.send_signal(signal.SIGTERM)
                child.wait()
            figures["import"] = await imported(settings, tables, arguments.rows, folder)
            print(json.dumps(figures["import"]), flush=True)
            for name, measure in MEASURES.items():
                figures[name] = await measure(settings, tables)
            return figures
    finally:
        for child in children:
            child.kill()
            child.wait()


async def _until_live(settings: Settings) -> None:
    async with httpx2.AsyncClient() as http:
        for _ in range(300):
            try:
                if (await http.get(f"http://{settings.host}:{settings.port}/health/live")).status_code == 200:
                    return
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
    raise TimeoutError("the service does not start")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.events", description=__doc__.partition("\n")[0])
    parser.add_argument("--http", type=int, default=500_000, help="events over HTTP")
    parser.add_argument("--import", type=int, default=1_000_000, dest="rows", help="rows of the CSV file")
    parser.add_argument("--port", type=int, default=18_480)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallybook-events-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        data = DataFolder(folder)
        data.take()
        servers = EmbeddedServers(data, redis=True, postgres=True, clickhouse=True)
        servers.start()
        try:
            settings = Settings(
                data_dir=str(folder),
                redis_url=servers.redis_url,
                database_url=servers.database_url,
                clickhouse_url=f"{servers.clickhouse_url}/tallybook",
                port=arguments.port,
                workers=arguments.workers,
                sink_wait_s=0.5,
            )
            figures = uvloop.run(_measure(settings, arguments, folder))
        finally:
            servers.stop()
            data.release()
    figures["machine"] = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if figures["http"]["exact"] and figures["import"]["exact"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
