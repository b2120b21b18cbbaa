"""The outbox: events a second into ClickHouse, and what publishing and an open transaction cost.

    python -m loadtest.outbox [--events 200000] [--rounds 3] [--transactions 4000] [--pairs 12] [--seconds 0.8]

Embedded servers on this machine with fsync on, all of them on the same cores; less than three minutes. Three questions:

relay     events a second that one relay brings from a filled outbox into the embedded engine, counted afterwards, and
          the processor's time of an event in the relay, Postgres and the engine
publish   transactions of pgbench (three updates, a select, an insert; seven round trips) with an event, without, and
          with the least that a statement more can be: one number into a table without an index. By asyncpg and
          `publish_async`, one each on the same connection in an order of chance; and by pgbench itself, prepared as
          drivers do, with the INSERT that publishing sends, its three scripts mixed by chance: Postgres' share
held      events a second that are published, jobs a second of a queue by SKIP LOCKED and DELETE, and unrelated
          transactions a second beside publishers and a relay, each while a transaction that writes stays open, and in
          the window before or after without it; medians of the ratios of such pairs

Into loadtest/results/outbox.json.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import random
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
import structlog
import uvloop

from aggregator.outbox.relay import Outbox, claimed, release, step
from loadtest.tools import cpu
from loadtest.tools.servers import cores
from shared.migrations import migrate_clickhouse, migrate_postgres
from shared.runtime.gc_tuning import collect_seldom
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tallybook.stack.binaries import find_postgres
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers
from tallybook_sdk.outbox import publish_async, publishing
from tallybook_sdk.outbox.event import rows_of

RESULT = Path(__file__).parent / "results" / "outbox.json"
#: Rows of pgbench's tables, and clients that write at the same time.
_ACCOUNTS, _CLIENTS = 100_000, 4
#: Of pgbench's own tables: branches, which are what its clients wait for; and seconds of one run of it.
_SCALE, _PGBENCH_S = 10, 12
#: What a transaction has beside what pgbench gives it.
_EXTRA = ("nothing", "number", "event")
_NUMBER = "INSERT INTO bare VALUES ({})"
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
CREATE TABLE bare (n bigint);
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


def _used() -> dict[str, float]:
    """Seconds of the processor by now: the relay is this process, and the engine what it started beside Postgres."""
    of_all, mine = cpu.seconds(os.getpid()), time.process_time()
    return {"relay": mine, "postgres": of_all["postgres"], "engine": of_all["server"] - mine}


async def _relayed(outbox: Outbox, events: int, rounds: int) -> Figures:
    rates, loads = list[float](), list[float]()
    costs: dict[str, list[float]] = {"relay": [], "postgres": [], "engine": []}
    for number in range(rounds):
        await _fill(outbox.pool, events)
        loads.append(os.getloadavg()[0])
        before = _used()
        moved, took_s = await _relay(outbox)
        after = _used()
        for name, used in costs.items():
            used.append((after[name] - before[name]) / moved * 1e6)
        rates.append(moved / took_s)
        last = ", ".join(f"{name} {used[-1]:.1f}" for name, used in costs.items())
        print(f"relay, round {number + 1}: {rates[-1]:,.0f} events/s; us of CPU: {last}; load {loads[-1]}", flush=True)
        await outbox.pool.execute("TRUNCATE tallybook_outbox")
    found = await outbox.clickhouse.query("SELECT count(), uniqExact(event_id), uniqExact(outbox_id) FROM event_log")
    each = {name: round(median(used), 1) for name, used in costs.items()}
    return {
        "events_per_s": round(median(rates)),
        "rounds": [round(rate) for rate in rates],
        # What is free of the cores decides the rate.
        "cpu_us_per_event": {**each, "total": round(sum(each.values()), 1)},
        "load_average": [round(load, 1) for load in loads],
        "events": events,
        "batch_rows": outbox.rows,
        "exact": tuple(found[0]) == (events * rounds,) * 3,
    }


# -- publish -----------------------------------------------------------------------------------------------------------


async def _transaction(connection: Any, number: int, extra: str) -> None:
    """TPC-B as pgbench writes it, and perhaps something more."""
    aid, tid, bid = number * 7919 % _ACCOUNTS + 1, number * 31 % 100 + 1, number * 17 % 100 + 1
    async with connection.transaction():
        await connection.execute("UPDATE accounts SET balance = balance + 1 WHERE aid = $1", aid)
        await connection.fetchval("SELECT balance FROM accounts WHERE aid = $1", aid)
        await connection.execute("UPDATE tellers SET balance = balance + 1 WHERE tid = $1", tid)
        await connection.execute("UPDATE branches SET balance = balance + 1 WHERE bid = $1", bid)
        await connection.execute("INSERT INTO history VALUES ($1, $2, $3, 1, now())", tid, bid, aid)
        if extra == "event":
            await publish_async(connection, OrderPlaced(number))
        elif extra == "number":
            await connection.execute(_NUMBER.format("$1"), number)


def _backend_s(pid: int) -> float:
    """Seconds of the processor that a backend has used, to the nanosecond: psutil has ticks of 10 ms."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def _published(url: str, transactions: int) -> Figures:
    """One each, as the machine is never the same for long, in an order of chance, as a later one has it warmer."""
    connection = await asyncpg.connect(url)
    pid = connection.get_server_pid()
    clock, client, backend = ({extra: list[float]() for extra in _EXTRA} for _ in range(3))
    for number in range(-200, transactions):  # the first ones only warm up
        for place, extra in enumerate(random.sample(_EXTRA, len(_EXTRA))):
            before = time.perf_counter(), time.thread_time(), _backend_s(pid)
            await _transaction(connection, len(_EXTRA) * number + place, extra)
            after = time.perf_counter(), time.thread_time(), _backend_s(pid)
            if number >= 0:
                for kept, start, end in zip((clock, client, backend), before, after, strict=True):
                    kept[extra].append((end - start) * 1e6)
    await connection.close()
    processor = {extra: median(client[extra]) + median(backend[extra]) for extra in _EXTRA}
    return {
        **_costs(clock),
        "cost_of_the_mean": round(sum(clock["event"]) / sum(clock["nothing"]) - 1, 4),
        "cpu_us": round(processor["nothing"]),
        "cpu_us_with_event": round(processor["event"]),
        "of_it_client": round(median(client["event"]) - median(client["nothing"])),
        "of_it_postgres": round(median(backend["event"]) - median(backend["nothing"])),
        "of_a_number_client": round(median(client["number"]) - median(client["nothing"])),
        "of_a_number_postgres": round(median(backend["number"]) - median(backend["nothing"])),
        "transactions": transactions * len(_EXTRA),
    }


