"""The relay as tasks: what tallybook's aggregator does by itself."""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from celery import shared_task

from aggregator.outbox import days
from aggregator.outbox.relay import Outbox
from aggregator.outbox.relay import relay as relay_outbox
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool


def _settings() -> Settings:
    return Settings(database_url=os.environ["DATABASE_URL"], clickhouse_url=os.environ["TALLYBOOK_CLICKHOUSE_URL"])


def _with_outbox(work: Callable[[Outbox], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        settings = _settings()
        async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
            return await work(Outbox(pool, tables, settings.outbox_rows))

    return asyncio.run(run())


@shared_task
def relay() -> int:
    """Bring what waits into ClickHouse; answers how many events. A task that fails is not retried: the next one goes on
    where it stopped."""

    async def work(outbox: Outbox) -> int:
        moved = await relay_outbox(outbox, owner=f"celery-{uuid.uuid4().hex}")
        return 0 if moved is None else moved.stored

    return int(_with_outbox(work))


@shared_task
def upkeep() -> None:
    """Days ahead are made, relayed ones are dropped."""

    async def work(outbox: Outbox) -> None:
        await days.make_days(outbox.pool)
        await days.drop_relayed(outbox.pool)

    _with_outbox(work)
