"""Write and list trackers.

Workers notice a change within about a second, and a new tracker at its first hit (`ingest/caches/trackers.py`).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from shared.stores.postgres import statement
from shared.uuid7 import NIL
from tallybook.registries.chunks import put_all

#: Bytes of a tracker's value; the table has the same bound.
VALUE_MAX_BYTES = 4096

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
    """Add one tracker. Return False if it exists: it stays as it is. Raises ValueError for a value that is too long."""
    return await connection.execute(_ADD, *_checked((tracker, value))) == "INSERT 0 1"


async def change(connection: "asyncpg.Connection[asyncpg.Record]", tracker: UUID, value: str) -> bool:
    """Give a tracker a new value for hits from now on. Return False if there is no such tracker. Raises ValueError."""
    return await connection.execute(_SET, *_checked((tracker, value))) == "UPDATE 1"


async def put(connection: "asyncpg.Connection[asyncpg.Record]", rows: Iterable[tuple[UUID, str]]) -> int:
    """Add or change all (id, value), or none of them, and return how many are new or changed.

    The last value of an id that is given twice counts. Raises ValueError for a value that does not fit.
    """
    return await put_all(connection, _IMPORT, map(_checked, rows))


async def listed(
    connection: "asyncpg.Connection[asyncpg.Record]", after: UUID = NIL, limit: int = 1000
) -> list[Tracker]:
    """Return at most `limit` trackers in the order of their ids, from behind the id `after`."""
    return [Tracker(*row) for row in await connection.fetch(_PAGE, after, limit)]


def _checked(row: tuple[UUID, str]) -> tuple[UUID, str]:
    tracker, value = row
    if tracker == NIL:
        raise ValueError("the nil UUID names no tracker")
    if len(value.encode()) > VALUE_MAX_BYTES or "\0" in value:
        raise ValueError(f"the value of {tracker} is longer than {VALUE_MAX_BYTES} bytes, or has a NUL")
    return row
