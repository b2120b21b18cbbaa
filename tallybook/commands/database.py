"""One connection to Postgres for a command, and what is said when there is none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from shared.settings import load
from tallybook.exits import Exit, Stop

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

_T = TypeVar("_T")


def with_database(work: "Callable[[Connection], Awaitable[_T]]", data_dir: str | None) -> _T:
    """Do the work with a connection to the database of the settings, or of the running stack. Raises Stop."""
    from tallybook.stack.running_stack import reached

    return connected(work, reached(load(data_dir=data_dir)).database_url)


def connected(work: "Callable[[Connection], Awaitable[_T]]", url: str | None) -> _T:
    """Do the work with a connection to that database. Raises Stop, and what the work raises."""
    import asyncpg

    from shared.stores.postgres import POSTGRES_ERRORS

    async def run() -> _T:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(run())
    except asyncpg.UndefinedTableError:
        raise Stop(Exit.FOREIGN_DATA, "The schema lacks a table: run `tallybook migrate`.") from None
    except POSTGRES_ERRORS as error:
        raise Stop(Exit.UNREACHABLE, f"Postgres does not answer as it has to ({type(error).__name__}).") from None
