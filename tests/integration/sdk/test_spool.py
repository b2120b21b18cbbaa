"""A record whose call has returned survives kill -9 of its process, and counts once."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallybook_sdk import Client
from tallybook_sdk.sending.answers import Answer
from tallybook_sdk.sending.batch import CLICKS, EVENTS, Entry, Instant
from tallybook_sdk.sending.courier import Courier, Send
from tallybook_sdk.sending.queue import Bounds
from tallybook_sdk.sending.spool import Spool
from tallybook_sdk.testing import FakeServer
from tests.harness.process import ROOT, free_port


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as one:
        yield one


#: Where a process dies, as a patch of the client before it records.
POINTS = {
    "after the insert": "",
    "before the cut": "_File.cut = lambda *_: die()",
    "after the cut": "before = _File.cut\n_File.cut = lambda *a: (before(*a), die())",
    "before first_sent_ms": "_File.mark = lambda *_: die()",
    "after first_sent_ms": "before = _File.mark\n_File.mark = lambda *a: (before(*a), die())",
    "after the send": "before = HttpTransport.send\n"
    "def send(*a):\n answer = before(*a)\n return answer if a[1].method == 'GET' else die()\nHttpTransport.send = send",
    "before the answer is booked": "_File.done = lambda *_: die()",
    "after the answer is booked": "before = _File.done\n_File.done = lambda *a: (before(*a), die())",
}

PROGRAM = """
import os, signal, sys, time
from tallybook_sdk import Client
from tallybook_sdk.sending.http import HttpTransport
from tallybook_sdk.sending.spool import _File
def die(): os.kill(os.getpid(), signal.SIGKILL)
{patch}
tally = Client({url!r}, spool={folder!r}, batch_age_s=60)
for number in range(50):
    tally.event("purchase", number)
    tally.click(number % 5 + 1, 2)
{end}
"""


def killed(url: str, folder: Path, patch: str) -> None:
    """Run a program that records 50 events and 100 clicks and dies."""
    end = "tally.flush(30)" if patch else "die()"
    source = PROGRAM.format(url=url, folder=str(folder), patch=patch, end=end)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("point", POINTS)
def test_what_was_recorded_before_a_kill_counts_once(server: FakeServer, tmp_path: Path, point: str) -> None:
    killed(server.url, tmp_path / "spool", POINTS[point])
    with Client(server.url, spool=tmp_path / "spool") as tally:
        tally.event("heir", 1)
        assert tally.flush(30)
        deadline = time.monotonic() + 30
        while (report := tally.report()).pending and time.monotonic() < deadline:
            time.sleep(0.05)
    assert (report.difference, report.pending, report.dropped, report.rejected) == (0, 0, {}, {})
    kinds = [event["event_type"] for event in server.events.values()]
    assert (kinds.count("purchase"), kinds.count("heir")) == (50, 1)
    assert server.clicks == dict.fromkeys(range(1, 6), 20)
    assert report.stored + report.duplicate == report.adopted + 1
    if point == "after the insert":
        assert report.adopted == 150
    assert list((tmp_path / "spool").iterdir()) == []


def test_the_folder_and_its_files_are_private(server: FakeServer, tmp_path: Path) -> None:
    with Client(f"http://127.0.0.1:{free_port()}", spool=tmp_path / "spool") as tally:
        tally.event("purchase", 1)
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()} == {0o600}
        tally.close(0.1)
        report = tally.report()
    assert (report.pending, report.dropped, report.difference) == (1, {}, 0)


def test_two_processes_share_a_folder_and_nobody_takes_the_other_ones(server: FakeServer, tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    first, second = Client(away, spool=tmp_path), Client(away, spool=tmp_path)
    first.event("first", 1)
    second.event("second", 1)
    source = f"""
from tallybook_sdk import Client
tally = Client({server.url!r}, spool={str(tmp_path)!r})
tally.event("third", 1)
assert tally.flush()
print(tally.report().adopted)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert [event["event_type"] for event in server.events.values()] == ["third"]
    for client in (first, second):
        client.close(0.1)
        assert client.report().pending == 1


