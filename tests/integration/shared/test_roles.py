"""Roles of Postgres: what the owner's migrations leave to the service and to dashboards."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.migrations.migrate_postgres import migrate

SERVICE, DASHBOARD = "tallybook_service", "tallybook_dashboard"


@pytest.fixture
async def owner(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """The owner's connection, beside roles without any rights."""
    connection = await asyncpg.connect(database)
    for role in (SERVICE, DASHBOARD):
        await connection.execute(f"CREATE ROLE {role}")
    yield connection
    await connection.execute("RESET ROLE")
    for role in (SERVICE, DASHBOARD):
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()


async def test_the_service_reads_and_the_dashboard_sees_minutes_of_clicks(
    owner: "asyncpg.Connection[asyncpg.Record]", database: str
) -> None:
    await owner.execute("CREATE TABLE of_a_later_version (x int)")
    assert await migrate(database) == []
    tables = [row[0] for row in await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert {"api_keys", "click_stats", "of_a_later_version"} < set(tables)

    async def held(role: str, right: str) -> set[str]:
        query = "SELECT has_table_privilege($1, $2, $3)"
        return {table for table in tables if await owner.fetchval(query, role, table, right)}

    assert await held(SERVICE, "SELECT") == set(tables)
    assert await held(DASHBOARD, "SELECT") == {"click_stats"}
    of_sessions = {"INSERT": {"sessions"}, "DELETE": {"sessions"}, "UPDATE": {"sessions_version"}, "TRUNCATE": set()}
    for right, written in of_sessions.items():
        assert await held(SERVICE, right) == written
        assert await held(DASHBOARD, right) == set()
    await owner.execute(f"SET ROLE {SERVICE}")
    for sql in (
        "SELECT version FROM sessions_version FOR UPDATE",
        "INSERT INTO sessions (hash, subject, scopes, expires_at) VALUES (sha256('x'), 'a', '{admin}', now())",
        "DELETE FROM sessions",
    ):
        await owner.execute(sql)
    await owner.execute("UPDATE api_keys SET last_used_at = now()")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.execute("UPDATE api_keys SET scopes = '{admin}'")


async def test_a_role_that_may_only_read_finds_the_schema_in_order(
    owner: "asyncpg.Connection[asyncpg.Record]", database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(database)
    connect = asyncpg.connect

    async def as_service(*arguments: object, **options: object) -> object:
        connection = await connect(*arguments, **options)
        await connection.execute(f"SET ROLE {SERVICE}")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", as_service)
        assert await migrate(database) == []
