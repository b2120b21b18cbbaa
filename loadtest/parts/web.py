"""Statistics of web pages over HTTP, against one bare aggregate over the same rows, by turns.

Three million items of 30 days: 18 % of visitors come several times on a day, a fortieth are machines, visits run over
midnight as they happen to. The bare query asks for the different visitors and for nothing else.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop

from loadtest.tools.client import Client
from loadtest.tools.stack import Stack
from shared.settings import Settings
from shared.stores import clickhouse

#: Items of the table: seven of a visit.
ITEMS = 3_000_000
_OF_VISIT, _BATCH = 7, 60_000
_SITE, _FIRST, _LAST, _DAYS_MS = "shop", "2026-10-01", "2026-10-30", 30 * 86_400_000
#: Seconds until the workers know the site, and a statement may take.
_LOADED_S, _TIMEOUT_S = 1.5, 120
#: Name in the result -> what is asked for.
_QUESTIONS = {"by_source": "by=source", "totals": "", "by_page": "by=page", "by_day": "by=day"}

_FILL = """
INSERT INTO web_items (
    date, day, time, site, kind, view, n, visitor, visitor_before, bot, host, path, source, name, engaged_ms, country,
    device, browser, os, log_offset
)
SELECT toDate(time), toDate(time), time, 'shop', item.1, view, item.2, sipHash64(person, toDate(time)),
    if(toHour(time) = 0 AND toMinute(time) < 30, sipHash64(person, toDate(time) - 1), 0),
    if(person % 40 = 0, 'agent', ''), 'shop.example',
    if(item.1 IN ('view', 'event'), concat('/p/', toString(intHash32(person + page * 7) % 200)), ''),
    if(item.1 = 'view', ['', 'news', 'google.com', 'bing.com', 't.co'][1 + person % 5], ''),
    if(item.1 = 'event', 'signup', ''), if(item.1 = 'leave', ms, 0), ['DE', 'FR', 'US', 'GB'][1 + person % 4],
    'desktop', 'Firefox', 'Linux', number
FROM (
    SELECT number, intHash32(number * 31 + 1) % {people:UInt32} AS person,
        arrayJoin(range(1 + toUInt8(10 * pow(intHash32(number + 5) / 4294967296, 3)))) AS page,
        intHash32(number * 17 + page) AS chance, 20000 + chance % 120000 AS ms,
        reinterpretAsUUID(sipHash128(number, page)) AS view,
        arrayJoin(if(chance % 4 = 0, [('view', 0), ('event', 1), ('leave', 2)], [('view', 0), ('leave', 1)])) AS item,
        toDateTime64('2026-10-01 00:00:00', 3, 'UTC') + toIntervalMillisecond(
            intDiv(number * {range:UInt64}, {visits:UInt64}) + page * 150000
            + multiIf(item.1 = 'view', 0, item.1 = 'event', intDiv(ms, 2), ms)
        ) AS time
    FROM numbers({begin:UInt64}, {size:UInt64})
)
"""
_BARE = """
SELECT uniqExact(visitor), countIf(kind = 'view') FROM web_items
WHERE site = {site:String} AND day BETWEEN {from:Date} AND {to:Date} AND date BETWEEN {from:Date} - 2 AND {to:Date} + 2
  AND bot = ''
"""
_VISITORS = _BARE.replace(", countIf(kind = 'view')", "")

Row = dict[str, Any]


def run(rounds: int, folder: Path, say: Callable[[str], None], items: int = ITEMS) -> dict[str, Any]:
    """Return the median of the paired ratios of each question, and the rows. Raises StartError."""
    settings = {"TALLYBOOK_CLICKHOUSE_TIMEOUT_S": str(_TIMEOUT_S)}
    with (
        Stack(folder / "web", settings=settings) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        rows: list[Row] = runner.run(_measure(stack, rounds, items, say))
    names = (*(f"{name}_ms" for name in _QUESTIONS), "bare_ms")
    ratios = {f"{name}_vs_bare": median(row[f"{name}_ms"] / row["bare_ms"] for row in rows) for name in _QUESTIONS}
    return {
        **{name: round(value, 2) for name, value in ratios.items()},
        **{name: round(median(row[name] for row in rows), 1) for name in names},
        "items": rows[0]["items"],
        "rows": rows,
    }


async def _measure(stack: Stack, rounds: int, items: int, say: Callable[[str], None]) -> list[Row]:
    urls = stack.urls()
    connection = await asyncpg.connect(urls["TALLYBOOK_DATABASE_URL"])
    try:
        await connection.execute("INSERT INTO sites (site) VALUES ($1)", _SITE)
    finally:
        await connection.close()
    settings = Settings(clickhouse_url=urls["TALLYBOOK_CLICKHOUSE_URL"], clickhouse_timeout_s=_TIMEOUT_S)
    async with clickhouse.connect(settings) as tables:
        await _fill(tables, items)
        await asyncio.sleep(_LOADED_S)
        [[there]] = await tables.query("SELECT count() FROM web_items")
        rows = []
        for number in range(-1, rounds):  # the first one warms up
            row = await _round(tables, stack.url, number)
            if number >= 0:
                rows.append({**row, "items": int(there)})
                say(_line(row))
    return rows


async def _fill(tables: clickhouse.ClickHouse, items: int) -> None:
    visits = max(1, items // _OF_VISIT)
    of_all = {"visits": visits, "people": max(1, visits // 7), "range": _DAYS_MS}
    for begin in range(0, visits, _BATCH):
        await tables.execute(_FILL, {**of_all, "begin": begin, "size": min(_BATCH, visits - begin)})


async def _round(tables: clickhouse.ClickHouse, url: str, number: int) -> Row:
    parameters = {"site": _SITE, "from": _FIRST, "to": _LAST}
    [[visitors, views]] = await tables.query(_BARE, parameters)
    row: Row = {"round": number, "exact": True}
    bare = []
    for name, question in _QUESTIONS.items():
        began = time.perf_counter()
        await tables.query(_VISITORS, parameters)
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        answer = await asyncio.to_thread(_asked, url, question)
        row[f"{name}_ms"] = round((time.perf_counter() - began) * 1000, 1)
        totals = answer["totals"]
        row["exact"] &= (totals["visitorDays"], totals["views"]) == (visitors, views)
        if name in ("by_source", "by_day"):
            row["exact"] &= sum(one["visits"] for one in answer["rows"]) == totals["visits"]
    row["bare_ms"] = round(median(bare) * 1000, 1)
    return row


def _asked(url: str, question: str) -> Any:
    with Client(url) as client:
        return client.get(f"/stats/web?site={_SITE}&from={_FIRST}&to={_LAST}&{question}".rstrip("&"))


def _line(row: Row) -> str:
    figures = ", ".join(f"{name} {row[f'{name}_ms']:,} ms" for name in (*_QUESTIONS, "bare"))
    return f"round {row['round'] + 1}  {figures}{'' if row['exact'] else '  MISMATCH'}"
