"""Run the background service: everything that it does, in one table."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog

from aggregator.clicks.minutes import Minutes
from aggregator.clicks.retention import Upkeep
from aggregator.loops import Loop, run
from aggregator.outbox import days
from aggregator.outbox.relay import Outbox
from aggregator.outbox.relay_loop import Relay
from aggregator.redis_uses import redis_uses
from aggregator.salts import renew_salts
from aggregator.sink import event_storage
from aggregator.sink.accounting import Books
from aggregator.sink.configured_pipelines import configured
from aggregator.sink.partition import Stores
from aggregator.sink.sink import Sink
from shared.counting.accounting import account
from shared.counting.fleet import Fleet
from shared.privacy import erasure
from shared.record_log import dead_letters
from shared.record_log.cursors import Cursors
from shared.record_log.factory import chosen_letters, chosen_log
from shared.record_log.retention import TRIM_S
from shared.runtime.process import new_owner
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import Pool, create_pool
from shared.stores.redis_client import connect
from shared.telemetry import sentry
from shared.telemetry.metrics import ACCOUNTING

#: Bytes of the records of one insert at most: with room for the columns added, well below what the gateway takes.
_BATCH_BYTES = 48 << 20

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. What is in flight is finished by whoever comes next: every step can be repeated."""
    sentry.start(settings)
    await _until_signal(_work(settings))
    sentry.stop()
    log.info("aggregator_stopped")


async def _work(settings: Settings) -> None:
    async with aclosing(connect(settings)) as redis, create_pool(settings) as pool:
        minutes, upkeep, fleet = Minutes(settings, redis, pool), Upkeep(settings, pool), Fleet(settings.lanes_dir)

        async def take_stock() -> None:
            taken = await account(settings, redis, pool, fleet)
            for state in ("accepted", "persisted", "open", "in_lanes", "difference"):
                ACCOUNTING.labels(state).set(getattr(taken, state))

        loops = [
            Loop("minutes", minutes.flush, min(1.0, settings.minute_s / 4)),
            Loop("overdue", minutes.count_overdue, 15.0),
            Loop("partitions", upkeep.make_partitions, 3600.0),
            Loop("retention", upkeep.drop_expired, 3600.0),
            Loop("ledger", upkeep.prune_ledger, 3600.0),
            Loop("accounting", take_stock, 10.0),
            Loop("salts", partial(renew_salts, pool), 3600.0),
        ]
        async with (
            _sinks(settings, pool) as more,
            _relay(settings, pool) as others,
            redis_uses(settings, redis) as report_uses,
        ):
            loops += [*more, *others, Loop("redis_uses", report_uses, 15.0)]
            log.info("aggregator_started", loops=[loop.name for loop in loops])
            await run(loops)


@asynccontextmanager
async def _sinks(settings: Settings, pool: Pool) -> AsyncIterator[list[Loop]]:
    """Move records from the log into ClickHouse, where there is one. Yield the loops that this needs."""
    if settings.clickhouse_url is None:
        yield []
        return
    async with (
        chosen_log(settings) as record_log,
        clickhouse.connect(settings) as tables,
        chosen_letters(settings) as letters,
    ):
        cursors = Cursors(pool, record_log.name, new_owner(), settings.sink_lease_s)
        books = Books(record_log, cursors, tables, settings.journal_dir)
        sinks = [
            Sink(Stores(record_log, cursors, tables, policy.limit(_BATCH_BYTES), letters), pipeline)
            for pipeline, policy in configured(settings)
        ]

        async def report() -> None:
            for sink in sinks:
                sink.report()

        async def prune_marks() -> None:
            await cursors.prune_marks(settings.ledger_days)

        async def prune_letters() -> None:
            if pruned := await dead_letters.prune(pool, settings.ledger_days):
                log.info("letters_pruned", rows=pruned)

        async def sweep() -> None:
            await erasure.sweep(tables, pool)

        async def say_where_events_are() -> None:
            await event_storage.report(settings, tables)

        for sink in sinks:
            sink.start()
        try:
            yield [
                Loop("sinks", report, 5.0),
                Loop("records", books.take_stock, 10.0),
                Loop("doubles", books.look_for_doubles, 3600.0),
                Loop("trim", books.trim, TRIM_S[record_log.name]),
                Loop("marks", prune_marks, 3600.0),
                Loop("letters", prune_letters, 3600.0),
                Loop("erasures", sweep, 3600.0),
                Loop("event_places", say_where_events_are, 60.0),
            ]
        finally:
            await asyncio.gather(*(sink.stop() for sink in sinks))


@asynccontextmanager
async def _relay(settings: Settings, pool: Pool) -> AsyncIterator[list[Loop]]:
    """Relay events from the outbox into ClickHouse, where there is one. Yield the loops that this needs."""
    if settings.clickhouse_url is None:
        yield []
        return
    async with AsyncExitStack() as stack:
        if settings.outbox_url is not None:
            pool = await stack.enter_async_context(create_pool(settings, settings.outbox_url))
        tables = await stack.enter_async_context(clickhouse.connect(settings))
        one = Relay(Outbox(pool, tables, settings.outbox_rows, settings.sink_wait_s), new_owner())
        one.start()
        stack.push_async_callback(one.stop)
        yield [
            Loop("outbox", one.report, 5.0),
            Loop("outbox_days", partial(days.make_days, pool), 3600.0),
            Loop("outbox_drop", partial(days.drop_relayed, pool), 600.0),
        ]


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run the work to its end, or cancel it at the first SIGTERM or SIGINT and let it clean up."""
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    task, waiting = asyncio.ensure_future(work), asyncio.ensure_future(signalled.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if signalled.is_set():
        task.cancel()  # once: another would break what it cleans up
    with suppress(asyncio.CancelledError):
        await task
