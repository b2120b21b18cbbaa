"""Slots: a worker that takes the place of a dead one goes on with its figures, and files do not multiply."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.registry import CollectorRegistry

from shared.telemetry.metric_slots import Slot
from tallybook.metrics.endpoint import Files, prepare
from tests.harness.process import ROOT, end, free_port

COUNT = """
import sys
from shared.telemetry import metrics
metrics.CLICKS_DUPLICATE.inc()
metrics.HTTP_REQUESTS.labels("/stats", "POST", "200").inc(2)
metrics.HTTP_SECONDS.labels("/stats").observe(0.3)
metrics.OPEN_MINUTES.set(float(sys.argv[1]))
print("counted", flush=True)
sys.stdin.read()
"""
#: Respawns 50 workers one after the other, each of which counts once and is killed in the middle.
RESPAWN = """
import os, signal
from prometheus_client import Counter
from shared.telemetry.metric_slots import use_slots
for _ in range(50):
    if not (child := os.fork()):
        use_slots(os.environ)
        Counter("respawned_total", "Respawned workers").inc()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""
#: A process that has a slot forks: both count.
FORK = """
import os
from shared.telemetry import metrics
metrics.CLICKS_DUPLICATE.inc()
if not os.fork():
    metrics.CLICKS_DUPLICATE.inc(10)
    os._exit(0)
os.wait()
metrics.CLICKS_DUPLICATE.inc(100)
"""
#: A process without a slot forks its workers, as Granian does.
FORK_BEFORE = """
import os
from shared.telemetry import metric_slots
if not os.fork():
    from shared.telemetry import metrics
    metrics.CLICKS_DUPLICATE.inc()
    os._exit(0)
os.wait()
"""

#: Two Granian workers that count once each when they start and say who they are.
GRANIAN_APP = """
import os
from shared.telemetry import metrics
def create():
    metrics.CLICKS_DUPLICATE.inc()
    os.write(1, f"worker {os.getpid()}\\n".encode())  # two workers share the pipe: one write, or lines mix
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    return app
"""
GRANIAN = """
import sys
from granian.server import Server
Server("counting_app:create", factory=True, port=int(sys.argv[1]), interface="asginl", workers=2,
       respawn_failed_workers=True, respawn_interval=0.1, workers_kill_timeout=5).serve()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


def environment(folder: Path, role: str = "ingest") -> dict[str, str]:
    return {**os.environ, "TALLYBOOK_METRICS_DIR": str(folder), "TALLYBOOK_METRICS_ROLE": role}


def run(folder: Path, code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(folder), check=True)


@contextmanager
def worker(folder: Path, value: int = 0, role: str = "ingest") -> Iterator["subprocess.Popen[str]"]:
    """A process that has counted and waits; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", COUNT, str(value)],
        cwd=ROOT,
        env=environment(folder, role),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "counted\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stdin.close()


def figures(folder: Path) -> dict[str, float]:
    """name -> value of all samples, summed over labels."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Files(folder))
    sums: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            assert "pid" not in sample.labels
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def slots(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.lock")}


def test_a_respawned_worker_goes_on_with_the_figures_of_the_killed_one(folder: Path) -> None:
    for _ in range(3):
        with worker(folder):
            pass
    shown = figures(folder)
    assert shown["tallybook_clicks_duplicate_total"] == 3
    assert shown["tallybook_http_requests_total"] == 6
    assert shown["tallybook_http_request_duration_seconds_count"] == 3
    assert slots(folder) == {"ingest-0"}


def test_fifty_respawns_leave_the_files_of_one_worker(folder: Path) -> None:
    run(folder, RESPAWN)
    assert figures(folder)["respawned_total"] == 50
    assert sorted(path.name for path in folder.iterdir()) == ["counter_ingest-0.db", "ingest-0.lock"]


def test_live_workers_have_slots_of_their_own_and_their_figures_are_added(folder: Path) -> None:
    with worker(folder), worker(folder), worker(folder, role="aggregator"):
        assert slots(folder) == {"ingest-0", "ingest-1", "aggregator-0"}
        assert figures(folder)["tallybook_clicks_duplicate_total"] == 3


def test_the_free_slot_in_the_middle_is_taken_first(folder: Path) -> None:
    with worker(folder) as first, worker(folder):
        first.kill()
        first.wait()
        with worker(folder):
            assert slots(folder) == {"ingest-0", "ingest-1"}
            assert figures(folder)["tallybook_clicks_duplicate_total"] == 3


def test_a_gauge_shows_what_was_set_last(folder: Path) -> None:
    with worker(folder, 7), worker(folder, 4):
        assert figures(folder)["tallybook_open_minutes"] == 4


def test_after_a_fork_both_count_and_neither_overwrites_the_other(folder: Path) -> None:
    run(folder, FORK)
    assert figures(folder)["tallybook_clicks_duplicate_total"] == 111
    assert slots(folder) == {"ingest-0", "ingest-1"}


def test_a_parent_that_only_forks_workers_wastes_no_slot(folder: Path) -> None:
    run(folder, FORK_BEFORE)
    assert slots(folder) == {"ingest-0"}


def test_workers_of_granian_that_are_killed_are_replaced_in_their_slots(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "counting_app.py").write_text(GRANIAN_APP)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", GRANIAN, str(port)],
        cwd=tmp_path,
        env=environment(folder) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    started = (int(line.split()[1]) for line in server.stdout if line.startswith("worker "))
    try:
        for pid in [next(started), next(started)]:
            os.kill(pid, signal.SIGKILL)
            next(started)  # its successor
        assert figures(folder)["tallybook_clicks_duplicate_total"] == 4
        assert slots(folder) == {"ingest-0", "ingest-1"}
    finally:
        end(server, 30)
        server.stdout.close()


def test_damaged_files_of_a_slot_do_not_stop_the_next_worker(folder: Path) -> None:
    (folder / "counter_ingest-0.db").write_bytes(b"\xff" * 100)
    (folder / "histogram_ingest-0.db").write_bytes(b"")
    with worker(folder):
        assert figures(folder)["tallybook_clicks_duplicate_total"] == 1


def test_a_role_that_no_file_name_can_hold_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="TALLYBOOK_METRICS_ROLE"):
        Slot(folder, "ingest_0")
