"""Where every record is: appended = stored + dead-lettered + duplicates + in flight, from figures that do not know of
each other.

`appended` is what the log counted, `in_flight` what it holds from the cursors on; `stored`, `dead_lettered` and
`duplicates` (events that were left out) are what the sink noted in the transactions that moved them. A difference that
stays means that records went by a sink (above 0) or the log came back from an older copy (below 0). With Kafka
`appended` counts repeats of producers and the marks of transactions, which no sink stores: there the difference grows
by one for each.
"""

import time
from typing import Any

import msgspec

from aggregator import audit
from aggregator.catalogue import PIPELINES
from aggregator.pipelines import Pipeline
from shared.clickhouse import ClickHouse
from shared.log.cursor import Cursors
from shared.log.log import Log, Position
from shared.log.retention import trim
from shared.metrics import ACCOUNTING_RECORDS, DOUBLES, SINK_LAG
from shared.postgres import statement

_POSITIONS = statement("aggregator/books.positions.sql")

#: Slices in which the tables are searched for doubles, one at each look.
_SLICES = 24


class Account(msgspec.Struct, frozen=True, rename="camel"):
    """Records of one pipeline by where they are."""

    appended: int
    stored: int
    dead_lettered: int
    duplicates: int
    in_flight: int
    difference: int


async def account(log: Log, pool: Any, pipeline: Pipeline) -> Account:
    """Take stock of one pipeline. Raises LogUnavailable and POSTGRES_ERRORS."""
    appended = stored = dead = again = waiting = 0
    for row in await pool.fetch(_POSITIONS, log.name, pipeline.topic, pipeline.table):
        of = Position(row["next_offset"], row["next_seq"])
        stock = await log.stock(pipeline.topic, row["partition"], of)
        appended, waiting = appended + stock.appended, waiting + stock.waiting
        stored, dead = stored + row["stored"], dead + row["dead_lettered"]
        again += row["duplicates"]
    return Account(appended, stored, dead, again, waiting, appended - stored - dead - again - waiting)


class Books:
    """Looks at all pipelines from time to time; any number of processes may."""

    def __init__(self, log: Log, cursors: Cursors, clickhouse: ClickHouse) -> None:
        self._log = log
        self._cursors = cursors
        self._clickhouse = clickhouse

    async def take_stock(self) -> None:
        """Lag and accounts into the metrics."""
        for pipeline in PIPELINES:
            taken = await account(self._log, self._cursors.pool, pipeline)
            SINK_LAG.labels(pipeline.table).set(taken.in_flight)
            for state in taken.__struct_fields__:
                ACCOUNTING_RECORDS.labels(pipeline.table, state).set(getattr(taken, state))

    async def look_for_doubles(self) -> None:
        """One slice of each table, so that a day of looks every hour sees all of it."""
        for pipeline in PIPELINES:
            slice_now = int(time.time() / 3600) % _SLICES
            DOUBLES.labels(pipeline.table).set(
                await audit.doubles(self._clickhouse, pipeline.table, 1, _SLICES, slice_now)
            )

    async def trim(self) -> None:
        """Forget what every sink has."""
        for topic in {pipeline.topic for pipeline in PIPELINES}:
            await trim(self._log, self._cursors, topic)
