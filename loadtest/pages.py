"""Page views per second from the record log into their rows, minutes and hours, by the aggregator's own sink.

    python -m loadtest.pages [--records 300000] [--rounds 3] [--kafka HOST:PORT]

Embedded servers on this machine, all of them on the same cores; with `--kafka` the log is that broker. In each round
the ways are measured one after the other, so that a slow minute of the machine hits all of them: exactly once, at least
once, exactly once without repeats of events, and reading and parsing without ClickHouse. Beside it: what a consumer
gets that inserts each message by itself. Into loadtest/results/pages.json, or pages-kafka.json.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import structlog
import uvloop

from aggregator import audit
from aggregator.catalogue import PAGE_VIEWS
from aggregator.partition import Stores
from aggregator.pipelines import Pipeline
from aggregator.policy import Policy
from aggregator.repeats import repeats
from aggregator.sink import Sink
from loadtest import cpu
from loadtest.servers import cores
from shared import clickhouse, clickhouse_migrate, migrate
from shared.garbage import collect_seldom
from shared.log.accounting import account
from shared.log.choice import chosen_log
from shared.log.cursor import Cursors
from shared.log.log import BEGIN, Limit, Log, Position
from shared.log.marks import Mark
from shared.postgres import create_pool
from shared.settings import Settings
from tallybook.embedded import EmbeddedServers
from tallybook.folder import DataFolder

RESULTS = Path(__file__).parent / "results"
#: Records of one append; pages and users that they are spread over, a few of them much more viewed than others.
_APPEND, _PAGES, _USERS = 1000, 2000, 20_000
#: Views that are inserted one by one: a few hundred tell, and more would take minutes.
_NAIVE = 200
#: Seconds that the last records of a partition wait for others that never come; 1 would be a fifth of a drain.
_WAIT_S = 0.2
_BATCH_BYTES = 48 << 20
_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
)
#: The ways that are compared.
WAYS = {
    "exactly_once": PAGE_VIEWS,
    "at_least_once": PAGE_VIEWS._replace(delivery="at_least_once"),
    "repeats_dropped": PAGE_VIEWS._replace(repeats=repeats),
}

Figures = dict[str, Any]


def _views(count: int, round_number: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of views of the last ten minutes, 330 bytes each, no two of them the same event."""
    now_ms = int(time.time() * 1000)
    for number in range(count):
        ms = now_ms - number * 600_000 // count
        page = f"/products/{int(_PAGES ** ((number * 7919 % 10_007) / 10_007))}"
        event = {
            "page_id": page,
            "user_id": f"user-{round_number}-{number % _USERS}-{number // _USERS}",
            "view_duration_ms": 10_000 + number % 590_000,
            "timestamp": f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z",
            "user_agent": _AGENT,
            "ip_address": f"203.0.113.{number % 255}",
            "region": "DE-BE",
            "is_bounce": number % 10 == 0,
        }
        yield page.encode(), msgspec.json.encode(event)


async def _fill(log: Log, records: int, round_number: int) -> None:
    waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in range(log.partitions)]
    seqs, producer = [0] * log.partitions, uuid.uuid4().hex

    async def flush(partition: int) -> None:
        seqs[partition] += 1
        await log.append(PAGE_VIEWS.topic, partition, waiting[partition], producer=producer, seq=seqs[partition])
        waiting[partition].clear()

    for record in _views(records, round_number):
        partition = log.partition_of(record[0])
        waiting[partition].append(record)
        if len(waiting[partition]) == _APPEND:
            await flush(partition)
    for partition in range(log.partitions):
        if waiting[partition]:
            await flush(partition)


async def _drain(stores: Stores, pipeline: Pipeline, wanted: int) -> tuple[float, float]:
    """Seconds until one sink has stored everything, and seconds of the processors that it, the engine, Redis and
    Postgres took for that together."""
    log, pool = stores.log, stores.cursors.pool
    sink = Sink(stores, pipeline)
    collect_seldom()
    used, began = _used(), time.perf_counter()
    sink.start()
    while (await account(log, pool, pipeline)).stored < wanted:  # noqa: ASYNC110 - it is in Postgres
        await asyncio.sleep(0.02)
    took_s, cpu_s = time.perf_counter() - began, _used() - used
    await sink.stop()
    return took_s, cpu_s


def _used() -> float:
    return sum(cpu.seconds(os.getpid()).values())


