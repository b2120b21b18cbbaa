"""Predict what many hosts need, from what one click costs: `python -m loadtest.simulate [--measure]`.

The model knows the protocol and a few costs. From clicks, workers, shards and banners it computes the load of Redis,
Postgres, lanes and reads, and names what is full first. `--measure` runs the service on this machine. Two loads give
the costs, and a third one checks the model within 20 %. The result is `results/scale.json`, and from that the tables
and pictures of `docs/scale.md`.
"""

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import msgspec

from loadtest.simulate import chart
from loadtest.tools.machine import describe
from loadtest.tools.result import RESULT
from loadtest.tools.stack import Stack, StartError
from shared.runtime.tasks import end
from shared.settings import load
from shared.stores.redis_client import connect

SCALE = RESULT.with_name("scale.json")
_DOCS = Path(__file__).parents[2] / "docs"
PAGE, BEGIN, END = _DOCS / "scale.md", "<!-- scale.json: begin -->", "<!-- scale.json: end -->"

#: Bytes of an entry on its way to Redis: minute, banner and count (shared/counting/lane.py).
_ENTRY_BYTES = 24
#: Seconds of a minute, and minutes of which Redis holds hashes at once: the open one and the one that is being flushed.
_MINUTE_S, _OPEN = 60, 2
#: Share of a resource above which it counts as full.
FULL = 0.7
#: By how much a prediction may differ from what was measured.
TOLERANCE = 0.2


class Load(msgspec.Struct, frozen=True):
    """Clicks of many workers, spread evenly over banners, or as Zipf's law does with an exponent above 0."""

    clicks_per_s: float
    workers: int
    banners: int
    hosts: int = 1
    shards: int = 1
    exponent: float = 0.0

    def distinct(self, clicks: float) -> float:
        """Return how many banners so many clicks are expected to be of: the sum over banners of 1 - (1 - p)^clicks."""
        weights = [1.0] if self.exponent == 0 else [rank**-self.exponent for rank in range(1, self.banners + 1)]
        times = self.banners if self.exponent == 0 else 1
        whole = sum(weights) * times
        return times * sum(-math.expm1(clicks * math.log1p(-min(weight / whole, 1 - 1e-12))) for weight in weights)


class Costs(msgspec.Struct, frozen=True):
    """What was measured on one machine."""

    #: Seconds between two pages of a busy worker.
    period_s: float
    #: Microseconds of Redis for a page, and for each entry in it.
    page_us: float
    entry_us: float
    #: Bytes that a page is on its way beside its entries.
    page_bytes: float
    #: Bytes of Redis for a banner of an open minute.
    field_bytes: float
    #: Microseconds of a worker for a click, and rows a second into Postgres, of `bench.json`.
    click_us: float
    rows_per_s: float
    #: Bytes of a lane file.
    lane_bytes: float


class Prediction(msgspec.Struct, frozen=True):
    """What a load asks for, a second unless another unit is named."""

    pages: float
    entries_of_page: float
    redis_bytes: float
    #: Of one core, of the busiest master if each shard has its own.
    redis_share: float
    #: Bytes of open minutes in one master.
    redis_memory: float
    rows_per_minute: float
    #: Of a minute, by one aggregator after the other.
    flush_share: float
    #: Of one core.
    worker_share: float
    lane_bytes_of_host: float
    #: Scripts of a read, and lanes of its host that it looks at.
    read_scripts: int
    read_lanes: float


def predict(load: Load, costs: Costs) -> Prediction:
    """Return what the load asks for."""
    each = load.clicks_per_s / load.workers
    # A worker that drained waits for a click, then for the next drain.
    period_s = costs.period_s + 1 / each
    pages = load.workers / period_s
    entries = load.distinct(each * period_s)
    of_shard = load.distinct(load.clicks_per_s / load.shards * _MINUTE_S)
    rows = load.shards * of_shard
    busy = pages * (costs.page_us + entries * costs.entry_us) / 1e6
    return Prediction(
        pages=pages,
        entries_of_page=entries,
        redis_bytes=pages * (costs.page_bytes + entries * _ENTRY_BYTES),
        redis_share=busy / load.shards,
        redis_memory=_OPEN * of_shard * costs.field_bytes,
        rows_per_minute=rows,
        flush_share=rows / costs.rows_per_s / _MINUTE_S,
        worker_share=each * costs.click_us / 1e6,
        lane_bytes_of_host=costs.lane_bytes * load.workers / load.hosts,
        read_scripts=load.shards,
        read_lanes=load.workers / load.hosts,
    )


