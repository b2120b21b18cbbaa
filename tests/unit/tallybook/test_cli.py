"""Commands say in one sentence what is wrong, and end with a code that has a name."""

import fcntl
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis.exceptions import ResponseError

from shared.settings import Settings
from shared.stores.durability import Finding
from tallybook.cli import main
from tallybook.exits import Exit
from tallybook.stack import check
from tallybook.stack.check import verdict
from tallybook.stack.data_folder import DataFolder

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environ: str) -> Result:
    """The command's outcome, which is never a traceback."""
    result = CliRunner().invoke(main, arguments, env=environ)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Path]:
    """A data folder on which a stack seems to run."""
    note = {
        "url": "http://127.0.0.1:1",
        "redis_url": "unix:///run/here/redis.sock",
        "database_url": "postgresql://tally:s%20ecret@/clicks?host=/run/here",
    }
    DataFolder(tmp_path).write("stack.json", note)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path


def test_every_command_explains_itself() -> None:
    for name in main.commands:
        result = run(name, "--help")
        assert result.exit_code == Exit.OK
        assert len(result.output.splitlines()) > 4, name


def test_the_version_is_the_packages() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert version[1] in run("--version").output


@pytest.mark.parametrize("command", ["up", "ingest", "aggregate", "migrate", "check", "env", "accounting"])
def test_a_bad_setting_is_one_sentence_and_a_code(command: str) -> None:
    result = run(command, TALLYBOOK_LEDGER_DAYS="soon")
    assert result.exit_code == Exit.SETTINGS
    assert re.fullmatch(r"error: TALLYBOOK_LEDGER_DAYS=soon [^\n]+\n", result.stderr)


def test_a_command_line_that_cannot_be_read_is_usage() -> None:
    assert run("up", "--port", "http").exit_code == Exit.USAGE
    assert run("banners", "add", "007").exit_code == Exit.USAGE


@pytest.mark.parametrize("command", ["migrate", "check", "env"])
def test_without_a_stack_commands_say_how_to_get_one(command: str, tmp_path: Path) -> None:
    result = run(command, "--data-dir", str(tmp_path))
    assert result.exit_code == Exit.NOT_RUNNING
    assert "start one" in result.stderr


def test_accounting_of_a_service_that_is_not_there_is_a_code(stack: Path) -> None:
    result = run("accounting", "--data-dir", str(stack))
    assert result.exit_code == Exit.NOT_RUNNING
    assert "http://127.0.0.1:1/accounting does not answer" in result.stderr


def test_a_note_without_its_owner_is_no_stack(tmp_path: Path) -> None:
    DataFolder(tmp_path).write("stack.json", {"url": "http://127.0.0.1:1"})
    assert run("env", "--data-dir", str(tmp_path)).exit_code == Exit.NOT_RUNNING


def test_env_speaks_to_the_shell_psql_and_redis_cli(stack: Path) -> None:
    lines = run("env", "--data-dir", str(stack)).output.splitlines()
    assert lines == [
        "export TALLY_URL=http://127.0.0.1:1",
        "export TALLYBOOK_REDIS_URL=unix:///run/here/redis.sock",
        "export TALLYBOOK_DATABASE_URL='postgresql://tally:s%20ecret@/clicks?host=/run/here'",
        "export REDISCLI='redis-cli -s /run/here/redis.sock'",
        "export PGHOST=/run/here",
        "export PGUSER=tally",
        "export PGPASSWORD='s ecret'",
        "export PGDATABASE=clicks",
    ]


def test_notes_can_be_read_by_their_owner_alone(stack: Path) -> None:
    assert (stack / "stack.json").stat().st_mode & 0o077 == 0


def test_stores_that_do_not_answer_are_unreachable(tmp_path: Path) -> None:
    result = run(
        *("check", "--json", "--data-dir", str(tmp_path)),
        TALLYBOOK_REDIS_URL=f"unix://{tmp_path}/none",
        TALLYBOOK_DATABASE_URL=f"postgresql://u@/db?host={tmp_path}",
    )
    assert result.exit_code == Exit.UNREACHABLE
    report = json.loads(result.stdout)
    assert report["exit"] == "UNREACHABLE"
    assert {"redis", "postgres"} <= {one["store"] for one in report["findings"] if one["level"] == "unreachable"}


@pytest.mark.parametrize(
    ("levels", "allow", "code"),
    [
        (["ok", "warning"], False, Exit.OK),
        (["unsafe"], False, Exit.UNSAFE),
        (["unsafe"], True, Exit.OK),
        (["unfit"], True, Exit.FOREIGN_DATA),
        (["unreachable"], False, Exit.UNREACHABLE),
        (["unreachable", "unsafe"], False, Exit.UNSAFE),
    ],
)
def test_the_code_says_the_worst_of_what_was_found(levels: list[str], allow: bool, code: Exit) -> None:
    findings = [Finding("redis", level, "x") for level in levels]  # type: ignore[arg-type]
    assert verdict(findings, allow_unsafe=allow) is code


def test_exit_codes_stand_in_the_manual() -> None:
    page = (ROOT / "docs/command-line.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", page, re.MULTILINE)
    assert rows == [(str(int(code)), code.name) for code in Exit]


def test_keys_of_tokens_that_cannot_be_used_end_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {"ALGORITHM": "RS256", "ISSUER": "https://id.example", "AUDIENCE": "tallybook", "KEYS": '{"keys": []}'}
    for name, value in values.items():
        monkeypatch.setenv(f"TALLYBOOK_JWT_{name}", value)
    result = CliRunner().invoke(main, ["up", "--data-dir", str(tmp_path)])
    assert result.exit_code == Exit.SETTINGS
    assert "TALLYBOOK_JWT_KEYS" in result.stderr


def test_a_service_that_cannot_start_says_so_in_json_where_logs_are_json(tmp_path: Path) -> None:
    urls = {"TALLYBOOK_REDIS_URL": "redis://127.0.0.1:9", "TALLYBOOK_DATABASE_URL": "postgresql://127.0.0.1:9/x"}
    environ = {"PATH": "/usr/bin:/bin", **urls, "TALLYBOOK_DATA_DIR": str(tmp_path), "TALLYBOOK_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "tallybook", "migrate"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.UNREACHABLE
    (line,) = (done.stdout + done.stderr).splitlines()
    said = json.loads(line)
    assert (said["event"], said["exit"]) == ("start_failed", "UNREACHABLE")
    assert said["reason"].endswith("check TALLYBOOK_DATABASE_URL.")


async def test_a_store_that_refuses_is_quoted_and_one_that_is_away_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(settings: Settings) -> list[Finding]:
        raise ResponseError("NOPERM this user has no permissions")

    async def is_away(settings: Settings) -> list[Finding]:
        raise OSError(111, "Connect call failed ('192.0.2.7', 5432)")

    monkeypatch.setattr(check, "_redis", refuses)
    monkeypatch.setattr(check, "_postgres", is_away)
    redis, postgres = await check.examine(Settings(), accepts=False)
    assert redis.message == "refuses: ResponseError: NOPERM this user has no permissions"
    assert postgres.message == "does not answer: ConnectionRefusedError"
