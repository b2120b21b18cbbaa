"""`tallybook outbox` on real stores: what it says, and that a dead letter is published, or given up, once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
import pytest
from click.testing import CliRunner, Result

from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from tallybook.cli import main
from tallybook.exits import Exit
from tallybook_sdk.outbox.event import CONTEXT_MAX_BYTES
from tests.harness.subjects.outbox import Stage

_T = TypeVar("_T")
BAD = '{"a.b": 1, "a": {"b": 2}}'


@pytest.fixture
def stores(database: str, clickhouse_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    assert clickhouse_settings.clickhouse_url
    monkeypatch.setenv("TALLYBOOK_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TALLYBOOK_OUTBOX_URL", database)
    monkeypatch.setenv("TALLYBOOK_CLICKHOUSE_URL", clickhouse_settings.clickhouse_url)
    return msgspec.structs.replace(clickhouse_settings, database_url=database)


def staged(stores: Settings, work: Callable[[Stage], Awaitable[_T]]) -> _T:
    """Do something with the outbox."""

    async def run() -> _T:
        async with create_pool(stores) as pool, clickhouse.connect(stores) as tables:
            return await work(Stage(str(stores.database_url), pool, tables))

    return asyncio.run(run())


def poison(stores: Settings, letters: int) -> list[str]:
    """Dead letters among other events; answers the ids of their events."""

    async def work(stage: Stage) -> list[str]:
        for _ in range(letters):
            await stage.publish(2)
            await stage.poison()
        await stage.relayed(rows=50)
        rows = await stage.pool.fetch("SELECT event_id FROM tallybook_outbox_dead ORDER BY buried_at, xid, id")
        return [str(row["event_id"]) for row in rows]

    found = staged(stores, work)
    assert len(found) == letters
    return found


def rows(stores: Settings) -> list[Any]:
    """What ClickHouse has of events that were bad: ids and contexts, after all is relayed."""

    async def work(stage: Stage) -> list[Any]:
        await stage.relayed()
        sql = "SELECT toString(event_id), toString(event_context) FROM event_log WHERE event_type = 'bad' ORDER BY 2, 1"
        return [tuple(row) for row in await stage.tables.query(sql)]

    return staged(stores, work)


def run(*arguments: str, stdin: str | None = None) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, ("outbox", *arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("status", "--json").stdout)
    return found


def test_the_status_says_what_waits_and_what_is_wrong(stores: Settings) -> None:
    assert run("status").stdout.splitlines()[0] == "waiting: 0, the oldest for 0.0 s"
    poison(stores, 2)
    staged(stores, lambda stage: stage.publish(3))
    sql = (
        "UPDATE tallybook_outbox_cursor"
        " SET trouble = E'60: gone\\n', owner = 'me', lease_until = now() + $1 * interval '1 s'"
    )
    staged(stores, lambda stage: stage.pool.execute(sql, 60.0))
    found = status()
    assert found.pop("oldestS") > 0
    expected = {"waiting": 3, "stored": 4, "deadLettered": 2, "deadLetters": 2, "pending": 0, "astray": 0}
    assert found | expected | {"relay": "me", "trouble": "60: gone\n", "isYounger": False} == found
    said = run("status").stdout
    assert "stored: 4, dead-lettered: 2, dead letters: 2\nrelay: me, pending: 0, astray: 0\n" in said
    assert said.endswith("trouble: 60: gone \n")
    staged(stores, lambda stage: stage.pool.execute(sql, -1.0))
    assert status()["relay"] is None


def test_letters_are_listed_and_shown(stores: Settings) -> None:
    first, second = poison(stores, 2)
    lines = [line.split("\t") for line in run("dead", "list").stdout.splitlines()]
    assert [(line[0], line[2], line[3]) for line in lines] == [(first, "bad", "117"), (second, "bad", "117")]
    [one] = run("dead", "list", "--most", "1", "--json").stdout.splitlines()
    assert json.loads(one)["eventId"] == first
    shown = run("dead", "show", second)
    assert shown.stdout == BAD + "\n"
    assert json.loads(shown.stderr)["replayedAt"] is None
    assert run("dead", "show", str(uuid4())).exit_code == Exit.FAILED
    assert run("dead", "show", "x").exit_code == Exit.USAGE


def test_a_mended_event_is_published_once_under_its_id(stores: Settings, tmp_path: Path) -> None:
    first, second = poison(stores, 2)
    mended = tmp_path / "mended.json"
    mended.write_text('{\n "a": {"b": 2}\n}\n')
    for replayed in (1, 0):
        assert run("dead", "replay", first, "--file", str(mended)).stdout == f"replayed: {replayed}\n"
    assert rows(stores) == [(first, '{"a":{"b":2}}')]
    assert [line.split("\t")[0] for line in run("dead", "list").stdout.splitlines()] == [second]
    assert len(run("dead", "list", "--settled").stdout.splitlines()) == 2
    # As it was it becomes a letter again, and that one can be mended.
    assert run("dead", "replay", "--all").stdout == "replayed: 1\n"
    assert rows(stores) == [(first, '{"a":{"b":2}}')]
    assert run("dead", "replay", second, "--file", "-", stdin="{}").stdout == "replayed: 1\n"
    assert rows(stores) == [(first, '{"a":{"b":2}}'), (second, "{}")]
    assert (status()["deadLettered"], status()["deadLetters"]) == (3, 0)


@pytest.mark.parametrize(
    "context",
    ["", "[]", "{", "null", "\xff", "[" * 100_000, json.dumps({"a": "x" * CONTEXT_MAX_BYTES})],
    ids=["nothing", "list", "cut", "null", "text", "deep", "large"],
)
def test_what_is_no_context_changes_nothing(stores: Settings, context: str) -> None:
    [one] = poison(stores, 1)
    assert run("dead", "replay", one, "--file", "-", stdin=context).exit_code == Exit.USAGE
    assert run("dead", "show", one).stdout == BAD + "\n"
    assert status()["deadLetters"] == 1


def test_letters_are_given_up(stores: Settings) -> None:
    first, second, third = poison(stores, 3)
    run("dead", "replay", third)
    assert run("dead", "drop", first, first, third, str(UUID(int=1))).stdout == "dropped: 1\n"
    assert run("dead", "drop", first).stdout == "dropped: 0\n"
    assert [line.split("\t")[0] for line in run("dead", "list").stdout.splitlines()] == [second]
    assert status()["deadLettered"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("dead", "replay"),
        ("dead", "replay", "--all", str(UUID(int=1))),
        ("dead", "replay", "--all", "--file", "-"),
        ("dead", "drop"),
        ("dead", "list", "--most", "0"),
        ("rebase",),
        ("rebase", "--opened-at", "yesterday"),
        ("rebase", "--opened-at", "2026-03-01T12:00:00"),
    ],
)
def test_what_cannot_be_meant_is_a_matter_of_usage(stores: Settings, arguments: tuple[str, ...]) -> None:
    assert run(*arguments, stdin="{}").exit_code == Exit.USAGE


def test_an_outbox_in_a_younger_cluster_is_rebased_and_no_other(stores: Settings) -> None:
    async def moved(stage: Stage) -> str:
        await stage.publish(4)
        await stage.relayed()
        await stage.publish(3)
        later = "(xid::text::bigint + 1000000)::text::xid8"
        await stage.pool.execute(f"UPDATE tallybook_outbox SET xid = {later}")
        await stage.pool.execute(f"UPDATE tallybook_outbox_cursor SET xid = {later}")
        at = await stage.pool.fetchval("SELECT clock_timestamp()")
        await stage.publish(2)
        return str(at.isoformat())

    async def stored(stage: Stage) -> int:
        await stage.relayed()
        [[found, different]] = await stage.tables.query("SELECT count(), uniqExact(event_id) FROM event_log")
        assert found == different
        return int(found)

    refused = run("rebase", "--opened-at", "2026-03-01T12:00:00Z", "--yes")
    assert (refused.exit_code, "nothing to rebase" in refused.stderr) == (Exit.FAILED, True)
    opened_at = staged(stores, moved)
    assert status()["isYounger"]
    assert "tallybook outbox rebase" in run("status").stdout
    assert run("rebase", "--opened-at", opened_at, stdin="n\n").exit_code == Exit.FAILED
    hold = "UPDATE tallybook_outbox_cursor SET owner = 'me', lease_until = now() + interval '1 min'"
    staged(stores, lambda stage: stage.pool.execute(hold))
    assert "me" in run("rebase", "--opened-at", opened_at, "--yes").stderr
    assert status()["isYounger"]
    staged(stores, lambda stage: stage.end_leases())
    assert run("rebase", "--opened-at", opened_at, "--yes").stdout == "waiting: 5\n"
    assert staged(stores, stored) == 9
    assert run("rebase", "--opened-at", opened_at, "--yes").exit_code == Exit.FAILED


def test_without_postgres_nothing_is_said_to_be_done(stores: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_OUTBOX_URL", "postgresql://127.0.0.1:1/none")
    for arguments in (("status",), ("dead", "list"), ("dead", "replay", "--all"), ("dead", "drop", str(UUID(int=1)))):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (Exit.UNREACHABLE, "")
