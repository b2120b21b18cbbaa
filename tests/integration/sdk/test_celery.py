"""The example of Celery: children end without atexit after some tasks, and what they recorded is sent all the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallybook_sdk.testing import FakeServer
from tests.harness.process import ROOT, end
from tests.harness.wait import wait_for

EXAMPLE = ROOT / "examples/celery"
#: The example, whose batches wait a minute: so what comes before comes from children that have ended.
SLOW = """
from tallybook_sdk.client import _Recorder
_Recorder.__init__.__kwdefaults__["batch_age_s"] = 60
from tasks import app, buy
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as one:
        yield one


def test_children_of_celery_send_before_they_end(server: FakeServer, redis_url: str, tmp_path: Path) -> None:
    broker = redis_url.replace("unix://", "redis+socket://")
    (tmp_path / "slow.py").write_text(SLOW)
    variables = {"PYTHONPATH": f"{tmp_path}:{EXAMPLE}", "CELERY_BROKER_URL": broker, "TALLYBOOK_URL": server.url}
    environ = {**os.environ, **variables}
    program = "import tasks\nfor n in range(30): tasks.buy.delay(str(n), 9.5, n % 3 + 1)"
    sent = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        check=True,
        cwd=tmp_path,
    )
    assert sent.returncode == 0
    log = tmp_path / "celery.log"
    with log.open("ab") as out:
        celery = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "slow", "worker", "--concurrency=2", "--loglevel=info"),
                *("--max-tasks-per-child=4", "--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            env=environ,
            cwd=tmp_path,
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(lambda: len(server.events) >= 20, "events of children that have ended", 120)
        wait_for(lambda: log.read_text().count(" succeeded in ") == 30, "the last task", 120)
    finally:
        code = end(celery)
    assert code == 0, log.read_text()
    assert sorted(int(event["user_id"]) for event in server.events.values()) == list(range(30))
    assert server.clicks == {1: 10, 2: 10, 3: 10}
