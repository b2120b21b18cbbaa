"""The table of trackers: what the command line does with it.

Workers notice a change within about a second, and a new tracker at its first hit (`ingest/caches/trackers.py`).
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import asyncpg

from shared.stores.postgres import statement
from shared.uuid7 import NIL

#: Bytes of a tracker's value; the table has the same bound.
VALUE_MAX_BYTES = 4096
#: Rows that travel in one statement.
_CHUNK = 10_000

_ADD = "INSERT INTO trackers (uuid, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_SET = "UPDATE trackers SET value = $2 WHERE uuid = $1"
_IMPORT = statement("tallybook/registries/trackers.import.sql")
_PAGE = statement("tallybook/registries/trackers.page.sql")


class Tracker(NamedTuple):
    """One tracker."""

    uuid: UUID
    value: str
    created_at: datetime
    updated_at: datetime


async def add(connection: "asyncpg.Connection[asyncpg.Record]", tracker: UUID, value: str) -> bool:
    """Add one tracker. False: it is there, and was left as it is. Raises ValueError for a value that does not fit."""
    return await connection.execute(_ADD, *_checked((tracker, value))) == "INSERT 0 1"


async def change(connection: "asyncpg.Connection[asyncpg.Record]", tracker: UUID, value: str) -> bool:
    """Give a tracker a new value, for hits from now on. False: there is none of this id. Raises ValueError."""
    return await connection.execute(_SET, *_checked((tracker, value))) == "UPDATE 1"


async def put(connection: "asyncpg.Connection[asyncpg.Record]", rows: Iterable[tuple[UUID, str]]) -> int:
    """Add all (id, value) or give new values to those that are there: all of them, or none.

    Of an id given twice the last value counts. Answers how many are new or changed. Raises ValueError.
    """
    changed, given = 0, iter(rows)
    async with connection.transaction():
        while chunk := dict(map(_checked, islice(given, _CHUNK))):
            status = await connection.execute(_IMPORT, list(chunk), list(chunk.values()))
            changed += int(status.rpartition(" ")[2])
    return changed


async def listed(
    connection: "asyncpg.Connection[asyncpg.Record]", after: UUID = NIL, limit: int = 1000
) -> list[Tracker]:
    """At most `limit` trackers by id, beginning behind the id `after`."""
    return [Tracker(*row) for row in await connection.fetch(_PAGE, after, limit)]


def _checked(row: tuple[UUID, str]) -> tuple[UUID, str]:
    tracker, value = row
    if tracker == NIL:
        raise ValueError("the nil UUID names no tracker")
    if len(value.encode()) > VALUE_MAX_BYTES or "\0" in value:
        raise ValueError(f"the value of {tracker} is longer than {VALUE_MAX_BYTES} bytes, or has a NUL")
    return row
