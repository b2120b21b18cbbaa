"""How long statistics of product events take: 100,000, a million and ten million events in the embedded ClickHouse.

    python -m loadtest.analytics [--events 100000 1000000 10000000] [--rounds 5]

The events of 90 days arrive in the order of time, in batches of up to 500,000, and one in a hundred is sent twice; a
fiftieth as many users as events, some far busier than others. Each question is asked over all days through the handlers
of the service, before and after everything is merged; both have to answer the same. Between them, by turns, DuckDB is
asked the same (loadtest/tools/duck.py), and has to answer the same, too. Into loadtest/results/analytics.json.
"""

import argparse
import json
import logging
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import structlog
import uvloop
from starlette.applications import Starlette

from ingest.http.openapi import routes
from ingest.http.problems import HANDLERS
from ingest.statistics import events as event_statistics
from loadtest.tools.duck import QUESTIONS as duck_questions
from loadtest.tools.duck import Duck, told
from loadtest.tools.servers import cores
from shared.migrations import migrate_clickhouse
from shared.settings import Settings
from shared.stores import clickhouse
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers

RESULT = Path(__file__).parent / "results" / "analytics.json"
_BATCH, _PER_USER, _DAYS = 500_000, 50, 90
_FIRST, _LAST, _MONTHS = "2026-01-01", "2026-03-31", [202601, 202602, 202603]

_ROWS = """
SELECT toDate(moment), moment,
       reinterpretAsUUID(sipHash128(number)), concat('user-', toString(toUInt64({users:UInt64} * pow(chance, 2)))),
       ['view', 'click', 'search', 'cart', 'purchase', 'login', 'logout', 'share'][1 + toUInt8(8 * pow(other, 2))],
       concat('{"country":"', ['UA', 'DE', 'US', 'FR'][1 + intHash32(number + 7) % 4],
              '","amount":', toString(intHash32(number + 9) % 1000), '}'),
       moment, 0, number, 0
FROM (
    SELECT number, intHash32(number) / 4294967296 AS chance, intHash32(number + 3) / 4294967296 AS other,
           toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
               + toIntervalMillisecond(intDiv(number * {ms:UInt64}, {events:UInt64})) AS moment
    FROM numbers({begin:UInt64}, {size:UInt64})
)
"""
_COLUMNS = (
    "event_date, occurred_at, event_id, user_id, event_type, properties, received_at, "
    "log_partition, log_offset, log_seq"
)
_PARTS = """
SELECT sum(rows), count() FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active
"""
_REPEATS = f"""
INSERT INTO events ({_COLUMNS}) SELECT {_COLUMNS} FROM events
WHERE log_offset >= {{begin:UInt64}} AND log_offset < {{begin:UInt64}} + {{size:UInt64}} AND log_offset % 100 = 0
"""  # noqa: S608 - constants

_RANGE = {"from": _FIRST, "to": _LAST}
_QUESTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "dau": ("dau", _RANGE),
    "dau_approx": ("dau", {**_RANGE, "approx": "true"}),
    "dau_of_a_zone": ("dau", {**_RANGE, "tz": "Europe/Kyiv"}),
    "dau_of_a_segment": ("dau", {**_RANGE, "segment": "event_type:purchase and properties.country:UA"}),
    "top_events": ("top-events", _RANGE),
    "retention_of_12_weeks": ("retention", {"start_date": _FIRST, "windows": "12"}),
}

Figures = dict[str, Any]


async def _fill(tables: clickhouse.ClickHouse, events: int) -> None:
    of_all = {"events": events, "users": max(1, events // _PER_USER), "ms": _DAYS * 86_400_000}
    for begin in range(0, events, _BATCH):
        parameters = {**of_all, "begin": begin, "size": min(_BATCH, events - begin)}
        await tables.execute(f"INSERT INTO events ({_COLUMNS}) {_ROWS}", parameters)
        await tables.execute(_REPEATS, parameters)


async def _asked(client: httpx2.AsyncClient, rounds: int, duck: Duck) -> tuple[Figures, Figures, Figures, bool]:
    """Seconds of each question and the answers; seconds of DuckDB, and whether it answers the same."""
    took, answers, took_duck, agrees = Figures(), Figures(), Figures(), True
    for name, (path, parameters) in _QUESTIONS.items():
        times, others = list[float](), list[float]()
        for _ in range(rounds + 1):
            began = time.perf_counter()
            answer = await client.get(f"/stats/{path}", params=parameters)
            times.append(time.perf_counter() - began)
            answer.raise_for_status()
            if name in duck_questions:
                began = time.perf_counter()
                rows = duck.asked(name)
                others.append(time.perf_counter() - began)
                agrees &= told(name, answer.json()) == [tuple(map(_plain, row)) for row in rows]
        took[name] = round(median(times[1:]), 4)
        if others:
            took_duck[name] = round(median(others[1:]), 4)
        if name != "dau_approx":
            answers[name] = answer.json()
    return took, answers, took_duck, agrees


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


async def _measure(settings: Settings, duck: Duck, events: int, rounds: int) -> Figures:
    await migrate_clickhouse.migrate(settings)
    async with clickhouse.connect(settings) as tables:
        await tables.execute("TRUNCATE TABLE events")
        await _fill(tables, events)
        await duck.load(tables, _MONTHS)
        app = Starlette(routes=routes(event_statistics.OPERATIONS), exception_handlers=HANDLERS)

        async def service(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": {"clickhouse": tables}}, receive, send)

        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(service), base_url="http://here", timeout=300
        ) as client:
            [[rows, parts]] = await tables.query(_PARTS)
            took, answers, took_duck, agrees = await _asked(client, rounds, duck)
            await tables.execute("OPTIMIZE TABLE events FINAL")
            took_merged, answers_merged, _, agrees_merged = await _asked(client, rounds, duck)
    counted = sum(one["count"] for one in answers["top_events"]["events"])
    return {
        "events": events,
        "rows_with_repeats": int(rows),
        "parts": parts,
        "seconds": took,
        "seconds_when_merged": took_merged,
        "seconds_of_duckdb": took_duck,
        "users_of_the_busiest_day": max(day["users"] for day in answers["dau"]["days"]),
        "exact": answers == answers_merged and counted == events and agrees and agrees_merged,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.analytics", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sizes = []
    with tempfile.TemporaryDirectory(prefix="tallybook-analytics-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        data = DataFolder(Path(folder))
        data.take()
        servers = EmbeddedServers(data, redis=False, postgres=False, clickhouse=True)
        servers.start()
        try:
            settings = Settings(clickhouse_url=f"{servers.clickhouse_url}/tallybook", clickhouse_timeout_s=300)
            duck = Duck(Path(folder))
            for events in arguments.events:
                sizes.append(uvloop.run(_measure(settings, duck, events, arguments.rounds)))
                print(json.dumps(sizes[-1], indent=1), flush=True)
        finally:
            servers.stop()
            data.release()
    machine = {"cores": cores(), "python": platform.python_version(), "kernel": platform.release()}
    RESULT.write_text(json.dumps({"sizes": sizes, "machine": machine}, indent=1) + "\n")
    return 0 if all(one["exact"] for one in sizes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
