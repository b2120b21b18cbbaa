"""Rows per second from the record log into ClickHouse: half a million hits, drained by the aggregator's own sink.

    python -m loadtest.sink [--records 500000] [--rounds 3]

Embedded servers on this machine, all of them on the same cores. Beside it: what the engine alone takes when the same
rows are ready, and what a service gets that inserts each hit by itself. Into loadtest/results/sink.json.
"""

import argparse
import asyncio
import json
import logging
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import structlog
import uvloop

from aggregator.sink import audit
from aggregator.sink.configured_pipelines import PIPELINES
from aggregator.sink.partition import Stores
from aggregator.sink.sink import Sink
from loadtest.tools.servers import cores
from shared import addresses
from shared.events.rows import sized
from shared.hit import id_bytes, packed
from shared.migrations import migrate_clickhouse, migrate_postgres
from shared.record_log.accounting import account
from shared.record_log.cursors import Cursors
from shared.record_log.factory import chosen_log
from shared.record_log.record_log import Batch, Limit, Log, Position, Record
from shared.runtime.gc_tuning import collect_seldom
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers

RESULT = Path(__file__).parent / "results" / "sink.json"
#: Records of one append, and trackers that they are spread over.
_APPEND, _TRACKERS = 1000, 500
#: Hits that are inserted one by one: a few hundred tell, and more would take minutes.
_NAIVE = 300
#: Seconds that the last records of a partition wait for others that never come; 1 would be a fifth of a drain.
_WAIT_S = 0.2
_BEGAN_MS = round(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000)
_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
)

Figures = dict[str, Any]


def _hits(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of hits, as workers append them: some 230 bytes each."""
    trackers = [uuid.uuid4() for _ in range(_TRACKERS)]
    for number in range(count):
        tracker = id_bytes(trackers[number * 7919 % _TRACKERS].bytes)
        user = id_bytes(uuid.UUID(int=number % 10_000).bytes)
        texts = (_AGENT, f"https://example.org/products/{number % 1000}", "click")
        yield (
            b"",
            packed(
                _BEGAN_MS + number * 10,
                addresses.packed(f"203.0.113.{number % 255}"),
                tracker,
                user,
                number,
                b"".join(sized(text.encode()) for text in texts),
                is_bot=False,
            ),
        )


async def _fill(log: Log, records: int, producer: str) -> None:
    waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in range(log.partitions)]
    seqs = [0] * log.partitions

    async def flush(partition: int) -> None:
        seqs[partition] += 1
        await log.append("hits", partition, waiting[partition], producer=producer, seq=seqs[partition])
        waiting[partition].clear()

    for number, record in enumerate(_hits(records)):
        partition = number % log.partitions
        waiting[partition].append(record)
        if len(waiting[partition]) == _APPEND:
            await flush(partition)
    for partition in range(log.partitions):
        if waiting[partition]:
            await flush(partition)


async def _drain(
    settings: Settings, log: Log, pool: Any, tables: clickhouse.ClickHouse, wanted: int
) -> tuple[float, float]:
    """Seconds until one sink has stored everything, and seconds of the processor that it took for that."""
    limit = Limit(records=settings.sink_rows, bytes=48 << 20, wait_s=settings.sink_wait_s)
    sink = Sink(Stores(log, Cursors(pool, log.name, uuid.uuid4().hex), tables, limit), PIPELINES[0])
    collect_seldom()
    cpu, began = time.process_time(), time.perf_counter()
    sink.start()
    while (await account(log, pool, PIPELINES[0])).stored < wanted:  # noqa: ASYNC110 - it is in Postgres
        await asyncio.sleep(0.02)
    took_s = time.perf_counter() - began
    cpu_s = time.process_time() - cpu
    await sink.stop()
    return took_s, cpu_s


async def _engine_alone(settings: Settings, tables: clickhouse.ClickHouse) -> float:
    """Rows a second that are ready in memory, one insert after the other."""
    records = [Record(Position(1, number), *hit) for number, hit in enumerate(_hits(settings.sink_rows))]
    body = PIPELINES[0].rows(0, Batch(Position(0), Position(2), records, {})).lines
    await tables.execute("CREATE TABLE bare AS tracker_events")
    began, inserts = time.perf_counter(), 8
    for number in range(inserts):
        await PIPELINES[0]._replace(table="bare").insert(tables, body, f"bare {number}")
    return inserts * len(records) / (time.perf_counter() - began)


async def _naive(tables: clickhouse.ClickHouse) -> float:
    """Rows a second when each hit is an insert."""
    await tables.execute("CREATE TABLE naive AS tracker_events")
    naive, records = (
        PIPELINES[0]._replace(table="naive"),
        [Record(Position(1, n), *hit) for n, hit in enumerate(_hits(_NAIVE))],
    )
    lines = naive.rows(0, Batch(Position(0), Position(2), records, {})).lines
    began = time.perf_counter()
    for number, line in enumerate(lines):
        await naive.insert(tables, [line], f"naive {number}")
    return len(lines) / (time.perf_counter() - began)


async def _measure(settings: Settings, records: int, rounds: int) -> Figures:
    await migrate_postgres.migrate(settings.database_url or "")
    await migrate_clickhouse.migrate(settings)
    rows, per_row = list[float](), list[float]()
    async with (
        chosen_log(settings) as log,
        create_pool(settings) as pool,
        clickhouse.connect(settings) as tables,
    ):
        for number in range(rounds):
            await _fill(log, records, f"loadtest {number}")
            took_s, cpu_s = await _drain(settings, log, pool, tables, (number + 1) * records)
            rows.append(records / took_s)
            per_row.append(cpu_s / records * 1e6)
            print(f"round {number + 1}: {rows[-1]:,.0f} rows/s, {per_row[-1]:.1f} us of the sink a row", flush=True)
            for partition in range(log.partitions):
                await log.trim("hits", partition, await log.end("hits", partition), -1)
        found = await tables.query("SELECT count(), uniqExact(event_id, log_offset) FROM tracker_events")
        taken = await account(log, pool, PIPELINES[0])
        doubles = await audit.doubles(tables, "tracker_events", days=10_000)
        return {
            "records": records,
            "rows_per_s": round(median(rows)),
            "rounds": [round(one) for one in rows],
            "sink_cpu_us_per_row": round(median(per_row), 1),
            "engine_alone_rows_per_s": round(await _engine_alone(settings, tables)),
            "naive_rows_per_s": round(await _naive(tables)),
            "batch_rows": settings.sink_rows,
            "partitions": log.partitions,
            "exact": found[0][0] == rounds * records and doubles == 0 and taken.difference == 0,
        }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.sink", description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=Settings().sink_rows, help="TALLYBOOK_TEST_SINK_ROWS")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tallybook-sink-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
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
                log_records_max=10 * arguments.records,
                redis_memory_bytes=memory,
                redis_timeout_s=30.0,
                sink_rows=arguments.batch,
                sink_wait_s=_WAIT_S,
            )
            figures = uvloop.run(_measure(settings, arguments.records, arguments.rounds))
        finally:
            servers.stop()
            data.release()
    figures["machine"] = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 0 if figures["exact"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
