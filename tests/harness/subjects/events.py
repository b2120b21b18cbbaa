"""Events for tests, and a stage on which they run: the real service, its log, its sink, and ClickHouse."""

import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from redis.asyncio import Redis

from aggregator.sink.accounting import account
from aggregator.sink.configured_pipelines import PIPELINES
from aggregator.sink.partition import Stores
from aggregator.sink.sink import Sink
from shared.events.table import EVENTS
from shared.record_log.accounting import TableAccount, accounts
from shared.record_log.cursors import Cursors
from shared.record_log.factory import chosen_log
from shared.record_log.record_log import Limit
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import create_pool
from tests.harness.subjects.tracking import PARTITIONS, Tracking, tracking
from tests.harness.wait import until

PIPELINE = next(one for one in PIPELINES if one.table == "events")
#: Of the sinks of the tests.
LEASE_S = 1.5
_numbers = itertools.count(1)


def moment(days_back: float = 1.0) -> str:
    """A time of some days ago, as events bring it."""
    return (datetime.now(UTC) - timedelta(days=days_back)).isoformat(timespec="milliseconds")


def event(**fields: Any) -> dict[str, Any]:
    """An event with an id of its own."""
    made = {
        "event_id": str(uuid.uuid4()),
        "occurred_at": moment(),
        "user_id": f"u-{next(_numbers)}",
        "event_type": "view",
        "properties": {"country": "UA", "price": 12.5},
    }
    return made | fields


class EventStage:
    """A running service, and sinks beside it."""

    def __init__(self, service: Tracking, settings: Settings, pool: Any, tables: ClickHouse) -> None:
        self.service, self.settings, self.pool, self.tables = service, settings, pool, tables

    async def send(self, *events: dict[str, Any], **more: Any) -> httpx2.Response:
        """An upload."""
        content = more.pop("content", None) or json.dumps(events).encode()
        headers = {"content-type": "application/json"} | more.pop("headers", {})
        return await self.service.http.post("/events", content=content, headers=headers, **more)

    async def statuses(self, *events: dict[str, Any], **more: Any) -> list[str]:
        """What became of the events of an upload."""
        answer = await self.send(*events, **more)
        assert answer.status_code == 202, answer.text
        return [one["status"] for one in answer.json()["results"]]

    async def rows(self) -> dict[str, tuple[Any, ...]]:
        """What counts, by id: (occurred_at, user_id, event_type, properties)."""
        sql = f"SELECT event_id, occurred_at, user_id, event_type, properties FROM {EVENTS}"
        found = await self.tables.query(sql)
        made = {str(row[0]): tuple(row[1:]) for row in found}
        assert len(made) == len(found), "an id counts twice"
        return made

    async def lying(self) -> int:
        """Rows that lie in the table, merged or not."""
        return int((await self.tables.query("SELECT count() FROM events"))[0][0])

    @asynccontextmanager
    async def sink(self, records: int = 1000) -> AsyncIterator[Sink]:
        """One of a new process."""
        async with chosen_log(self.settings) as log:
            cursors = Cursors(self.pool, log.name, uuid.uuid4().hex, LEASE_S)
            one = Sink(Stores(log, cursors, self.tables, Limit(records=records, wait_s=0.05)), PIPELINE)
            one.start()
            try:
                yield one
            finally:
                await one.stop()

    async def drained(self) -> None:
        """Wait until every block is stored or a dead letter. A sink has to run."""
        async with chosen_log(self.settings) as log:

            async def is_drained() -> bool:
                rows = await self.pool.fetch("SELECT 1 FROM sink_cursor WHERE sink = 'events'")
                taken = await account(log, self.pool, PIPELINE)
                return len(rows) == PARTITIONS and taken.in_flight == 0 and taken.difference == 0

            await until(is_drained, "the log is empty")

    async def account(self) -> TableAccount:
        """Where the events are, by the books."""
        async with chosen_log(self.settings) as log:
            return (await accounts(log, self.pool, self.settings.journal_dir))["events"]

    async def forget(self, redis: "Redis") -> None:
        """As if the window were over."""
        if names := [key async for key in redis.scan_iter("tallybook:{events.ids.*")]:
            await redis.delete(*names)

    async def settle(self) -> None:
        """Let a sink store all that is in the log."""
        async with self.sink():
            await self.drained()


@asynccontextmanager
async def event_stage(
    folder: Path, redis_url: str, database_url: str, clickhouse: Settings, tables: ClickHouse, **more: Any
) -> AsyncIterator[EventStage]:
    """The service with its stores. Its crash points come as `environ`; `log_url` is another log than Redis."""
    fields = {
        "redis_url": redis_url,
        "database_url": database_url,
        "log_partitions": PARTITIONS,
        "data_dir": str(folder),
    }
    settings = msgspec.structs.replace(clickhouse, **fields, log_url=more.get("log_url"))
    address = {"clickhouse_url": clickhouse.clickhouse_url}
    async with (
        tracking(folder, redis_url, database_url, more.pop("environ", None), **address, **more) as service,
        create_pool(settings) as pool,
    ):
        yield EventStage(service, settings, pool, tables)
