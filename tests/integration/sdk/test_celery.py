"""Celery's children end without atexit after some tasks. What they recorded is sent all the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallybook_sdk.testing import FakeServer
from tests.harness.process import ROOT, end
from tests.harness.wait import wait_for

TASKS = """
import os
from celery import Celery
from tallybook_sdk import Client

app = Celery(broker={broker!r})
tally = Client({url!r}, batch_age_s=60)

@app.task
def buy(number):
    tally.event("purchase", number)
    tally.click(number % 3 + 1)
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as one:
        yield one


def test_children_of_celery_send_before_they_end(server: FakeServer, redis_url: str, tmp_path: Path) -> None:
    broker = redis_url.replace("unix://", "redis+socket://")
    (tmp_path / "tasks.py").write_text(TASKS.format(broker=broker, url=server.url))
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    sent = subprocess.run(
        [sys.executable, "-c", "import tasks\nfor n in range(30): tasks.buy.delay(n)"],
        env=environ,
        check=True,
        cwd=tmp_path,
    )
    assert sent.returncode == 0
    log = tmp_path / "celery.log"
    with log.open("ab") as out:
        celery = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "tasks", "worker", "--concurrency=2", "--loglevel=info"),
                *("--max-tasks-per-child=4", "--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            env=environ,
            cwd=tmp_path,
            stdout=out,
            stderr=out,
        )
    try:
        # a batch waits a minute, so what comes now comes from children that have ended
        wait_for(lambda: len(server.events) >= 20, "events of children that have ended", 120)
        wait_for(lambda: log.read_text().count(" succeeded in ") == 30, "the last task", 120)
    finally:
        code = end(celery)
    assert code == 0, log.read_text()
    assert sorted(int(event["user_id"]) for event in server.events.values()) == list(range(30))
    assert server.clicks == {1: 10, 2: 10, 3: 10}
