"""The table of banners that count when `TALLYBOOK_BANNERS=registered`: what the command line does with it.

Workers notice a change within about a second, and a new banner at its first click (`ingest/caches/banners.py`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import asyncpg

from shared.counting.lane import BANNER_MAX
from shared.stores.postgres import statement

#: Characters of a banner's name; the table has the same bound.
NAME_MAX = 200
#: Rows that travel in one statement.
_CHUNK = 10_000

_IMPORT = statement("tallybook/registries/banners.import.sql")
_PAGE = statement("tallybook/registries/banners.page.sql")


class Banner(NamedTuple):
    """One registered banner."""

    banner_id: int
    name: str
    created_at: datetime


async def add(connection: "asyncpg.Connection[asyncpg.Record]", rows: Iterable[tuple[int, str]]) -> int:
    """Register all (id, name), or none of them; an empty name leaves the one that a known banner has.

    Of an id given twice the last name counts. Answers how many are new or renamed. Raises ValueError for an id or a
    name that the table cannot hold.
    """
    changed, given = 0, iter(rows)
    async with connection.transaction():
        while chunk := dict(map(_checked, islice(given, _CHUNK))):
            status = await connection.execute(_IMPORT, list(chunk), list(chunk.values()))
            changed += _rows(status)
    return changed


async def remove(connection: "asyncpg.Connection[asyncpg.Record]", ids: Sequence[int]) -> int:
    """Forget banners; what was counted stays. Answers how many of them were registered."""
    return _rows(await connection.execute("DELETE FROM banners WHERE banner_id = ANY($1::bigint[])", ids))


async def listed(connection: "asyncpg.Connection[asyncpg.Record]", after: int = 0, limit: int = 1000) -> list[Banner]:
    """At most `limit` registered banners by id, beginning behind the id `after`."""
    return [Banner(*row) for row in await connection.fetch(_PAGE, after, limit)]


def _rows(status: str) -> int:
    """The number at the end of a command tag such as `DELETE 3`."""
    return int(status.rpartition(" ")[2])


def _checked(row: tuple[int, str]) -> tuple[int, str]:
    banner, name = row
    if not 1 <= banner <= BANNER_MAX:
        raise ValueError(f"{banner} is no banner id; ids are 1 to {BANNER_MAX}")
    if len(name) > NAME_MAX or not name.isprintable():
        raise ValueError(f"the name of banner {banner} is longer than {NAME_MAX} characters or not printable")
    return row
