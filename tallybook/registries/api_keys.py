"""Create, revoke and list API keys.

Workers notice a change within about a second, and a new key at its first use (`ingest/auth/api_keys.py`).
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, get_args

import asyncpg

from shared.api_keys import Key, KeyScope, new
from shared.stores.postgres import statement

#: Bytes of a key's name; the table has the same bound.
NAME_MAX_BYTES = 200

_CREATE = "INSERT INTO api_keys (prefix, hash, name, scopes, expires_at) VALUES ($1, $2, $3, $4, $5)"
_REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE prefix = $1 AND revoked_at IS NULL"
_IS_THERE = "SELECT true FROM api_keys WHERE prefix = $1"
_PAGE = statement("tallybook/registries/api_keys.page.sql")


class Row(NamedTuple):
    """The columns of a key that may be shown."""

    prefix: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


async def create(
    connection: "asyncpg.Connection[asyncpg.Record]", name: str, scopes: Collection[str], expires_at: datetime | None
) -> Key:
    """Add a key and return the only copy of its secret. Raises ValueError for a name or scopes that do not fit."""
    if not name.isprintable():  # lone surrogates are not printable
        raise ValueError("a name is one line of printable characters, without tabs")
    if not 1 <= len(name.encode()) <= NAME_MAX_BYTES:
        raise ValueError(f"a name has 1 to {NAME_MAX_BYTES} bytes")
    if not scopes or not set(scopes) <= set(get_args(KeyScope)):
        raise ValueError(f"scopes are one or more of {', '.join(get_args(KeyScope))}")
    key = new()
    await connection.execute(_CREATE, key.prefix, key.hash, name, sorted(set(scopes)), expires_at)
    return key


async def revoke(connection: "asyncpg.Connection[asyncpg.Record]", prefix: str) -> bool:
    """Revoke a key for good. Return False if there is no key of this prefix."""
    if await connection.execute(_REVOKE, prefix) == "UPDATE 1":
        return True
    return await connection.fetchval(_IS_THERE, prefix) is not None


async def listed(connection: "asyncpg.Connection[asyncpg.Record]", after: str = "", limit: int = 1000) -> list[Row]:
    """Return at most `limit` keys in the order of their prefixes, from behind the prefix `after`."""
    return [Row(*row) for row in await connection.fetch(_PAGE, after, limit)]
