"""What ends a start with a sentence, before a service runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from shared.counting.lane import Lane
from shared.settings import Settings
from shared.stores.durability import Finding
from tallybook.cli import main
from tallybook.exits import Exit, Stop
from tallybook.stack import supervisor
from tallybook.stack.launcher import Identity
from tallybook.stack.services import child_environ
from tests.harness.process import ROOT, free_port


@pytest.mark.parametrize("store", ["redis", "postgres", "clickhouse"])
async def test_an_embedded_server_that_cannot_be_reached_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    async def examined(_: Settings, *, accepts: bool) -> list[Finding]:
        return [Finding(store, "unreachable", "does not answer: ConnectionError")]

    monkeypatch.setattr(supervisor, "examine", examined)
    nowhere = Settings(database_url="postgresql://u@127.0.0.1:1/x")
    await supervisor._prepare(nowhere, [], accepts=True)  # one that is away is no reason not to start
    with pytest.raises(Stop, match=f"The embedded {store} runs, but does not answer") as caught:
        await supervisor._prepare(nowhere, [store], accepts=True)
    assert caught.value.code is Exit.SERVER_FAILED


def test_a_service_that_runs_as_another_user_has_a_home_that_it_may_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    settings = Settings(data_dir="/data")
    assert child_environ(settings, Identity("drop", 1, 1))["HOME"] == "/data"
    assert child_environ(settings)["HOME"] == "/root"


def test_another_system_is_told_to_use_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    done = CliRunner().invoke(main, ["up"])
    assert done.exit_code == Exit.WRONG_PYTHON
    assert "freebsd14: use containers, `docker compose up --build`" in done.output


@pytest.mark.parametrize("command", ["up", "check"])
def test_fewer_shards_than_lanes_began_with_end_a_start_before_anything_runs(tmp_path: Path, command: str) -> None:
    Lane.acquire(tmp_path / "lanes", minute_s=60, pages=4, entries=16, shards=4).close()
    code = (
        "import sys; from tallybook.stack.embedded import EmbeddedServers; from tallybook.cli import main\n"
        "EmbeddedServers.start = lambda *_: sys.exit(99)\n"
        "main()"
    )
    nowhere = {"TALLYBOOK_DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "TALLYBOOK_REDIS_URL": "redis://127.0.0.1:1"}
    environ = {"TALLYBOOK_DATA_DIR": str(tmp_path), "TALLYBOOK_SHARDS": "1", "TALLYBOOK_METRICS_PORT": "0"}
    environ |= {"TALLYBOOK_PORT": str(free_port())} | nowhere
    done = subprocess.run(
        [sys.executable, "-c", code, command],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.SETTINGS, done.stderr
    assert f"TALLYBOOK_SHARDS=1 is less than the 4 that lanes in {tmp_path}/lanes began with" in done.stderr
