"""Product events: uploaded over HTTP until they are visible in ClickHouse, and imported from CSV.

    python -m loadtest.events [--http 200000] [--rounds 3] [--import 1000000] [--growth 0]

The service, the aggregator, embedded servers and the client are on the same cores. Rounds of uploads come after one
that warms everything up; their median counts. An event is visible when ClickHouse answers a query with it. With
--growth the table is filled up by an import to so many rows, and both are measured again. Into
loadtest/results/events.json.
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
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil
import uvloop

from loadtest.tools.servers import cores
from shared.events.table import EVENTS
from shared.migrations import migrate_clickhouse, migrate_postgres
from shared.settings import Settings, variable
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers

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


async def uploaded(settings: Settings, tables: ClickHouse, count: int, seed: int) -> Figures:
    """Events a second from the first request until the last event is visible."""
    bodies, batch = list[bytes](), list[dict[str, Any]]()
    for one in events(count, seed):
        batch.append(one)
        if len(batch) == BATCH:
            bodies.append(msgspec.json.encode(batch))
            batch = []
    sent, size, before = len(bodies) * BATCH, sum(map(len, bodies)), await _lying(tables)
    taken, latencies = 0, list[float]()
    url = f"http://{settings.host}:{settings.port}/events"

    async def client() -> None:
        nonlocal taken
        async with httpx2.AsyncClient(timeout=60, headers={"content-type": "application/json"}) as http:
            while bodies:
                body, began = bodies.pop(), time.perf_counter()
                while (answer := await http.post(url, content=body)).status_code == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                latencies.append(time.perf_counter() - began)
                found = re.match(rb'\{"accepted":(\d+),"duplicate":(\d+)', answer.content)  # repeated after a 503
                taken += int(found[1]) + int(found[2]) if found else 0

    cpu, began = cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    answered_s = time.perf_counter() - began
    while await _lying(tables) - before < sent and time.perf_counter() - began < _PATIENCE_S:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - began
    used = used_us(cpu, sent)
    latencies.sort()
    return {
        "events": sent,
        "bytes_per_event": round(size / sent),
        "answered_per_s": round(sent / answered_s),
        "visible_per_s": round(sent / seconds),
        "upload_p50_ms": round(latencies[len(latencies) // 2] * 1000),
        "upload_p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000),
        "cpu_us_per_event": used | {"all but client": round(sum(used.values()) - used["client"], 1)},
        "exact": taken == sent == await _counted(tables) - before,
    }


async def _lying(tables: ClickHouse) -> int:
    """Rows of the table, which ClickHouse knows without reading them."""
    return int((await tables.query("SELECT count() FROM events"))[0][0])


async def _counted(tables: ClickHouse) -> int:
    """Events; -1 if one of them is there twice."""
    sql = f"SELECT count(), uniqExact(event_id), (SELECT count() FROM events) FROM {EVENTS}"  # noqa: S608 - a constant
    [[count, different, lying]] = await tables.query(sql)
    return int(count) if count == different == lying else -1


async def imported(settings: Settings, tables: ClickHouse, count: int, folder: Path, seed: int = 0) -> Figures:
    """Rows a second of the importer, as a process of its own, from its start to its end; twice, for the repeat stores
    nothing. What it takes of the processor to start is told apart: it is that of a file without rows."""
    path = _written(folder / "events.csv", events(count, seed))
    start, _ = await _run_import(settings, _written(folder / "none.csv", ()))
    before, cpu = await _lying(tables), cpu_seconds()
    first, peaks = await _run_import(settings, path)
    used = used_us(cpu, count)
    again, _ = await _run_import(settings, path)
    used["import"] = round((first["cpu_s"] - start["cpu_s"]) * 1e6 / count, 1)
    return {
        "rows": count,
        "rows_per_s": first["rows_per_s"],
        "cpu_us_per_row": {part: used[part] for part in ("import", "clickhouse", "postgres")},
        "start_cpu_s": round(start["cpu_s"], 2),
        "repeated_rows_per_s": again["rows_per_s"],
        "memory_mb_at_quarters": peaks,
        "exact": first["stored"] == again["duplicates"] == count == await _counted(tables) - before,
    }


def _written(path: Path, some: Iterable[dict[str, Any]]) -> Path:
    """A CSV file of the events."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("event_id", "occurred_at", "user_id", "event_type", "properties_json"))
        for one in some:
            rows.writerow((*list(one.values())[:4], msgspec.json.encode(one["properties"]).decode()))
    return path