def test_a_forked_child_has_a_file_of_its_own(server: FakeServer, tmp_path: Path) -> None:
    source = f"""
import os
from tallybook_sdk import Client
tally = Client({server.url!r}, spool={str(tmp_path)!r}, batch_age_s=60)
tally.event("parent", 1)
for number in range(3):
    if os.fork() == 0:
        tally.event("child", number)
        assert tally.flush()
        raise SystemExit
    assert os.wait()[1] == 0
tally.event("parent", 2)
assert tally.flush()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    kinds = [event["event_type"] for event in server.events.values()]
    assert (kinds.count("parent"), kinds.count("child")) == (2, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_full_spool_counts_what_it_drops(tmp_path: Path) -> None:
    with Client(f"http://127.0.0.1:{free_port()}", spool=tmp_path, max_bytes=1000) as tally:
        for _ in range(20):
            tally.event("purchase", 1)
        report = tally.report()
        assert report.pending > 0
        assert report.dropped == {"queue_full": 20 - report.pending}
        tally.close(0.1)


def test_a_damaged_orphan_is_put_aside(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "1-abc.db").write_bytes(b"no database" * 1000)
    with Client(server.url, spool=tmp_path) as tally:
        tally.event("purchase", 1)
        assert tally.flush()
        assert tally.report().difference == 0
    assert [path.name for path in tmp_path.iterdir()] == ["1-abc.bad"]


def test_a_file_that_is_damaged_under_way_is_replaced_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds())
    courier = Courier(spool, random=lambda: 0.0, timeout_s=10.0)
    now = Instant(0.0, 1e9)
    for _ in range(3):
        assert spool.add(Entry(EVENTS, 1, b"{}"), now.mono) is not None
        courier.books(EVENTS).recorded += 1
    courier.hurry()
    sent = courier.next(now)
    assert isinstance(sent, Send)
    for _ in range(2):
        assert spool.add(Entry(EVENTS, 1, b"{}"), now.mono) is not None
        courier.books(EVENTS).recorded += 1
    _damage(spool)
    results = b'{"accepted":3,"duplicate":0,"conflict":0,"rejected":0,"results":[%s]}' % b",".join(
        [b'{"status":"accepted"}'] * 3
    )
    courier.answered(sent, Answer(202, {}, results), now)
    report = courier.report(now)
    assert (report.stored, report.dropped, report.pending, report.difference) == (3, {"spool_damaged": 2}, 0, 0)
    assert len(list(tmp_path.glob("*.bad"))) == 1
    spool.close()


def _damage(spool: Spool) -> None:
    """Write over the file while it is open, as a broken disk would."""
    database = spool._own.database
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("", "-wal"):
        path = Path(f"{spool._own.path}{ending}")
        if path.exists() and (size := path.stat().st_size):
            with path.open("r+b") as file:
                file.write(os.urandom(size))
    database.execute("PRAGMA cache_size = 0")
    database.execute("PRAGMA shrink_memory")
    with pytest.raises(sqlite3.DatabaseError):
        database.execute("SELECT count(*) FROM item").fetchone()


@pytest.mark.parametrize(("later_s", "outcome"), [(60, "sent"), (1200, "given up"), (-3600, "given up")])
def test_clicks_that_were_sent_are_repeated_within_their_window_alone(
    tmp_path: Path, later_s: float, outcome: str
) -> None:
    """A process died with clicks on their way. The next one may repeat them, or may not; events always."""
    spool = Spool(tmp_path, Bounds())
    courier = Courier(spool, random=lambda: 0.0, timeout_s=10.0)
    now = Instant(0.0, 1e9)
    spool.add(Entry(CLICKS, 3, b'{"bannerId":1,"count":3,"id":"a"}'), now.mono)
    spool.add(Entry(EVENTS, 1, b"{}"), now.mono)
    courier.hurry()
    while isinstance(sent := courier.next(now), Send) and (sent.batch is None or sent.batch.attempts < 2):
        if sent.batch is None:
            courier.answered(sent, Answer(404, {}, b""), now)
    spool.close()
    heir = Spool(tmp_path, Bounds())
    courier = Courier(heir, random=lambda: 0.0, timeout_s=10.0)
    later = Instant(50.0, now.wall + later_s)
    courier.adopt(later)
    courier.answered(Send(None, later), Answer(404, {}, b""), later)
    routes = set()
    for _ in range(3):
        if isinstance(sent := courier.next(later), Send) and sent.batch:
            routes.add(sent.batch.route.name)
    report = courier.report(later)
    assert report.difference == 0
    if outcome == "sent":
        assert (routes, report.dropped) == ({"clicks", "events"}, {})
    else:
        assert (routes, report.dropped) == ({"events"}, {"outcome_unknown": 3})
    heir.close()
