"""Where every record is: accepted = stored + dead-lettered + skipped + in flight + in journals, from figures that do
not know of each other.

`accepted` is what the log counted and what lies in the journals of this host (until a journal is empty, some of it may
be in the log as well, and counts there too); `in_flight` is what the log holds from the cursors on; `stored`,
`dead_lettered` and `skipped` are what the sinks noted in the transactions that moved their cursors. A difference that
stays means that records went by a sink (above 0) or that the log came back from an older copy (below 0).

A record of events holds many of them, and the log counts records. So an account of events adds what the sinks noted of
the events in each record, and counts those in flight by reading what waits; where that is too much to read in a
moment, neither they nor `accepted` are known. Its difference stays one of records.

Kafka counts messages, of which each may hold several records (`shared/record_log/entries.py`). So records in flight
there are counted by reading, too, and there is no second figure that a difference could come from: it is 0.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from shared.errors import LogUnavailable, PostgresUnavailable
from shared.events.rows import rows_in
from shared.events.table import TOPIC as EVENTS
from shared.record_log.deduplication import Mark
from shared.record_log.journal import records_in
from shared.record_log.record_log import Limit, Log, LogDamaged, Position
from shared.stores.postgres import POSTGRES_ERRORS, Pool, statement

_POSITIONS = statement("shared/record_log/accounting.positions.sql")
_SINKS = statement("shared/record_log/accounting.sinks.sql")

#: What is read at a time to count the rows in it, and the seconds for all of it.
_PAGE, _COUNT_S = Limit(records=1000, bytes=16 << 20, wait_s=0.1), 5.0


class RecordAccount(msgspec.Struct, frozen=True, rename="camel"):
    """Records of one table by where they are; `difference` is accepted - stored - dead_lettered - skipped - in_flight
    - in_journals and should be 0. With Kafka `in_flight` counts messages."""

    accepted: int
    stored: int
    dead_lettered: int
    skipped: int
    in_flight: int
    in_journals: int
    difference: int


class TableAccount(msgspec.Struct, frozen=True, rename="camel"):
    """What a table gets, in its own rows (events, hits, page views) by where they are. `duplicate` was left out because
    the table has it; `skipped` never was one more: repeats of an append, and what aborted transactions left in Kafka.
    `difference` counts records of the log and should be 0. `in_flight` and `accepted` are null while more wait than can
    be counted in a moment."""

    accepted: int | None
    stored: int
    duplicate: int
    dead_lettered: int
    skipped: int
    in_flight: int | None
    in_journals: int
    difference: int


class Way(Protocol):
    """A topic, and the table that its records go to."""

    @property
    def topic(self) -> str:
        """The topic."""

    @property
    def table(self) -> str:
        """The table, whose name is that of the sink, too."""


class _Way(NamedTuple):
    topic: str
    table: str


async def account(log: Log, pool: Pool, way: Way, in_journals: int = 0) -> RecordAccount:
    """Take stock of one table. First the cursors, then the log: what is stored in between is in flight. Raises
    LogUnavailable and POSTGRES_ERRORS."""
    return await _of_records(log, way, await pool.fetch(_POSITIONS, log.name, way.topic, way.table), in_journals)


async def accounts(log: Log, pool: Pool, journals: Path) -> dict[str, TableAccount]:
    """Take stock of every table that a sink brings records to, in its rows. Raises LogUnavailable and
    PostgresUnavailable."""
    waiting = await asyncio.to_thread(records_in, journals)
    try:
        ways = [_Way(row["topic"], row["sink"]) for row in await pool.fetch(_SINKS, log.name)]
        return {way.table: await _of_table(log, pool, way, waiting[way.topic]) for way in ways}
    except POSTGRES_ERRORS as error:
        raise PostgresUnavailable from error
    except LogDamaged as error:  # trimmed between two looks; a repeat begins with a new one
        raise LogUnavailable from error


async def _of_records(log: Log, way: Way, cursors: Sequence[Any], in_journals: int) -> RecordAccount:
    appended = stored = dead = skipped = waiting = 0
    for row in cursors:
        stock = await log.stock(way.topic, row["partition"], _position(row))
        appended, waiting = appended + stock.appended, waiting + stock.waiting
        stored, dead = stored + row["stored"], dead + row["dead_lettered"]
        skipped += row["skipped"]
    if log.name == "kafka":
        appended = stored + dead + skipped + waiting
    difference = appended - stored - dead - skipped - waiting
    return RecordAccount(appended + in_journals, stored, dead, skipped, waiting, in_journals, difference)


async def _of_table(log: Log, pool: Pool, way: Way, in_journals: int) -> TableAccount:
    cursors = await pool.fetch(_POSITIONS, log.name, way.topic, way.table)
    taken = await _of_records(log, way, cursors, in_journals)
    stored, duplicate = sum(row["rows_stored"] for row in cursors), sum(row["rows_duplicate"] for row in cursors)
    dead = sum(row["rows_dead_lettered"] for row in cursors)
    in_flight: int | None = taken.in_flight
    if way.topic == EVENTS or log.name == "kafka":
        in_flight = await _rows_in_flight(log, way, cursors)
    skipped = taken.stored + taken.dead_lettered + taken.skipped - stored - duplicate - dead
    if way.topic == EVENTS:
        skipped = 0
    rest = stored + duplicate + dead + skipped + in_journals + taken.difference
    accepted = None if in_flight is None else rest + in_flight
    return TableAccount(accepted, stored, duplicate, dead, skipped, in_flight, in_journals, taken.difference)


async def _rows_in_flight(log: Log, way: Way, cursors: Sequence[Any]) -> int | None:
    """Rows in the records from the cursors on; of a record that lies there twice, once. None if they are too many."""
    deadline = time.monotonic() + _COUNT_S
    try:
        async with asyncio.timeout(_COUNT_S):
            return sum([await _rows_from(log, way, row["partition"], _position(row), deadline) for row in cursors])
    except TimeoutError:
        return None


async def _rows_from(log: Log, way: Way, partition: int, at: Position, deadline: float) -> int:
    if not (await log.stock(way.topic, partition, at)).waiting:
        return 0
    rows, marks = 0, dict[str, Mark]()
    end, reader = await log.end(way.topic, partition), log.reader(way.topic, partition, way.table)
    try:
        while at < end:
            if time.monotonic() >= deadline:  # a client may have swallowed the cancellation
                raise TimeoutError
            batch = await reader.read(at, marks, _PAGE)
            rows += sum(rows_in(record.value) for record in batch.records)
            if batch.end == at and log.name != "kafka":  # whose client is silent for a while
                break
            at, marks = batch.end, marks | batch.marks
    finally:
        await reader.close()
    return rows


def _position(row: Any) -> Position:
    return Position(row["next_offset"], row["next_seq"])
