"""The table of banners that count when `TALLYBOOK_BANNERS=registered`: what the command line does with it.

Workers notice a change within about a second, and a new banner at its first click (`ingest/banners.py`).
"""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import asyncpg

from shared.counting.lane import BANNER_MAX
from shared.postgres import statement

#: Characters of a banner's name; the table has the same bound.
NAME_MAX = 200
#: Rows that travel in one statement.
_CHUNK = 10_000

_IMPORT = statement("shared/banner_table.import.sql")
_PAGE = statement("shared/banner_table.page.sql")


class Banner(NamedTuple):
    """One registered banner."""

    banner_id: int
    name: str
    created_at: datetime


async def add(connection: "asyncpg.Connection[asyncpg.Record]", banner: int, name: str = "") -> bool:
    """Register a banner, or rename it; without a name a known one keeps its own. False: nothing was to be done.

    Raises ValueError for an id or a name that the table cannot hold.
    """
    return await import_banners(connection, [(banner, name)]) == 1


async def remove(connection: "asyncpg.Connection[asyncpg.Record]", banner: int) -> bool:
    """Forget a banner. What was counted stays. False: it was not registered."""
    return await connection.execute("DELETE FROM banners WHERE banner_id = $1", banner) == "DELETE 1"


async def list_banners(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[Banner]:
    """All registered banners by id, however many. Those added meanwhile may or may not be among them."""
    last = 0
    while rows := await connection.fetch(_PAGE, last, _CHUNK):
        for row in rows:
            yield Banner(*row)
        last = rows[-1]["banner_id"]


async def import_banners(connection: "asyncpg.Connection[asyncpg.Record]", banners: Iterable[tuple[int, str]]) -> int:
    """Register all (id, name), or none of them; of an id given twice the last name counts. How many are new or renamed.

    Raises ValueError for an id or a name that the table cannot hold.
    """
    changed, rows = 0, iter(banners)
    async with connection.transaction():
        while chunk := dict(map(_checked, islice(rows, _CHUNK))):
            status = await connection.execute(_IMPORT, list(chunk), list(chunk.values()))
            changed += int(status.rpartition(" ")[2])
    return changed


def _checked(row: tuple[int, str]) -> tuple[int, str]:
    banner, name = row
    if not 1 <= banner <= BANNER_MAX:
        raise ValueError(f"{banner} is no banner id; ids are 1 to {BANNER_MAX}")
    if len(name) > NAME_MAX or not name.isprintable():
        raise ValueError(f"the name of banner {banner} is longer than {NAME_MAX} characters or not printable")
    return row
