"""Work on Postgres for a command: one connection, and one sentence when it fails."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shared.settings import Settings, load
from tallybook.exits import Exit, Stop
from tallybook.output import say

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

_T = TypeVar("_T")


def with_database(work: "Callable[[Connection], Awaitable[_T]]", data_dir: str | None) -> _T:
    """Do the work with a connection to the database of the settings, or of the running stack. Raises Stop."""
    return connected(work, settings_of(data_dir).database_url)


def settings_of(data_dir: str | None) -> Settings:
    """Return the settings, with addresses of the running stack where they name none. Raises Stop."""
    from tallybook.stack.running_stack import reached

    return reached(load(data_dir=data_dir))


def written(work: "Callable[[Connection], Awaitable[_T]]", data_dir: str | None) -> _T:
    """Do the work as `with_database` does, and report what does not fit into the table. Raises BadParameter."""
    try:
        return with_database(work, data_dir)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def say_all(
    page: "Callable[[Connection, _T], Awaitable[Sequence[Any]]]",
    first: _T,
    line: Callable[[Any], str],
    data_dir: str | None,
) -> None:
    """Print a line for each row of a table, page by page from behind the key `first`. A row begins with its key."""

    async def work(connection: "Connection") -> None:
        after = first
        while rows := await page(connection, after):
            for row in rows:
                say(line(row))
            after = rows[-1][0]

    with_database(work, data_dir)


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
        raise Stop(
            Exit.UNREACHABLE, f"Postgres fails ({type(error).__name__}): check TALLYBOOK_DATABASE_URL."
        ) from None