def _costs(took_us: dict[str, list[float]]) -> Figures:
    """Medians, and what they are more than that of the plain transaction."""
    plain, number, event = (median(took_us[extra]) for extra in _EXTRA)
    return {
        "transaction_us": round(plain),
        "with_number_us": round(number),
        "with_event_us": round(event),
        "cost_of_number": round(number / plain - 1, 4),
        "cost": round(event / plain - 1, 4),
    }


_PGBENCH = """\\set aid random(1, 100000 * :scale)
\\set bid random(1, 1 * :scale)
\\set tid random(1, 10 * :scale)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
"""


def _insert() -> tuple[str, list[str]]:
    """The statement of `publish` with names of variables in it, and what defines them."""
    (row,) = rows_of((OrderPlaced(1),))
    statement, arguments = publishing._call([row], publishing._FORMATTED)
    for name, _ in zip(row._fields, arguments, strict=False):
        statement = statement.replace("%s", f":{name}", 1)
    return statement, [f"-D{name}={value}" for name, value in zip(row._fields, arguments, strict=False)]


def _by_pgbench(url: str, clients: int, folder: Path) -> Figures:
    """Medians of pgbench's own transaction and of those with something more, as pgbench clocks them."""
    pgbench = find_postgres() / "pgbench"
    parts = urlsplit(url)
    environ = {"PGHOST": parse_qs(parts.query)["host"][0], "PGUSER": parts.username or "", "PGDATABASE": parts.path[1:]}
    insert, variables = _insert()
    for name, more in zip(_EXTRA, ("", f"{_NUMBER.format(':aid')};\n", f"{insert};\n"), strict=True):
        (folder / f"{name}.sql").write_text(f"{_PGBENCH}{more}END;\n")
    scripts = [argument for name in _EXTRA for argument in ("-f", str(folder / f"{name}.sql"))]
    run = partial(subprocess.run, check=True, capture_output=True, env=environ, cwd=folder)
    run([pgbench, "-i", "-q", "-s", str(_SCALE)])
    how = ("-n", "-M", "prepared", "-s", str(_SCALE), "-c", str(clients), "-T", str(_PGBENCH_S))
    run([pgbench, *how, *variables, "--log", f"--log-prefix=clients-{clients}", *scripts])
    took: dict[str, list[float]] = {extra: [] for extra in _EXTRA}
    for path in folder.glob(f"clients-{clients}.*"):
        for line in path.read_text().splitlines():
            _, _, took_us, script, *_ = line.split()
            took[_EXTRA[int(script)]].append(float(took_us))
    return {**_costs(took), "transactions": sum(map(len, took.values())), "clients": clients}


# -- held --------------------------------------------------------------------------------------------------------------

Work = Callable[[Any, int], Awaitable[Any]]