def shards_needed(load: Load, costs: Costs) -> int:
    """Return the least power of two of shards at which no master is full."""
    shards = 1
    while predict(msgspec.structs.replace(load, shards=shards), costs).redis_share > FULL:
        shards *= 2
    return shards


def first_full(load: Load, costs: Costs) -> tuple[str, float]:
    """Return what is full first when clicks grow and nothing is added, and the clicks a second at which it is."""
    names = {"redis_share": "a master of Redis", "flush_share": "Postgres", "worker_share": "a worker"}
    limits = {}
    for field, name in names.items():
        low, high = 1.0, 1e10
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            one = predict(msgspec.structs.replace(load, clicks_per_s=middle), costs)
            low, high = (low, middle) if getattr(one, field) > FULL else (middle, high)
        limits[name] = low
    return min(limits.items(), key=lambda one: one[1])


# -- measured ----------------------------------------------------------------------------------------------------------

#: Two loads that give the costs, and one unlike both that checks them.
_CALIBRATION = (Load(400, 1, 50), Load(3_000, 1, 4_000))
CHECK = Load(2_400, 2, 1_000)


#: Seconds in which a stack without clicks is looked at, to take what it does by itself away from the rest.
_IDLE_S = 10.0


class Seen(msgspec.Struct):
    """What a run on this machine did, a second unless another unit is named."""

    clicks: float
    pages: float
    page_us: float
    redis_bytes: float
    rows_per_minute: float
    field_bytes: float
    lane_bytes: float


def measure(load: Load, folder: Path, say: Callable[[str], None]) -> Seen:
    """Run the load for a whole minute of the clock on a fresh stack. Raises StartError."""
    settings = {"TALLYBOOK_WORKERS": str(load.workers)}
    with Stack(folder / f"{load.clicks_per_s:.0f}", "up", settings) as stack:
        seen = asyncio.run(_measured(stack, load))
    say(f"{load.clicks_per_s:,.0f} clicks/s, {load.workers} workers, {load.banners:,} banners: {seen}")
    return seen


async def _measured(stack: Stack, load_: Load) -> Seen:
    settings = load({**stack.environ, **stack.urls()})
    redis: Any = connect(settings)
    senders: list[_Sender] = []
    connection = await asyncpg.connect(settings.database_url)
    try:
        idle, began = await _state(redis), time.monotonic()
        await asyncio.sleep(_IDLE_S)
        idle_s, idle_now = time.monotonic() - began, await _state(redis)
        idle_per_s = [(now - then) / idle_s for now, then in zip(idle_now, idle, strict=True)]
        senders = await _connections(stack.url, 32 * load_.workers)
        sending = asyncio.create_task(_send(senders, load_))
        await asyncio.sleep(_MINUTE_S - time.time() % _MINUTE_S + 0.5)  # the minute that began is whole
        minute, before, began = int(time.time()) // _MINUTE_S, await _state(redis), time.monotonic()
        clicks = [sender.clicks for sender in senders]
        await asyncio.sleep(_MINUTE_S - time.time() % _MINUTE_S - 2)
        if sending.done():
            sending.result()  # raises what ended it
        after, took_s = await _state(redis), time.monotonic() - began
        sent = sum(sender.clicks for sender in senders) - sum(clicks)
        field_bytes = await _field_bytes(redis, minute)
        await asyncio.sleep(3)
        await end(sending)
        rows = await _rows(connection, minute)
    finally:
        for sender in senders:
            sender.close()
        await connection.close()
        await redis.aclose()
    pages, us, size = ((now - then) / took_s - idle for now, then, idle in zip(after, before, idle_per_s, strict=True))
    lanes = [path.stat().st_size for path in settings.lanes_dir.glob("*.lane")]
    return Seen(sent / took_s, pages, us / pages, size, rows, field_bytes, sum(lanes) / len(lanes))


