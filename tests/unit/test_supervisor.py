"""What ends a start with a sentence, before a service runs."""

import sys

import pytest
from click.testing import CliRunner

from shared.durability import Finding
from shared.settings import Settings
from tallybook import supervisor
from tallybook.cli import main
from tallybook.exits import Exit, Stop
from tallybook.launcher import Identity
from tallybook.services import child_environ


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
