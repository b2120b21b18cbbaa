"""Write and list redirect links.

Workers notice a change within about a second, and a new link at its first click (`ingest/caches/links.py`).
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import asyncpg
import msgspec

from shared.collect.link import LinkRow, checked
from shared.stores.postgres import statement
from tallybook.registries.chunks import counted

_ADD = """INSERT INTO links (slug, banner_id, url, query, pass, click_id, expires_at, max_clicks, active)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"""
_ONE = statement("tallybook/registries/links.one.sql")
_IMPORT = statement("tallybook/registries/links.import.sql")
_PAGE = statement("tallybook/registries/links.page.sql")
#: Rows that travel in one statement.
_CHUNK = 1000
#: Names of the columns in the order of `LinkRow`.
_COLUMNS = [field.removesuffix("_") for field in LinkRow._fields]


class Stored(NamedTuple):
    """One link as the table has it, with the times of its making and of its last change."""

    slug: str
    banner_id: int
    url: str
    query: str
    pass_: list[str]
    click_id: bool
    expires_at: datetime | None
    max_clicks: int | None
    active: bool
    created_at: datetime
    updated_at: datetime


async def add(connection: "asyncpg.Connection[asyncpg.Record]", row: LinkRow, hosts: Collection[str]) -> bool:
    """Add one link. Return False if there is one of its slug, which stays as it is.

    `hosts` are those that it may lead to; none allows all. Raises ValueError for a row that does not fit.
    """
    return await connection.execute(_ADD, *checked(row, hosts)) == "INSERT 0 1"


async def change(
    connection: "asyncpg.Connection[asyncpg.Record]", slug: str, changes: dict[str, Any], hosts: Collection[str]
) -> bool:
    """Change some fields of a link. Return False if there is no such link. Raises ValueError."""
    async with connection.transaction():
        known = await connection.fetchrow(_ONE, slug)
        if known is None:
            return False
        row = LinkRow(*known)._replace(**changes)
        await _put(connection, [checked(row, hosts)])
    return True


async def put(connection: "asyncpg.Connection[asyncpg.Record]", rows: Iterable[LinkRow], hosts: Collection[str]) -> int:
    """Add or change all links, or none of them, and return how many are new or changed.

    The last row of a slug that is given twice counts. Raises ValueError for a row that does not fit.
    """
    changed, given = 0, (checked(row, hosts) for row in rows)
    async with connection.transaction():
        while chunk := {row.slug: row for row in islice(given, _CHUNK)}:
            changed += await _put(connection, chunk.values())
    return changed


async def listed(connection: "asyncpg.Connection[asyncpg.Record]", after: str = "", limit: int = 1000) -> list[Stored]:
    """Return at most `limit` links in the order of their slugs, from behind the slug `after`."""
    return [Stored(*row) for row in await connection.fetch(_PAGE, after, limit)]


async def _put(connection: "asyncpg.Connection[asyncpg.Record]", rows: Collection[LinkRow]) -> int:
    given = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return counted(await connection.execute(_IMPORT, msgspec.json.encode(given).decode()))