class _Sender(asyncio.Protocol):
    """One client that clicks and reads no answers."""

    def __init__(self) -> None:
        self.clicks = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def click(self, banner: int) -> None:
        if self._transport.is_closing():
            raise StartError("the service has closed a connection")
        self.clicks += 1
        self._transport.write(b"POST /stats/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % banner)

    def close(self) -> None:
        self._transport.close()


async def _connections(url: str, count: int) -> list[_Sender]:
    loop, port = asyncio.get_running_loop(), int(url.rpartition(":")[2])
    return [(await loop.create_connection(_Sender, "127.0.0.1", port))[1] for _ in range(count)]


async def _send(senders: Sequence[_Sender], load_: Load) -> None:
    """Click at the pace of the load, at moments of chance, of banners and clients of chance."""
    chance = random.Random(1)
    due = time.monotonic()
    while True:
        while due <= time.monotonic():
            chance.choice(senders).click(chance.randint(1, load_.banners))
            due += chance.expovariate(load_.clicks_per_s)
        await asyncio.sleep(0.002)


async def _state(redis: Any) -> tuple[int, float, int]:
    """Return the pages that Redis has applied, the microseconds of all scripts, and the bytes that it was sent."""
    lanes = [key async for key in redis.scan_iter("tallybook:*:lane:*")]
    pages = sum([int(await redis.hget(key, "seq")) for key in lanes])
    commands, about = await redis.info("commandstats"), await redis.info("stats")
    return pages, float(commands.get("cmdstat_evalsha", {"usec": 0})["usec"]), int(about["total_net_input_bytes"])


async def _field_bytes(redis: Any, minute: int) -> float:
    """Return the bytes of Redis for a banner of an open minute."""
    size = fields = 0
    async for key in redis.scan_iter(f"tallybook:*:i:{minute}:*"):
        size += await redis.memory_usage(key, samples=0)
        fields += await redis.hlen(key)
    return size / fields


async def _rows(connection: Any, minute: int) -> int:
    """Return the rows of a minute once it is flushed."""
    start = datetime.fromtimestamp(minute * _MINUTE_S, UTC)
    for _ in range(300):
        rows = await connection.fetchval("SELECT count(*) FROM click_stats WHERE timestamp = $1", start)
        if rows:
            return int(rows)
        await asyncio.sleep(0.1)
    raise StartError("no minute was flushed within 30 s")


def costs_of(few: tuple[Load, Seen], many: tuple[Load, Seen], bench: dict[str, Any]) -> Costs:
    """Return the costs that two loads show, one with few entries a page and one with many."""
    period_s = [load.workers / seen.pages - load.workers / seen.clicks for load, seen in (few, many)]
    entries = [load.distinct(seen.clicks / seen.pages) for load, seen in (few, many)]
    entry_us = (many[1].page_us - few[1].page_us) / (entries[1] - entries[0])
    pairs = zip((few, many), entries, strict=True)
    page_bytes = [seen.redis_bytes / seen.pages - n * _ENTRY_BYTES for (_, seen), n in pairs]
    return Costs(
        period_s=sum(period_s) / 2,
        page_us=few[1].page_us - entries[0] * entry_us,
        entry_us=entry_us,
        page_bytes=sum(page_bytes) / 2,
        field_bytes=many[1].field_bytes,
        click_us=median(row["cpu_us_by"]["server"] for row in _plain(bench)),
        rows_per_s=bench["flush"]["rows_per_s"],
        lane_bytes=many[1].lane_bytes,
    )


def _plain(bench: dict[str, Any]) -> list[Any]:
    return [row for row in bench["clicks"]["c256"]["rows"] if row["side"] == "tallybook"]


def compared(load: Load, seen: Seen, costs: Costs) -> dict[str, dict[str, float]]:
    """Return what was predicted beside what was measured."""
    load = msgspec.structs.replace(load, clicks_per_s=seen.clicks)
    expected = predict(load, costs)
    pairs = {
        "pages a second": (expected.pages, seen.pages),
        "bytes to Redis a second": (expected.redis_bytes, seen.redis_bytes),
        "microseconds of Redis for a page": (
            costs.page_us + expected.entries_of_page * costs.entry_us,
            seen.page_us,
        ),
        "rows a minute": (expected.rows_per_minute, seen.rows_per_minute),
    }
    return {
        name: {"predicted": round(one, 1), "measured": round(other, 1), "ratio": round(one / other, 3)}
        for name, (one, other) in pairs.items()
    }


# -- shown -------------------------------------------------------------------------------------------------------------

#: The load of the table: a million clicks a second on a hundred hosts, of banners as uneven as Zipf's law.
LARGE = Load(1_000_000, workers=1_000, banners=100_000, hosts=100, exponent=1.0)
_GROWTH = [10 ** (3 + step / 8) for step in range(33)]  # 1,000 to 10 million clicks a second
_BANNERS, _SHARDS = (100, 10_000, 1_000_000), (1, 4, 16, 64)


def page(scale: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    costs = msgspec.convert(scale["costs"], Costs)
    shards = shards_needed(LARGE, costs)
    machine = scale["machine"]
    lines = [f"Measured on {machine['date']}: {machine['cpu']}, {machine['cores']} cores.", ""]
    lines += ["| at a small scale | predicted | measured | ratio |", "|---|---|---|---|"]
    for name, one in scale["check"].items():
        lines.append(f"| {name} | {one['predicted']:,} | {one['measured']:,} | {one['ratio']} |")
    lines += ["", f"1,000,000 clicks a second, 1,000 workers on 100 hosts, 100,000 banners, {shards} shards:", ""]
    large = predict(msgspec.structs.replace(LARGE, shards=shards), costs)
    rows = {
        "pages to Redis a second": f"{large.pages:,.0f}, of {large.entries_of_page:.0f} banners each",
        "bytes to Redis a second": f"{large.redis_bytes / 1e6:,.1f} MB",
        "of a core, the busiest master of Redis": f"{large.redis_share:.0%}",
        "open minutes in a master": f"{large.redis_memory / 1e6:,.1f} MB",
        "rows into Postgres a minute": f"{large.rows_per_minute:,.0f}",
        "of a minute, to flush it": f"{large.flush_share:.0%}",
        "of a core, a worker": f"{large.worker_share:.1%}",
        "lanes of a host": f"{large.lane_bytes_of_host / 1e6:,.0f} MB",
        "a read of open minutes": f"{large.read_scripts} scripts, and {large.read_lanes:.0f} lanes of its host",
    }
    lines += ["| what | needed |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items()), ""]
    lines += ["| shards | full first | at clicks a second |", "|---|---|---|"]
    for count in _SHARDS:
        name, limit = first_full(msgspec.structs.replace(LARGE, shards=count), costs)
        lines.append(f"| {count} | {name} | {limit:,.0f} |")
    return "\n".join(lines)


def pictures(costs: Costs) -> Iterator[tuple[str, str]]:
    """Yield the name of each picture and what is in it."""

    def grown(field: str, **changes: Any) -> list[tuple[float, float]]:
        loads = [msgspec.structs.replace(LARGE, clicks_per_s=at, **changes) for at in _GROWTH]
        return [(load.clicks_per_s, getattr(predict(load, costs), field)) for load in loads]

    clicks, full = "clicks a second, 1,000 workers", (FULL, f"full: {FULL:.0%}")
    by_shards = [chart.Line(f"{count} shards", grown("redis_share", shards=count)) for count in _SHARDS]
    yield "scale-redis.svg", chart.drawn("The busiest master of Redis", clicks, "share of a core", by_shards, full)
    by_banners = [chart.Line(f"{chart.short(n)} banners", grown("flush_share", shards=16, banners=n)) for n in _BANNERS]
    title = "A minute into Postgres, 16 shards"
    yield "scale-postgres.svg", chart.drawn(title, clicks, "share of a minute", by_banners, full)
    shares = {"Redis, 16 shards": "redis_share", "Postgres": "flush_share", "a worker": "worker_share"}
    lines = [chart.Line(name, grown(field, shards=16)) for name, field in shares.items()]
    yield "scale-first.svg", chart.drawn("What is full first", clicks, "share that is in use", lines, full)


def show(scale: dict[str, Any]) -> None:
    """Write the tables into the page, and the pictures beside it."""
    text = PAGE.read_text()
    PAGE.write_text(f"{text.partition(BEGIN)[0]}{BEGIN}\n\n{page(scale)}\n\n{END}{text.partition(END)[2]}")
    for name, picture in pictures(msgspec.convert(scale["costs"], Costs)):
        (_DOCS / name).write_text(picture)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 as predicted, 1 not within the tolerance, 2 nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.simulate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the costs anew, in about 8 minutes")
    if not parser.parse_args(arguments).measure:
        show(json.loads(SCALE.read_text()))
        return 0
    with tempfile.TemporaryDirectory(prefix="tallybook-scale-", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        try:
            few, many, seen = (measure(one, folder, print) for one in (*_CALIBRATION, CHECK))
        except StartError as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 2
        machine = describe(f"{datetime.now(UTC):%Y-%m-%d}", folder)
    bench = json.loads(RESULT.read_text())
    costs = costs_of((_CALIBRATION[0], few), (_CALIBRATION[1], many), bench)
    check = compared(CHECK, seen, costs)
    scale = {"machine": machine, "costs": msgspec.to_builtins(costs), "check": check}
    SCALE.write_text(json.dumps(scale, indent=1) + "\n")
    show(scale)
    for name, one in check.items():
        print(f"{name}: {one['predicted']:,} predicted, {one['measured']:,} measured, {one['ratio']}")
    return int(any(abs(one["ratio"] - 1) > TOLERANCE for one in check.values()))
