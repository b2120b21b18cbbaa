"""Connect to Postgres, and load statements from `.sql` files."""

import asyncio
from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import asyncpg

from shared.errors import PostgresUnavailable
from shared.settings import Settings

#: What a call can raise when Postgres is away, slow or refuses.
POSTGRES_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of a message
    OSError,
    asyncio.TimeoutError,
)

#: Connections of one process at most. Processes x this must stay below `max_connections` (100 by default).
_CONNECTIONS = 4
#: Seconds to wait for a new connection.
_CONNECT_S = 5.0


class Queries(Protocol):
    """What pools and connections have in common."""

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement. Return its tag, as `DELETE 3`."""

    async def fetch(self, query: str, *args: object) -> "list[asyncpg.Record]":
        """Return all rows."""

    async def fetchrow(self, query: str, *args: object) -> Any:  # most statements always have a row
        """Return the first row, a Record; None without a row."""

    async def fetchval(self, query: str, *args: object) -> Any:  # a value of any type of Postgres
        """Return the first column of the first row; None without a row."""


class Connection(Queries, Protocol):
    """One connection, of a pool or on its own."""

    def transaction(
        self, *, isolation: Literal["repeatable_read"] | None = None, readonly: bool = False
    ) -> AbstractAsyncContextManager[object]:
        """Return a transaction, to be entered with `async with`."""

    def cursor(self, query: str, *args: object, prefetch: int) -> "AsyncIterable[asyncpg.Record]":
        """Return the rows of a statement, read in pieces of `prefetch`. It needs a transaction."""


class Pool(Queries, Protocol):
    """Connections that tasks share."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Return a connection, to be held with `async with`."""


def create_pool(settings: Settings, url: str | None = None) -> "asyncpg.Pool[asyncpg.Record]":
    """Return a pool that connects at first use, so that a service starts while Postgres is away. `url` names another
    database. Await it, or use it with `async with`."""
    if (url := url or settings.database_url) is None:
        raise ValueError("TALLYBOOK_DATABASE_URL is not set; `tallybook up` sets it for its children")
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=_CONNECTIONS,
        timeout=_CONNECT_S,
        command_timeout=settings.postgres_timeout_s,
        statement_cache_size=settings.postgres_statement_cache,
        reset=_leave_as_it_is,
        server_settings={
            "application_name": "tallybook",
            "timezone": "UTC",
            "statement_timeout": str(int(settings.postgres_timeout_s * 1000)),
            "jit": "off",
        },
    )


async def rows(pool: Queries, sql: str, *arguments: object) -> "list[asyncpg.Record]":
    """Return all rows of a statement that a client asks for. Raise PostgresUnavailable."""
    try:
        return await pool.fetch(sql, *arguments)
    except POSTGRES_ERRORS as error:
        raise PostgresUnavailable("Postgres does not answer now. Repeat the request later.") from error


async def _leave_as_it_is(connection: object) -> None:
    """Do nothing: no statement changes its session, so a connection needs no round trip after each use."""


def statement(file: str) -> str:
    """Return the text of a `.sql` file, named from the root of the packages: `aggregator/clicks/minutes.upsert.sql`."""
    return (Path(__file__).parent.parent.parent / file).read_text()