async def _rate(url: str, seconds: float, work: Work, clients: int = _CLIENTS) -> float:
    """How often a second `work` ends, by so many connections."""
    connections = [await asyncpg.connect(url) for _ in range(clients)]
    ends_at, done = time.perf_counter() + seconds, 0

    async def client(number: int, connection: Any) -> None:
        nonlocal done
        while time.perf_counter() < ends_at:
            await work(connection, number)
            number, done = number + clients, done + 1

    began = time.perf_counter()
    await asyncio.gather(*(client(number, connection) for number, connection in enumerate(connections)))
    rate = done / (time.perf_counter() - began)
    for connection in connections:
        await connection.close()
    return rate


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
    """Reads and writes, but no updates: their old versions would be kept for the open transaction, outbox or not."""
    aid = number * 7919 % _ACCOUNTS + 1
    async with connection.transaction():
        await connection.fetchval("SELECT balance FROM accounts WHERE aid = $1", aid)
        await connection.execute("INSERT INTO history VALUES (1, 1, $1, 1, now())", aid)


async def _beside(url: str, outbox: Outbox, seconds: float) -> float:
    """Unrelated transactions a second, while others publish and a relay is at work."""
    over = asyncio.Event()

    async def relay() -> None:
        while not over.is_set():
            await _relay(outbox)
            await asyncio.sleep(0.1)

    relaying = asyncio.create_task(relay())
    publishing_too = asyncio.create_task(_rate(url, seconds, _event, 1))
    rate = await _rate(url, seconds, _unrelated, _CLIENTS)
    await publishing_too
    over.set()
    await relaying
    return rate


async def _window(url: str, outbox: Outbox, work: Callable[[], Awaitable[float]], is_held: bool) -> float:
    """How often a second something is done, perhaps while a transaction that writes and has a snapshot is open."""
    await outbox.pool.execute("VACUUM jobs")
    holder = await asyncpg.connect(url)
    transaction = holder.transaction()
    await transaction.start()
    if is_held:
        await holder.execute("SELECT pg_current_xact_id(), (SELECT count(*) FROM branches)")
        await holder.execute("DECLARE held CURSOR FOR SELECT * FROM branches")  # keeps the snapshot
    rate = await work()
    await transaction.rollback()
    await holder.close()
    await _relay(outbox)
    await outbox.pool.execute("TRUNCATE tallybook_outbox, jobs")
    return rate


async def _held(url: str, outbox: Outbox, pairs: int, seconds: float) -> Figures:
    kinds: dict[str, Callable[[], Awaitable[float]]] = {
        "skip_locked_queue": partial(_rate, url, seconds, _job),
        "publishing": partial(_rate, url, seconds, _event),
        "unrelated_beside_outbox": partial(_beside, url, outbox, seconds),
    }
    rates: dict[str, list[dict[bool, float]]] = {name: [] for name in kinds}
    for number in range(pairs):
        order = (False, True) if number % 2 else (True, False)
        for name, work in kinds.items():
            rates[name].append({is_held: await _window(url, outbox, work, is_held) for is_held in order})
    figures = {
        name: {
            "per_s": round(median(one[False] for one in found)),
            "held_per_s": round(median(one[True] for one in found)),
            "loss": round(1 - median(one[True] / one[False] for one in found), 4),
            "losses": [round(1 - one[True] / one[False], 4) for one in found],
        }
        for name, found in rates.items()
    }
    print(f"held: {figures}", flush=True)
    return figures


async def _measure(settings: Settings, arguments: argparse.Namespace) -> Figures:
    url = settings.database_url or ""
    await migrate_postgres.migrate(url)
    await migrate_clickhouse.migrate(settings)
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
            figures["publish"] = {"asyncpg": await _published(url, arguments.transactions)}
            for clients in (1, _CLIENTS):
                by_pgbench = partial(_by_pgbench, url, clients, arguments.folder)
                figures["publish"][f"pgbench_{clients}"] = await asyncio.to_thread(by_pgbench)
            print(f"publish: {figures['publish']}", flush=True)
            await _relay(outbox)
        if "held" in wanted:
            figures["held"] = await _held(url, outbox, arguments.pairs, arguments.seconds)
        return figures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.outbox", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000, help="of a round of the relay")
    parser.add_argument("--rounds", type=int, default=3, help="of the relay")
    parser.add_argument("--transactions", type=int, default=4000, help="of each kind by asyncpg")
    parser.add_argument("--pairs", type=int, default=12, help="of windows with and without an open transaction")
    parser.add_argument("--seconds", type=float, default=0.8, help="of a window")
    parser.add_argument("--batch", type=int, default=Settings().outbox_rows, help="events of one insert")
    parser.add_argument("--only", default="relay,publish,held")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tallybook-outbox-", ignore_cleanup_errors=True) as folder:
        arguments.folder = Path(folder)
        arguments.folder.chmod(0o755)
        data = DataFolder(arguments.folder / "data")
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
