"""The background service: everything that it runs, in one table."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from aggregator.books import Books
from aggregator.catalogue import configured
from aggregator.loops import Loop, run
from aggregator.minutes import Minutes
from aggregator.partition import Stores
from aggregator.sink import Sink
from aggregator.upkeep import Upkeep
from shared import clickhouse
from shared.counting.accounting import account
from shared.counting.fleet import Fleet
from shared.log.choice import chosen_letters, chosen_log
from shared.log.cursor import Cursors
from shared.metrics import ACCOUNTING
from shared.postgres import create_pool
from shared.redis_client import connect
from shared.settings import Settings

#: Bytes of the records of one insert at most: with room for the columns added, well below what the gateway takes.
_BATCH_BYTES = 48 << 20

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. What is in flight is finished by whoever comes next: every step can be repeated."""
    redis = connect(settings)
    async with create_pool(settings) as pool:
        minutes, upkeep, fleet = Minutes(settings, redis, pool), Upkeep(settings, pool), Fleet(settings.lanes_dir)

        async def take_stock() -> None:
            taken = await account(settings, redis, pool, fleet)
            for state in ("accepted", "persisted", "open", "in_lanes", "difference"):
                ACCOUNTING.labels(state).set(getattr(taken, state))

        loops = [
            Loop("minutes", minutes.flush, min(1.0, settings.minute_s / 4)),
            Loop("partitions", upkeep.make_partitions, 3600.0),
            Loop("retention", upkeep.drop_expired, 3600.0),
            Loop("ledger", upkeep.prune_ledger, 3600.0),
            Loop("accounting", take_stock, 10.0),
        ]
        async with _sinks(settings, pool) as more:
            loops += more
            log.info("aggregator_started", loops=[loop.name for loop in loops])
            await _until_signal(run(loops))
    await redis.aclose()
    log.info("aggregator_stopped")


@asynccontextmanager
async def _sinks(settings: Settings, pool: Any) -> AsyncIterator[list[Loop]]:
    """Records move from the log into ClickHouse, where there is one; answers what has to be done beside."""
    if settings.clickhouse_url is None:
        yield []
        return
    async with (
        chosen_log(settings) as record_log,
        clickhouse.connect(settings) as tables,
        chosen_letters(settings) as letters,
    ):
        owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        cursors = Cursors(pool, record_log.name, owner)
        books = Books(record_log, cursors, tables)
        sinks = [
            Sink(Stores(record_log, cursors, tables, policy.limit(_BATCH_BYTES), letters), pipeline)
            for pipeline, policy in configured(settings)
        ]

        async def report() -> None:
            for sink in sinks:
                sink.report()

        async def prune_marks() -> None:
            await cursors.prune_marks(settings.ledger_days)

        for sink in sinks:
            sink.start()
        try:
            yield [
                Loop("sinks", report, 5.0),
                Loop("records", books.take_stock, 10.0),
                Loop("doubles", books.look_for_doubles, 3600.0),
                Loop("trim", books.trim, 30.0),
                Loop("marks", prune_marks, 3600.0),
            ]
        finally:
            await asyncio.gather(*(sink.stop() for sink in sinks))


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
