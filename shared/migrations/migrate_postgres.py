"""Migrate the schema of Postgres: apply the `.sql` files of `shared/migrations/postgres/` in the order of their names,
each once.

Safe to repeat and to race: an advisory lock lets one process at a time migrate, and each file is one transaction
together with its row in `schema_migrations`. There is no way back; a mistake is mended by the next file.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from shared.errors import SchemaError
from shared.runtime.crash_points import crash_point
from shared.stores.postgres import statement

_FOLDER = Path(__file__).parent / "postgres"
#: Any number that no other user of advisory locks in this database takes: the letters "tallybk" in ASCII.
_LOCK = 0x74616C6C79626B
_TIMEOUT_S = 5.0

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_IS_EMPTY = "SELECT to_regclass('schema_migrations') IS NULL"
#: Rights of the roles of deploy/postgres/roles.sh, where there are any.
_GRANTS = statement("shared/migrations/migrate_postgres.grants.sql")


class Migration(NamedTuple):
    """A file; `digest` is its SHA-256."""

    name: str
    text: str
    digest: str


async def migrate(database_url: str) -> list[str]:
    """Apply what is missing and return the names applied. Raises SchemaError, or an asyncpg or OS error when Postgres
    refuses. A role that may only read is enough where nothing is missing."""
    async with _connection(database_url) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        if await connection.fetchval(_IS_EMPTY):
            await connection.execute(_TABLE)
        missing = await _missing(connection)
        for name, text, digest in missing:
            async with connection.transaction():
                await connection.execute(text)
                crash_point("migrating")
                await connection.execute("INSERT INTO schema_migrations VALUES ($1, $2)", name, digest)
        await connection.execute(_GRANTS)
        return [name for name, _, _ in missing]


async def pending(database_url: str) -> list[str]:
    """Return the names that `migrate` would apply now. Raises as `migrate` does."""
    async with _connection(database_url) as connection:
        if await connection.fetchval(_IS_EMPTY):
            return [name for name, _, _ in migrations(_FOLDER)]
        return [name for name, _, _ in await _missing(connection)]


@asynccontextmanager
async def _connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    settings = {"datestyle": "ISO"}  # a time that a migration prints means the same when it is read
    connection = await asyncpg.connect(database_url, timeout=_TIMEOUT_S, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


def migrations(folder: Path) -> list[Migration]:
    """Return the migrations of the folder, in order."""
    texts = ((path.name, path.read_text()) for path in sorted(folder.glob("*.sql")))
    return [Migration(name, text, hashlib.sha256(text.encode()).hexdigest()) for name, text in texts]


def unapplied(files: list[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Return those whose names are not among what was applied, {name: SHA-256}. Raises SchemaError when some of
    that is not as it is in the files."""
    if unknown := sorted(applied.keys() - {name for name, _, _ in files}):
        raise SchemaError(f"the database has migrations that this version does not know: {', '.join(unknown)}")
    for name, _, digest in files:
        if applied.get(name, digest) != digest:
            raise SchemaError(f"{name} was changed after it had been applied to this database")
    return [file for file in files if file.name not in applied]


async def _missing(connection: "asyncpg.Connection[asyncpg.Record]") -> list[Migration]:
    applied = {
        row["name"]: row["sha256"] for row in await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    }
    return unapplied(migrations(_FOLDER), applied)
