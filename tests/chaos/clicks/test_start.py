"""Deaths and races at the start: in the middle of a migration, and two stacks on one folder."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from shared.migrations.migrate_postgres import migrate
from tallybook.exits import Exit
from tests.harness import services
from tests.harness.process import environ
from tests.harness.stacks import Stack
from tests.harness.wait import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
async def empty_database(postgres_url: str):  # type: ignore[no-untyped-def]
    """A database without a table."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE DATABASE tallybook_migration")
    yield services.with_database(postgres_url, "tallybook_migration")
    await connection.execute("DROP DATABASE tallybook_migration WITH (FORCE)")
    await connection.close()


async def test_a_migration_that_dies_is_done_again_from_where_it_was(empty_database: str) -> None:
    code = (
        "import asyncio; from shared.migrations.migrate_postgres import migrate; "
        f"asyncio.run(migrate({empty_database!r}))"
    )
    deaths = 0
    for chance in (1.0, *[0.6] * 40):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code],
            env=environ() | {"TALLYBOOK_CRASH": f"migrating={chance}"},
            capture_output=True,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        deaths += 1
    assert deaths
    assert await migrate(empty_database) == []
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM click_stats") == 0
    finally:
        await connection.close()


def test_of_two_stacks_that_race_for_a_folder_one_runs(tmp_path: Path) -> None:
    one, other = Stack(tmp_path / "d"), Stack(tmp_path / "d")
    try:
        processes = [one.launch(), other.launch()]
        wait_for(lambda: any(process.poll() is not None for process in processes), "the end of one of them")
        ended = [process.poll() for process in processes]
        assert sorted(ended, key=str) == [int(Exit.FOLDER_IN_USE), None]
        winner = one if ended[0] is None else other
        wait_for(winner.is_ready, "the ready line")
        assert winner.stop() == 0
    finally:
        one.end()
        other.end()