async def _run_import(settings: Settings, path: Path) -> tuple[Figures, list[int]]:
    """What it says of itself, with its start in the rate, and its greatest memory up to each quarter of its time."""
    command = [sys.executable, "-m", "tallybook", "import-events", "--json", str(path)]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, env=environ(settings), cwd=ROOT, stdout=subprocess.PIPE)
    memory, one = list[int](), psutil.Process(process.pid)
    waiting, cpu_s = asyncio.create_task(process.communicate()), 0.0
    while not waiting.done():
        try:
            memory.append(one.memory_info().rss >> 20)
            cpu_s = sum(one.cpu_times()[:2])
        except psutil.Error:
            break
        await asyncio.wait([waiting], timeout=0.05)
    said, _ = await waiting
    seconds, figures = time.perf_counter() - began, json.loads(said)
    quarters = [max(memory[: max(1, len(memory) * part // 4)]) for part in (1, 2, 3, 4)]
    return figures | {"rows_per_s": round(figures["read"] / seconds), "cpu_s": cpu_s}, quarters


def cpu_seconds() -> dict[str, float]:
    """Seconds of the processor so far, by part: what this process started, and itself as `client`."""
    used = dict.fromkeys(("client", "ingest", "aggregator", "clickhouse", "valkey", "postgres"), 0.0)
    me = psutil.Process()
    used["client"] = sum(me.cpu_times()[:2])
    for child in me.children(recursive=True):
        try:
            words, seconds = " ".join([child.name(), *child.cmdline()]), sum(child.cpu_times()[:2])
        except psutil.Error:
            continue
        part = next(
            (name for name in used if name in words), "ingest"
        )  # whose workers are named as their parent's fork
        used[part] += seconds
    return used


def used_us(before: dict[str, float], count: int) -> dict[str, float]:
    """Microseconds of each part for each of so many, since a look before."""
    return {part: round((seconds - before[part]) * 1e6 / count, 1) for part, seconds in cpu_seconds().items()}


def environ(settings: Settings) -> dict[str, str]:
    """Variables of a child process."""
    names = ("redis_url", "database_url", "clickhouse_url", "data_dir", "port", "workers")
    values = {variable(name): str(getattr(settings, name)) for name in names}
    return {
        **os.environ,
        **values,
        "TALLYBOOK_METRICS_PORT": "0",
        "TALLYBOOK_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }


async def _measure(settings: Settings, arguments: argparse.Namespace, folder: Path) -> Figures:
    await migrate_postgres.migrate(settings.database_url or "")
    await migrate_clickhouse.migrate(settings)
    children = [
        subprocess.Popen([sys.executable, "-m", name], env=environ(settings), cwd=ROOT)  # noqa: ASYNC220
        for name in ("ingest", "aggregator")
    ]
    try:
        async with clickhouse.connect(settings) as tables:
            await _until_live(settings)
            await uploaded(settings, tables, 4 * BATCH, 0)
            rounds = [await uploaded(settings, tables, arguments.http, one + 1) for one in range(arguments.rounds)]
            rounds.sort(key=lambda one: float(one["visible_per_s"]))
            middle = rounds[len(rounds) // 2]
            every = [one["visible_per_s"] for one in rounds]
            figures = {"http": middle | {"rounds": every, "exact": all(one["exact"] for one in rounds)}}
            print(json.dumps(figures["http"]), flush=True)
            figures["import"] = await imported(settings, tables, arguments.rows, folder, 1001)
            print(json.dumps(figures["import"]), flush=True)
            if arguments.growth:
                figures |= await _grown(settings, tables, arguments, folder)
            return figures
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait()


async def _grown(settings: Settings, tables: ClickHouse, arguments: argparse.Namespace, folder: Path) -> Figures:
    """Uploads and a small import when the table has grown."""
    missing = arguments.growth - await _lying(tables)
    if missing > 0:
        await _run_import(settings, _written(folder / "more.csv", events(missing, 1002)))
    rows = await _lying(tables)
    http = await uploaded(settings, tables, arguments.http, 1003)
    files = await imported(settings, tables, arguments.http, folder, 1004)
    print(json.dumps({"table": rows, "http": http, "import": files}), flush=True)
    return {f"http at {rows} rows": http, f"import at {rows} rows": files}


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
    parser.add_argument("--http", type=int, default=200_000, help="events over HTTP in a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of them, of which the median counts")
    parser.add_argument("--import", type=int, default=1_000_000, dest="rows", help="rows of the CSV file")
    parser.add_argument("--growth", type=int, default=0, help="rows of the table for which all is measured again")
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
            )
            figures = uvloop.run(_measure(settings, arguments, folder))
        finally:
            servers.stop()
            data.release()
    figures["machine"] = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(part.get("exact", True) for part in figures.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
