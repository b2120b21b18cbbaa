"""The background service: everything that it runs, in one table."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

from aggregator.loops import Loop, run
from aggregator.minutes import Minutes
from aggregator.upkeep import Upkeep
from shared.counting.accounting import account
from shared.counting.fleet import Fleet
from shared.metrics import ACCOUNTING
from shared.postgres import create_pool
from shared.redis_client import connect
from shared.settings import Settings

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
        log.info("aggregator_started", loops=[loop.name for loop in loops])
        await _until_signal(run(loops))
    await redis.aclose()
    log.info("aggregator_stopped")


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
