"""Databases of one test or of one file, on the servers of the session."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse, connect_without_database
from tests.harness.services import with_database

_numbers = itertools.count()
#: Servers of ClickHouse that have a template.
_migrated: set[str] = set()
#: How its tables were made, and then the views upon them.
_TABLES = """
SELECT create_table_query FROM system.tables WHERE database = {database:String} ORDER BY engine LIKE '%View', name
"""


@asynccontextmanager
async def copied(postgres_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a copy of a migrated database of Postgres."""
    name = f"tallybook_test_{os.getpid()}_{next(_numbers)}"
    await execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield with_database(postgres_url, name)
    await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def migrated(clickhouse_url: str) -> AsyncIterator[Settings]:
    """Settings of a migrated database of ClickHouse: a copy of one that was migrated once, without its rows. To
    truncate one costs as much, and leaves what a test did to its tables."""
    name = f"tallybook_test_{os.getpid()}_{next(_numbers)}"
    one = Settings(clickhouse_url=f"{clickhouse_url}/{name}")
    async with connect_without_database(one) as client:
        await _copy(client, await _template(clickhouse_url), name)
        yield one
        await client.execute(f"DROP DATABASE {name} SYNC")


async def _template(clickhouse_url: str) -> str:
    """The name of a migrated database of this server and process."""
    name = f"tallybook_template_{os.getpid()}"
    if clickhouse_url not in _migrated:
        await migrate_clickhouse(Settings(clickhouse_url=f"{clickhouse_url}/{name}"))
        _migrated.add(clickhouse_url)
    return name


async def _copy(client: ClickHouse, template: str, name: str) -> None:
    await client.execute(f"CREATE DATABASE {name} ENGINE = Atomic")
    for [text] in await client.query(_TABLES, {"database": template}):
        await client.execute(str(text).replace(f"{template}.", f"{name}."))
    await client.execute(f"INSERT INTO {name}.schema_migrations SELECT * FROM {template}.schema_migrations")


async def execute(url: str, sql: str) -> None:
    """Run a statement over a connection of its own."""
    async with asyncpg.create_pool(url, min_size=0, max_size=1) as pool:
        await pool.execute(sql)
