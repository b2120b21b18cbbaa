"""Where every record is: accepted = stored + dead-lettered + skipped + in flight + in journals, from figures that do
not know of each other.

`accepted` is what the log counted and what lies in the journals of this host (until a journal is empty, some of it may
be in the log as well, and counts there too); `in_flight` is what the log holds from the cursors on; `stored`,
`dead_lettered` and `skipped` are what the sinks noted in the transactions that moved their cursors. A difference that
stays means that records went by a sink (above 0) or that the log came back from an older copy (below 0).
"""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from shared.errors import PostgresUnavailable
from shared.log.journal import records_in
from shared.log.log import Log, Position
from shared.postgres import POSTGRES_ERRORS, statement

_POSITIONS = statement("shared/log/accounting.positions.sql")
_SINKS = statement("shared/log/accounting.sinks.sql")


class RecordAccount(msgspec.Struct, frozen=True, rename="camel"):
    """Records of one table by where they are; `difference` is accepted - stored - dead_lettered - skipped - in_flight
    - in_journals and should be 0."""

    accepted: int
    stored: int
    dead_lettered: int
    skipped: int
    in_flight: int
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


async def account(log: Log, pool: Any, way: Way, in_journals: int = 0) -> RecordAccount:
    """Take stock of one table. First the cursors, then the log: what is stored in between is in flight. Raises
    LogUnavailable and POSTGRES_ERRORS."""
    appended = stored = dead = skipped = waiting = 0
    for row in await pool.fetch(_POSITIONS, log.name, way.topic, way.table):
        of = Position(row["next_offset"], row["next_seq"])
        stock = await log.stock(way.topic, row["partition"], of)
        appended, waiting = appended + stock.appended, waiting + stock.waiting
        stored, dead = stored + row["stored"], dead + row["dead_lettered"]
        skipped += row["skipped"]
    difference = appended - stored - dead - skipped - waiting
    return RecordAccount(appended + in_journals, stored, dead, skipped, waiting, in_journals, difference)


async def accounts(log: Log, pool: Any, journals: Path) -> dict[str, RecordAccount]:
    """Take stock of every table that a sink brings records to. Raises LogUnavailable and PostgresUnavailable."""
    waiting = await asyncio.to_thread(records_in, journals)
    try:
        ways = [_Way(row["topic"], row["sink"]) for row in await pool.fetch(_SINKS, log.name)]
        return {way.table: await account(log, pool, way, waiting[way.topic]) for way in ways}
    except POSTGRES_ERRORS as error:
        raise PostgresUnavailable from error
