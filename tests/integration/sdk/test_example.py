"""examples/django, started for real: its own tests, and a user whose event Celery Beat brings into ClickHouse."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.settings import Settings
from shared.stores import clickhouse
from tests.harness.process import ROOT
from tests.harness.wait import until

EXAMPLE = ROOT / "examples/django"

#: Each test starts Django several times, and one of them Celery, too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
async def environ(
    postgres_url: str, database: str, redis_url: str, clickhouse_settings: Settings
) -> AsyncIterator[dict[str, str]]:
    """Of the example: an empty database of its own, and a Valkey."""
    connection = await asyncpg.connect(postgres_url)
    name = f"example_{os.getpid()}"
    await connection.execute(f"CREATE DATABASE {name}")
    yield {
        **os.environ,
        "DATABASE_URL": database.replace(database.partition("?")[0].rpartition("/")[2], name, 1),
        "REDIS_URL": redis_url.replace("unix://", "redis+socket://"),
        "TALLYBOOK_CLICKHOUSE_URL": clickhouse_settings.clickhouse_url or "",
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def run(environ: dict[str, str], *command: str) -> str:
    """What a command of the example printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command), cwd=EXAMPLE, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_its_own_tests_pass(environ: dict[str, str]) -> None:
    assert "3 passed" in await run(environ, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey")


async def test_its_migrations_can_be_undone_and_done_again(environ: dict[str, str]) -> None:
    for target in ((), ("tallybook_outbox", "zero"), (), ("tallybook_outbox", "0001"), ()):
        await run(environ, "manage.py", "migrate", "-v0", *target)
    assert "No planned migration" in await run(environ, "manage.py", "migrate", "--plan")


async def test_a_user_is_told_of_by_celery_beat(
    environ: dict[str, str], clickhouse_settings: Settings, tmp_path: Path
) -> None:
    await run(environ, "manage.py", "migrate", "-v0")
    log = tmp_path / "celery.log"
    arguments = ("--beat", "--loglevel=info", "--concurrency=2", f"--schedule={tmp_path / 'beat'}")
    with log.open("wb") as out:
        celery = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "celery", "-A", "relay", "worker", *arguments),
            cwd=EXAMPLE,
            env=environ,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        emails = [f"user-{number}@example.org" for number in range(5)]
        await run(environ, "manage.py", "create_user", *emails)
        async with clickhouse.connect(clickhouse_settings) as tables:

            async def told() -> Any:
                assert celery.returncode is None, log.read_text()
                return (await tables.query("SELECT count() FROM event_log"))[0][0] >= len(emails)

            await until(told, patience_s=300)
            rows = await tables.query(
                "SELECT event_type, toString(event_context.email) FROM event_log ORDER BY outbox_id"
            )
        assert rows == [("user_created", email) for email in emails]
    finally:
        celery.terminate()  # the first process alone: it lets its workers end what they do
        await celery.wait()
    assert "Traceback" not in log.read_text(), log.read_text()