async def _parse(log: Log, starts: list[Position]) -> float:
    """Seconds to read everything behind the positions and make rows of it, without storing any."""
    began = time.perf_counter()

    async def one(partition: int, start: Position) -> None:
        reader, marks = log.reader(PAGE_VIEWS.topic, partition, "loadtest"), dict[str, Mark]()
        end = await log.end(PAGE_VIEWS.topic, partition)
        while start < end:
            batch = await reader.read(start, marks, Limit(10_000, _BATCH_BYTES, 0.01))
            b"".join(PAGE_VIEWS.rows(partition, batch).lines)
            start, marks = batch.end, marks | batch.marks
        await reader.close()

    await asyncio.gather(*(one(partition, start) for partition, start in enumerate(starts)))
    return time.perf_counter() - began


async def _naive(tables: clickhouse.ClickHouse, log: Log) -> float:
    """Rows a second when each message is an insert, with the same views behind it."""
    reader = log.reader(PAGE_VIEWS.topic, 0, "loadtest")
    batch = await reader.read(BEGIN, {}, Limit(_NAIVE, _BATCH_BYTES, 5.0))
    await reader.close()
    lines = PAGE_VIEWS.rows(0, batch).lines
    began = time.perf_counter()
    for number, line in enumerate(lines):
        await tables.insert("page_views_raw", line, f"naive {number}")
    return len(lines) / (time.perf_counter() - began)


async def _is_exact(stores: Stores, wanted: int) -> bool:
    """Whether raw, minutes and hours agree, and nothing is there twice."""
    tables = stores.clickhouse
    [[raw]] = await tables.query("SELECT count() FROM page_views_raw")
    [[minutes]] = await tables.query("SELECT sum(views) FROM page_views_agg_minute")
    [[hours]] = await tables.query("SELECT sum(views) FROM page_views_agg_hour")
    doubles = await audit.doubles(tables, PAGE_VIEWS.table, days=10_000)
    return (raw, minutes, hours, doubles) == (wanted, wanted, wanted, 0)


async def _measure(settings: Settings, records: int, rounds: int) -> Figures:
    await migrate.migrate(settings.database_url or "")
    await clickhouse_migrate.migrate(settings)
    speeds: dict[str, list[float]] = {name: [] for name in (*WAYS, "parse_only")}
    used: dict[str, list[float]] = {name: [] for name in WAYS}
    limit = Policy("hybrid", settings.pages_batch, _WAIT_S).limit(_BATCH_BYTES)
    async with chosen_log(settings) as log, create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        await log.prepare(PAGE_VIEWS.topic)
        stored = 0
        for number in range(rounds):
            for way, pipeline in WAYS.items():
                starts = [await log.end(PAGE_VIEWS.topic, partition) for partition in range(log.partitions)]
                await _fill(log, records, stored)
                if way == "exactly_once":
                    speeds["parse_only"].append(records / await _parse(log, starts))
                stored += records
                stores = Stores(log, Cursors(pool, log.name, uuid.uuid4().hex), tables, limit)
                took_s, cpu_s = await _drain(stores, pipeline, stored)
                speeds[way].append(records / took_s)
                used[way].append(cpu_s / records * 1e6)
            shown = ", ".join(f"{name} {values[-1]:,.0f}" for name, values in speeds.items())
            print(f"round {number + 1}, messages/s: {shown}; CPU us: {used}", flush=True)
            if number < rounds - 1:
                for partition in range(log.partitions):
                    await log.trim(PAGE_VIEWS.topic, partition, await log.end(PAGE_VIEWS.topic, partition), -1)
        is_exact = await _is_exact(stores, stored)
        return {
            "records": records,
            "messages_per_s": {name: round(median(values)) for name, values in speeds.items()},
            "rounds": {name: [round(one) for one in values] for name, values in speeds.items()},
            "cpu_us_per_message": {name: round(median(values), 1) for name, values in used.items()},
            "naive_messages_per_s": round(await _naive(tables, log)),
            "batch": limit.records if math.isfinite(limit.wait_s) else None,
            "partitions": log.partitions,
            "log": log.name,
            "exact": is_exact,
        }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.pages", description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kafka", help="HOST:PORT of a broker that keeps the log instead of Redis Streams")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tallybook-pages-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        data = DataFolder(Path(folder))
        data.take()
        servers = EmbeddedServers(data, redis=True, postgres=True, clickhouse=True)
        servers.start()
        try:
            settings = Settings(
                redis_url=servers.redis_url,
                database_url=servers.database_url,
                clickhouse_url=f"{servers.clickhouse_url}/tallybook",
                log_url=f"kafka://{arguments.kafka}" if arguments.kafka else None,
                log_records_max=10 * arguments.records,
                redis_timeout_s=30.0,
            )
            figures = uvloop.run(_measure(settings, arguments.records, arguments.rounds))
        finally:
            servers.stop()
            data.release()
    figures["machine"] = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    name = "pages-kafka.json" if arguments.kafka else "pages.json"
    (RESULTS / name).write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 0 if figures["exact"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
