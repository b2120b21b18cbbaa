"""Write any number of rows into a registry, all or none."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import asyncpg

#: Rows that travel in one statement.
_CHUNK = 10_000


async def put_all(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str, rows: Iterable[tuple[Any, str]]
) -> int:
    """Write all (id, text) in one transaction and return how many rows are new or changed.

    The last text of an id that is given twice counts.
    """
    changed, given = 0, iter(rows)
    async with connection.transaction():
        while chunk := dict(islice(given, _CHUNK)):
            changed += counted(await connection.execute(statement, list(chunk), list(chunk.values())))
    return changed


def counted(status: str) -> int:
    """Return the number at the end of a command tag such as `DELETE 3`."""
    return int(status.rpartition(" ")[2])
