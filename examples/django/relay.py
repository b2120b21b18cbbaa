"""Relay the outbox with Celery, in the environment of the service: what tallybook's aggregator does by itself.

    celery -A relay worker --beat

It is the only file here that imports the service. The shop needs `tallybook-sdk` alone.
"""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from celery import Celery
from celery.signals import worker_init

from aggregator.outbox import days
from aggregator.outbox.relay import Outbox
from aggregator.outbox.relay import relay as relay_outbox
from shared.migrations.migrate_clickhouse import migrate
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool

app = Celery("relay", broker=os.environ.get("REDIS_URL", "redis://localhost"))
app.conf.update(
    # A relay that runs into the next one finds the cursor taken and returns. Tasks expire, so that a stopped worker
    # leaves no pile behind. Ten seconds are longer than a busy machine takes to fetch one.
    beat_schedule={
        "relay": {"task": "relay.relay", "schedule": 1.0, "options": {"expires": 10.0}},
        "upkeep": {"task": "relay.upkeep", "schedule": 3600.0},
    },
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


def _settings() -> Settings:
    return Settings(database_url=os.environ["DATABASE_URL"], clickhouse_url=os.environ["TALLYBOOK_CLICKHOUSE_URL"])


def _with_outbox(work: Callable[[Outbox], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        settings = _settings()
        async with create_pool(settings) as pool, clickhouse.connect(settings) as tables:
            return await work(Outbox(pool, tables, settings.outbox_rows))

    return asyncio.run(run())


@worker_init.connect
def make_tables(**_: Any) -> None:
    """Make the tables in ClickHouse, `event_log` among them. Safe to repeat."""
    asyncio.run(migrate(_settings()))


@app.task(name="relay.relay")
def relay() -> int:
    """Bring the waiting events into ClickHouse and return their number. The next task continues after a failed one."""

    async def work(outbox: Outbox) -> int:
        moved = await relay_outbox(outbox, owner=f"celery-{uuid.uuid4().hex}")
        return 0 if moved is None else moved.stored

    return int(_with_outbox(work))


@app.task(name="relay.upkeep")
def upkeep() -> None:
    """Make the partitions of the days ahead, and drop those that are relayed."""

    async def work(outbox: Outbox) -> None:
        await days.make_days(outbox.pool)
        await days.drop_relayed(outbox.pool)

    _with_outbox(work)
