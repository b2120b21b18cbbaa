"""Take stock of all pipelines, search their tables for doubles, and trim the record log."""

import asyncio
import time
from pathlib import Path

from aggregator.sink import audit
from aggregator.sink.configured_pipelines import PIPELINES
from shared.record_log.accounting import account
from shared.record_log.cursors import Cursors
from shared.record_log.journal import records_in
from shared.record_log.record_log import Log
from shared.record_log.retention import Trimmer
from shared.stores.clickhouse import ClickHouse
from shared.telemetry.metrics import ACCOUNTING_RECORDS, DOUBLES, SINK_LAG

#: Slices in which the tables are searched for doubles, one at each look.
_SLICES = 24


class Books:
    """Take stock of all pipelines. Any number of processes may do so at once."""

    def __init__(self, log: Log, cursors: Cursors, clickhouse: ClickHouse, journals: Path) -> None:
        self._log = log
        self._cursors = cursors
        self._clickhouse = clickhouse
        self._journals = journals
        self._trimmer = Trimmer(log, cursors)

    async def take_stock(self) -> None:
        """Update the metrics of lag and accounts."""
        waiting = await asyncio.to_thread(records_in, self._journals)
        for pipeline in PIPELINES:
            taken = await account(self._log, self._cursors.pool, pipeline, waiting[pipeline.topic])
            SINK_LAG.labels(pipeline.table).set(taken.in_flight)
            for state in taken.__struct_fields__:
                ACCOUNTING_RECORDS.labels(pipeline.table, state).set(getattr(taken, state))

    async def look_for_doubles(self) -> None:
        """Search one slice of each table for doubles. Hourly calls cover each table in a day."""
        for pipeline in PIPELINES:
            slice_now = int(time.time() / 3600) % _SLICES
            DOUBLES.labels(pipeline.table).set(
                await audit.doubles(self._clickhouse, pipeline.table, 1, _SLICES, slice_now, pipeline.day)
            )

    async def trim(self) -> None:
        """Trim what every sink has."""
        await self._trimmer.trim(*{pipeline.topic for pipeline in PIPELINES})
