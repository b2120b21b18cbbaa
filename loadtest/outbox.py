"""The outbox: events a second into ClickHouse, and what publishing and an open transaction cost.

    python -m loadtest.outbox [--events 300000] [--rounds 3] [--seconds 6]

Embedded servers on this machine, all of them on the same cores. Three questions:

relay     events a second that one relay brings from a filled outbox into the embedded engine, counted afterwards
publish   pgbench-like transactions (three updates, a select, an insert; five round trips) a second, with an event
          published in each and without; turn and turn about
held      jobs a second of a queue by SKIP LOCKED and DELETE, and events a second of the outbox, while a transaction
          that writes stays open, against the same without it; and of unrelated transactions beside the outbox

Into loadtest/results/outbox.json.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import msgspec
import structlog
import uvloop

from aggregator.outbox import Outbox, claimed, release, step
from loadtest import cpu
from loadtest.servers import cores
from shared import clickhouse, clickhouse_migrate, migrate
from shared.garbage import collect_seldom
from shared.postgres import create_pool
from shared.settings import Settings
from tallybook.embedded import EmbeddedServers
from tallybook.folder import DataFolder
from tallybook.outbox import publish_async

RESULT = Path(__file__).parent / "results" / "outbox.json"
#: Rows of pgbench's tables, and clients that write at the same time.
_ACCOUNTS, _CLIENTS = 100_000, 4
#: Events of one call while the outbox is filled.
_FILL = 1000

Figures = dict[str, Any]

_TABLES = f"""
CREATE TABLE accounts (aid integer PRIMARY KEY, balance integer NOT NULL, filler char(84)) WITH (fillfactor = 90);
CREATE TABLE tellers (tid integer PRIMARY KEY, balance integer NOT NULL, filler char(84)) WITH (fillfactor = 50);
CREATE TABLE branches (bid integer PRIMARY KEY, balance integer NOT NULL, filler char(84)) WITH (fillfactor = 50);
CREATE TABLE history (tid integer, bid integer, aid integer, delta integer, mtime timestamptz, filler char(22));
INSERT INTO accounts SELECT n, 0, '' FROM generate_series(1, {_ACCOUNTS}) AS n;
INSERT INTO tellers SELECT n, 0, '' FROM generate_series(1, 100) AS n;
INSERT INTO branches SELECT n, 0, '' FROM generate_series(1, 100) AS n;
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
VACUUM ANALYZE;
"""  # noqa: S608 - numbers of this file


class OrderPlaced(msgspec.Struct):
    """An event of the size that business events have: 200 bytes of JSON."""

    order_id: int
    customer: str = "customer-000042"
    currency: str = "EUR"
    total: float = 199.99
    items: tuple[str, ...] = ("sku-1001", "sku-1002", "sku-1003", "sku-1004")
    note: str = "please leave it at the door; ring twice, the bell is broken"


# -- relay -------------------------------------------------------------------------------------------------------------


async def _fill(pool: Any, events: int) -> None:
    async with pool.acquire() as connection:
        for first in range(0, events, _FILL):
            async with connection.transaction():
                await publish_async(connection, *(OrderPlaced(first + n) for n in range(_FILL)))


async def _relay(outbox: Outbox) -> tuple[int, float]:
    """Events that one relay moved until nothing was left, and seconds that it took."""
    claim = await claimed(outbox, "loadtest")
    if claim is None:
        raise RuntimeError("somebody else relays")
    moved, began = 0, time.perf_counter()
    more = True
    while more:
        claim, done = await step(outbox, claim)
        moved, more = moved + done.stored, done.more
    took_s = time.perf_counter() - began
    await release(outbox, claim)
    return moved, took_s


async def _relayed(outbox: Outbox, events: int, rounds: int) -> Figures:
    rates, costs, loads = list[float](), list[dict[str, float]](), list[float]()
    for number in range(rounds):
        await _fill(outbox.pool, events)
        loads.append(os.getloadavg()[0])
        before = cpu.seconds(os.getpid())
        moved, took_s = await _relay(outbox)
        costs.append(cpu.per_request_us(before, cpu.seconds(os.getpid()), moved))
        rates.append(moved / took_s)
        print(f"relay, round {number + 1}: {rates[-1]:,.0f} events/s, {costs[-1]}, load {loads[-1]}", flush=True)
        await outbox.pool.execute("TRUNCATE tallybook_outbox")
    found = await outbox.clickhouse.query("SELECT count(), uniqExact(event_id), uniqExact(outbox_id) FROM event_log")
    return {
        "events_per_s": round(median(rates)),
        "rounds": [round(rate) for rate in rates],
        # All processes together: the relay, Postgres and the engine. What is free of the two cores decides the rate.
        "cpu_us_per_event": round(median(cost["total"] for cost in costs), 1),
        "of_it_postgres": round(median(cost["postgres"] for cost in costs), 1),
        "load_average": [round(load, 1) for load in loads],
        "events": events,
        "batch_rows": outbox.rows,
        "exact": tuple(found[0]) == (events * rounds,) * 3,
    }


# -- publish -----------------------------------------------------------------------------------------------------------


async def _transaction(connection: Any, number: int, publishes: bool) -> None:
    """TPC-B as pgbench writes it, and perhaps an event."""
    aid, tid, bid = number * 7919 % _ACCOUNTS + 1, number * 31 % 100 + 1, number * 17 % 100 + 1
    async with connection.transaction():
        await connection.execute("UPDATE accounts SET balance = balance + 1 WHERE aid = $1", aid)
        await connection.fetchval("SELECT balance FROM accounts WHERE aid = $1", aid)
        await connection.execute("UPDATE tellers SET balance = balance + 1 WHERE tid = $1", tid)
        await connection.execute("UPDATE branches SET balance = balance + 1 WHERE bid = $1", bid)
        await connection.execute("INSERT INTO history VALUES ($1, $2, $3, 1, now())", tid, bid, aid)
        if publishes:
            await publish_async(connection, OrderPlaced(number))


async def _rate(url: str, seconds: float, work: Callable[[Any, int], Awaitable[Any]], clients: int = _CLIENTS) -> float:
    """How often a second `work` ends, by so many connections."""
    ends_at, done = time.perf_counter() + seconds, 0

    async def client(number: int) -> None:
        nonlocal done
        connection = await asyncpg.connect(url)
        while time.perf_counter() < ends_at:
            await work(connection, number)
            number, done = number + clients, done + 1
        await connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return done / (time.perf_counter() - began)


async def _published(url: str, rounds: int, seconds: float) -> Figures:
    """Turn and turn about, in short turns, as the machine is never the same for long."""
    turns: dict[bool, list[float]] = {False: [], True: []}
    processor: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * rounds):
        for publishes in (False, True) if number % 2 else (True, False):

            async def work(connection: Any, at: int, publishes: bool = publishes) -> None:
                await _transaction(connection, at, publishes)

            before = cpu.seconds(os.getpid())
            turns[publishes].append(await _rate(url, seconds / 2, work))
            used = cpu.per_request_us(before, cpu.seconds(os.getpid()), round(turns[publishes][-1] * seconds / 2))
            processor[publishes].append(used["total"])
    costs = [1 - with_one / without for without, with_one in zip(turns[False], turns[True], strict=True)]
    more = [with_one / without - 1 for without, with_one in zip(processor[False], processor[True], strict=True)]
    figures = {
        "transactions_per_s": round(median(turns[False])),
        "transactions_with_event_per_s": round(median(turns[True])),
        "cost": round(median(costs), 4),
        "costs": [round(cost, 4) for cost in costs],
        "cpu_us_per_transaction": round(median(processor[False])),
        "cpu_us_per_transaction_with_event": round(median(processor[True])),
        "cpu_more": round(median(more), 4),
        "clients": _CLIENTS,
    }
    print(f"publish: {figures}", flush=True)
    return figures


# -- held --------------------------------------------------------------------------------------------------------------


async def _job(connection: Any, number: int) -> None:
    """What a queue by SKIP LOCKED does: a job in, a job out."""
    await connection.execute("INSERT INTO jobs (body) VALUES ($1)", f"job {number}")
    async with connection.transaction():
        await connection.execute(
            "DELETE FROM jobs WHERE id = (SELECT id FROM jobs ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)"
        )


async def _event(connection: Any, number: int) -> None:
    async with connection.transaction():
        await publish_async(connection, OrderPlaced(number))


async def _unrelated(connection: Any, number: int) -> None:
    await _transaction(connection, number, publishes=False)


async def _beside(url: str, outbox: Outbox, seconds: float) -> float:
    """Unrelated transactions a second, while others publish and a relay is at work."""
    over = asyncio.Event()

    async def relay() -> None:
        while not over.is_set():
            await _relay(outbox)
            await asyncio.sleep(0.1)

    relaying = asyncio.create_task(relay())
    publishing = asyncio.create_task(_rate(url, seconds, _event, 1))
    rate = await _rate(url, seconds, _unrelated, _CLIENTS)
    await publishing
    over.set()
    await relaying
    return rate


async def _held(url: str, outbox: Outbox, rounds: int, seconds: float) -> Figures:
    found: dict[str, dict[bool, list[float]]] = {
        name: {False: [], True: []} for name in ("skip_locked_queue", "publishing", "unrelated_beside_outbox")
    }
    for number in range(rounds):
        for is_held in (False, True) if number % 2 else (True, False):
            await outbox.pool.execute("VACUUM jobs")
            holder = await asyncpg.connect(url)
            transaction = holder.transaction()
            await transaction.start()
            if is_held:
                await holder.execute("SELECT pg_current_xact_id(), (SELECT count(*) FROM branches)")
                await holder.execute("DECLARE held CURSOR FOR SELECT * FROM branches")  # keeps a snapshot
            found["skip_locked_queue"][is_held].append(await _rate(url, seconds, _job))
            found["publishing"][is_held].append(await _rate(url, seconds / 2, _event))
            found["unrelated_beside_outbox"][is_held].append(await _beside(url, outbox, seconds))
            await transaction.rollback()
            await holder.close()
            await _relay(outbox)
            await outbox.pool.execute("TRUNCATE tallybook_outbox, jobs")
    figures = {}
    for name, rates in found.items():
        free, held = median(rates[False]), median(rates[True])
        figures[name] = {"per_s": round(free), "held_per_s": round(held), "loss": round(1 - held / free, 4)}
    print(f"held: {figures}", flush=True)
    return figures


async def _measure(settings: Settings, arguments: argparse.Namespace) -> Figures:
    url = settings.database_url or ""
    await migrate.migrate(url)
    await clickhouse_migrate.migrate(settings)
    collect_seldom()
    async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
        for command in _TABLES.split(";\n"):
            if command.strip():
                await pool.execute(command)
        outbox = Outbox(pool, tables, settings.outbox_rows)
        figures: Figures = {}
        wanted = arguments.only.split(",")
        if "relay" in wanted:
            figures["relay"] = await _relayed(outbox, arguments.events, arguments.rounds)
        if "publish" in wanted:
            figures["publish"] = await _published(url, arguments.rounds, arguments.seconds)
            await _relay(outbox)
        if "held" in wanted:
            figures["held"] = await _held(url, outbox, arguments.rounds, arguments.seconds)
        return figures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.outbox", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--batch", type=int, default=Settings().outbox_rows, help="TALLYBOOK_OUTBOX_ROWS")
    parser.add_argument("--only", default="relay,publish,held")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tallybook-outbox-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        data = DataFolder(Path(folder))
        data.take()
        servers = EmbeddedServers(data, redis=False, postgres=True, clickhouse=True)
        servers.start()
        try:
            settings = Settings(
                database_url=servers.database_url,
                clickhouse_url=f"{servers.clickhouse_url}/tallybook",
                outbox_rows=arguments.batch,
            )
            figures = uvloop.run(_measure(settings, arguments))
        finally:
            servers.stop()
            data.release()
    figures["machine"] = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    before = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.write_text(json.dumps(before | figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 0 if figures.get("relay", {"exact": True})["exact"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
