"""`tallybook trackers` on a real Postgres: what it says, and what is in the table then."""

import json
import re
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from click.testing import CliRunner, Result

from shared.uuid7 import NIL
from tallybook.cli import main
from tallybook.exits import Exit
from tallybook.registries import trackers

ONE = "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e"
TWO = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.fixture
def database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", database)
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")
    return database


def run(*arguments: str, stdin: str | None = None) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, ("trackers", *arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_tracker_is_added_and_printed(database_url: str) -> None:
    added = run("add", "Spring sale")
    assert UUID(added.stdout.strip()).version == 7
    assert run("list").stdout == f"{added.stdout.strip()}\tSpring sale\n"
    assert run("add", "x", "--id", ONE.upper()).stdout == f"{ONE}\n"
    again = run("add", "y", "--id", ONE)
    assert again.exit_code == Exit.USAGE
    assert "there already" in again.stderr
    assert f"{ONE}\tx\n" in run("list").stdout


def test_a_value_is_changed(database_url: str) -> None:
    run("add", "x", "--id", ONE)
    assert run("set", ONE, "y").stdout == f"{ONE}\n"
    [line] = run("list", "--json").stdout.splitlines()
    shown = json.loads(line)
    assert (shown["id"], shown["value"]) == (ONE, "y")
    assert shown["updatedAt"] > shown["createdAt"]
    assert run("set", TWO, "y").exit_code == Exit.USAGE


@pytest.mark.parametrize("heading", ["", "id,value\n", "\ufefftracker_id,value\n"])
def test_a_file_is_imported_and_may_be_repeated(database_url: str, tmp_path: Path, heading: str) -> None:
    path = tmp_path / "trackers.csv"
    path.write_text(f'{heading}{ONE},"a ""b"", c"\n\n{TWO},\n', encoding="utf-8")
    assert run("import", str(path)).stdout == "added or changed: 2\n"
    assert run("import", str(path)).stdout == "added or changed: 0\n"
    assert run("import", "-", stdin=f"{ONE},new\n").stdout == "added or changed: 1\n"
    assert run("list").stdout == f"{ONE}\tnew\n{TWO}\t\n"


@pytest.mark.parametrize(
    "text", ["nothing,x\n", f"{ONE}\n", f"{ONE},a,b\n", f"{NIL},x\n", f"{ONE},{'x' * 5000}\n", f"{ONE},a\0b\n"]
)
def test_a_file_with_a_fault_changes_nothing(database_url: str, text: str) -> None:
    assert run("import", "-", stdin=f"{TWO},fine\n{text}").exit_code == Exit.USAGE
    assert run("list").stdout == ""


def test_what_is_no_uuid_is_usage(database_url: str) -> None:
    for arguments in (("add", "x", "--id", "7"), ("set", "7", "x"), ("add", "x", "--id", str(NIL))):
        assert run(*arguments).exit_code == Exit.USAGE


def test_without_postgres_it_is_a_sentence_and_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_DATABASE_URL", "postgresql://127.0.0.1:1/x")
    monkeypatch.setenv("TALLYBOOK_REDIS_URL", "redis://127.0.0.1:1")
    result = run("list")
    assert result.exit_code == Exit.UNREACHABLE
    assert re.fullmatch(r"error: Postgres [^\n]+\n", result.stderr)


async def test_every_change_raises_the_version_and_only_a_change_does(database: str) -> None:
    connection = await asyncpg.connect(database)

    async def version() -> int:
        number: int = await connection.fetchval("SELECT version FROM trackers_version")
        return number

    seen = [await version()]
    assert await trackers.add(connection, UUID(ONE), "x")
    seen.append(await version())
    assert await trackers.change(connection, UUID(ONE), "y")
    seen.append(await version())
    await connection.execute("DELETE FROM trackers")
    seen.append(await version())
    await connection.execute("TRUNCATE trackers")
    seen.append(await version())
    assert seen == sorted(set(seen))
    await connection.execute("UPDATE trackers SET created_at = now()")
    assert await version() == seen[-1]
    await connection.close()
