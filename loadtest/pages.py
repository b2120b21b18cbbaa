"""Page views per second from the record log into their rows, minutes and hours, by the aggregator's own sink.

    python -m loadtest.pages [--records 200000] [--rounds 3] [--batch N] [--kafka [HOST:PORT]]

Embedded servers on this machine, all of them on the same cores; with `--kafka` the log is that broker, or one of the
tests' own. In each round the ways are measured one after the other, so that a slow minute of the machine hits all of
them: exactly once, at least once, exactly once without repeats of events, and reading and parsing without ClickHouse.
Beside it: what a consumer gets that inserts each message by itself. Seconds of the processors are told by component,
for they hardly depend on what else the machine does. Into loadtest/results/pages.json, or pages-kafka.json.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import math
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
import psutil
import structlog
import uvloop

from aggregator.sink import audit
from aggregator.sink.batch_policy import Policy
from aggregator.sink.configured_pipelines import PAGE_VIEWS
from aggregator.sink.partition import Stores
from aggregator.sink.pipelines import Pipeline
from aggregator.sink.repeated_events import repeats
from aggregator.sink.sink import Sink
from loadtest.tools.servers import cores
from shared.migrations import migrate_clickhouse, migrate_postgres
from shared.record_log.cursors import Cursors
from shared.record_log.deduplication import Mark
from shared.record_log.factory import chosen_log
from shared.record_log.record_log import BEGIN, Limit, Log, Position
from shared.runtime.gc_tuning import collect_seldom
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers

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
#: Who takes time of the processors, and who of them is known by the name of its program.
COMPONENTS = ("sink", "clickhouse", "redis", "postgres", "broker", "other")
_SERVERS = {"valkey-server": "redis", "redis-server": "redis", "postgres": "postgres", "java": "broker"}
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


class Cost(NamedTuple):
    """What a way took for so many messages."""

    messages: int
    seconds: float
    #: Seconds of the processors, by component.
    cpu_s: dict[str, float]

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def us(self) -> dict[str, float]:
        """Microseconds of the processors for a message, by component and in all."""
        by = {name: used / self.messages * 1e6 for name, used in self.cpu_s.items()}
        return {**by, "total": sum(by.values())}


class Clock:
    """Begun when it is made."""

    def __init__(self) -> None:
        self._began, self._used = time.perf_counter(), _used()

    def cost(self, messages: int) -> Cost:
        """Of what was done since."""
        used = _used()
        return Cost(
            messages,
            time.perf_counter() - self._began,
            {name: used[name] - self._used[name] for name in COMPONENTS},
        )


def _used() -> dict[str, float]:
    """Seconds of the processors so far of this process, which is the sink, and of the servers that it has started."""
    used, me = dict.fromkeys(COMPONENTS, 0.0), psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times, name = process.cpu_times(), process.name()
            if process.pid == me.pid:
                component = "sink"
            elif name in _SERVERS:
                component = _SERVERS[name]
            else:
                component = "clickhouse" if "clickhouse" in process.cmdline() else "other"
            used[component] += times.user + times.system
    return used


async def _drain(stores: Stores, pipeline: Pipeline, records: int, wanted: int) -> Cost:
    """Until one sink has stored everything."""
    pool, sql = stores.cursors.pool, "SELECT coalesce(sum(stored), 0) FROM sink_cursor WHERE sink = $1"
    sink = Sink(stores, pipeline)
    collect_seldom()
    clock = Clock()
    sink.start()
    while await pool.fetchval(sql, pipeline.table) < wanted:  # noqa: ASYNC110 - it is in Postgres
        await asyncio.sleep(0.02)
    cost = clock.cost(records)
    await sink.stop()
    return cost


async def _parse(log: Log, starts: list[Position], records: int) -> Cost:
    """Read everything behind the positions and make rows of it, without storing any."""
    clock = Clock()

    async def one(partition: int, start: Position) -> None:
        reader, marks = log.reader(PAGE_VIEWS.topic, partition, "loadtest"), dict[str, Mark]()
        end = await log.end(PAGE_VIEWS.topic, partition)
        while start < end:
            batch = await reader.read(start, marks, Limit(10_000, _BATCH_BYTES, 0.01))
            b"".join(PAGE_VIEWS.rows(partition, batch).lines)
            start, marks = batch.end, marks | batch.marks
        await reader.close()

    await asyncio.gather(*(one(partition, start) for partition, start in enumerate(starts)))
    return clock.cost(records)


async def _naive(tables: clickhouse.ClickHouse, log: Log) -> Cost:
    """Each message is an insert, with the same views behind it."""
    reader = log.reader(PAGE_VIEWS.topic, 0, "loadtest")
    batch = await reader.read(BEGIN, {}, Limit(_NAIVE, _BATCH_BYTES, 5.0))
    await reader.close()
    lines = PAGE_VIEWS.rows(0, batch).lines
    clock = Clock()
    for number, line in enumerate(lines):
        await PAGE_VIEWS.insert(tables, [line], f"naive {number}")
    return clock.cost(len(lines))


async def _is_exact(stores: Stores, wanted: int) -> bool:
    """Whether raw, minutes and hours agree, and nothing is there twice."""
    tables = stores.clickhouse
    [[raw]] = await tables.query("SELECT count() FROM page_views_raw")
    [[minutes]] = await tables.query("SELECT sum(views) FROM page_views_agg_minute")
    [[hours]] = await tables.query("SELECT sum(views) FROM page_views_agg_hour")
    doubles = await audit.doubles(tables, PAGE_VIEWS.table, days=10_000)
    return (raw, minutes, hours, doubles) == (wanted, wanted, wanted, 0)


async def _measure(settings: Settings, records: int, rounds: int) -> Figures:
    await migrate_postgres.migrate(settings.database_url or "")
    await migrate_clickhouse.migrate(settings)
    costs: dict[str, list[Cost]] = {name: [] for name in ("parse_only", *WAYS)}
    limit = Policy("hybrid", settings.pages_batch, _WAIT_S).limit(_BATCH_BYTES)
    async with chosen_log(settings) as log, create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        await log.prepare(PAGE_VIEWS.topic)
        stored = 0
        for number in range(rounds):
            for way, pipeline in WAYS.items():
                starts = [await log.end(PAGE_VIEWS.topic, partition) for partition in range(log.partitions)]
                await _fill(log, records, stored)
                if way == "exactly_once":
                    costs["parse_only"].append(await _parse(log, starts, records))
                stored += records
                stores = Stores(log, Cursors(pool, log.name, uuid.uuid4().hex), tables, limit)
                costs[way].append(await _drain(stores, pipeline, records, stored))
            last = {name: values[-1] for name, values in costs.items()}
            shown = ", ".join(f"{name} {one.per_s:,.0f} ({one.us['total']:.1f} us)" for name, one in last.items())
            print(f"round {number + 1}, messages/s: {shown}", flush=True)
            if number < rounds - 1:
                for partition in range(log.partitions):
                    await log.trim(PAGE_VIEWS.topic, partition, await log.end(PAGE_VIEWS.topic, partition), -1)
        is_exact = await _is_exact(stores, stored)
        costs["naive"] = [await _naive(tables, log)]
        return {
            "records": records,
            "messages_per_s": {name: round(median(one.per_s for one in values)) for name, values in costs.items()},
            "rounds": {name: [round(one.per_s) for one in values] for name, values in costs.items()},
            "cpu_us_per_message": {name: _medians(values) for name, values in costs.items()},
            "batch": limit.records if math.isfinite(limit.wait_s) else None,
            "partitions": log.partitions,
            "log": log.name,
            "exact": is_exact,
        }


def _medians(costs: list[Cost]) -> dict[str, float]:
    return {part: round(median(one.us[part] for one in costs), 1) for part in (*COMPONENTS, "total")}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.pages", description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, help="messages of an insert, instead of as many as the settings say")
    parser.add_argument(
        "--kafka",
        nargs="?",
        const="own",
        metavar="HOST:PORT",
        help="the log is in this broker instead of Redis Streams; without an address in one that is started",
    )
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with (
        tempfile.TemporaryDirectory(prefix="tallybook-pages-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        Path(folder).chmod(0o755)
        servers_of_kafka = arguments.kafka
        if servers_of_kafka == "own":
            from tests.harness.kafka.broker import broker

            servers_of_kafka = stack.enter_context(broker(Path(folder) / "kafka")).address
        data = DataFolder(Path(folder))
        data.take()
        # Room for all records of the run, which are in the log before the sink begins.
        memory = 100 * max(arguments.records, 1_000_000) * 100
        servers = EmbeddedServers(
            data, redis=True, postgres=True, clickhouse=True, settings=Settings(redis_memory_bytes=memory)
        )
        servers.start()
        try:
            settings = Settings(
                redis_url=servers.redis_url,
                database_url=servers.database_url,
                clickhouse_url=f"{servers.clickhouse_url}/tallybook",
                log_url=f"kafka://{servers_of_kafka}" if servers_of_kafka else None,
                log_records_max=10 * arguments.records,
                redis_memory_bytes=memory,
                **({"pages_batch": arguments.batch} if arguments.batch else {}),
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
