"""Databases of one test or of one file, on the servers of the session."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.settings import Settings
from shared.stores.clickhouse import connect_without_database
from tests.harness.services import with_database

_numbers = itertools.count()


@asynccontextmanager
async def copied(postgres_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a copy of a migrated database of Postgres."""
    name = f"tallybook_test_{os.getpid()}_{next(_numbers)}"
    await execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield with_database(postgres_url, name)
    await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def migrated(clickhouse_url: str) -> AsyncIterator[Settings]:
    """Settings of a migrated database of ClickHouse. To truncate one costs as much as to make another."""
    name = f"tallybook_test_{os.getpid()}_{next(_numbers)}"
    one = Settings(clickhouse_url=f"{clickhouse_url}/{name}")
    await migrate_clickhouse(one)
    yield one
    async with connect_without_database(one) as client:
        await client.execute(f"DROP DATABASE {name} SYNC")


async def execute(url: str, sql: str) -> None:
    """Run a statement over a connection of its own."""
    async with asyncpg.create_pool(url, min_size=0, max_size=1) as pool:
        await pool.execute(sql)
