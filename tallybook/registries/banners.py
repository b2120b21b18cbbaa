"""Write and list the banners that count when `TALLYBOOK_BANNERS=registered`.

Workers notice a change within about a second, and a new banner at its first click (`ingest/caches/banners.py`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from shared.counting.lane import BANNER_MAX
from shared.stores.postgres import statement
from tallybook.registries.chunks import counted, put_all

#: Characters of a banner's name; the table has the same bound.
NAME_MAX = 200

_IMPORT = statement("tallybook/registries/banners.import.sql")
_PAGE = statement("tallybook/registries/banners.page.sql")


class Banner(NamedTuple):
    """One registered banner."""

    banner_id: int
    name: str
    created_at: datetime


async def add(connection: "asyncpg.Connection[asyncpg.Record]", rows: Iterable[tuple[int, str]]) -> int:
    """Register all (id, name), or none of them, and return how many are new or renamed.

    An empty name leaves the one that a known banner has. The last name of an id that is given twice counts.
    Raises ValueError for an id or a name that the table cannot hold.
    """
    return await put_all(connection, _IMPORT, map(_checked, rows))


async def remove(connection: "asyncpg.Connection[asyncpg.Record]", ids: Sequence[int]) -> int:
    """Forget banners and return how many of them were registered. Their counts stay."""
    return counted(await connection.execute("DELETE FROM banners WHERE banner_id = ANY($1::bigint[])", ids))


async def listed(connection: "asyncpg.Connection[asyncpg.Record]", after: int = 0, limit: int = 1000) -> list[Banner]:
    """Return at most `limit` registered banners in the order of their ids, from behind the id `after`."""
    return [Banner(*row) for row in await connection.fetch(_PAGE, after, limit)]


def _checked(row: tuple[int, str]) -> tuple[int, str]:
    banner, name = row
    if not 1 <= banner <= BANNER_MAX:
        raise ValueError(f"{banner} is no banner id; ids are 1 to {BANNER_MAX}")
    if len(name) > NAME_MAX or not name.isprintable():
        raise ValueError(f"the name of banner {banner} is longer than {NAME_MAX} characters or not printable")
    return row
