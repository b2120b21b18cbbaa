"""The client against a service that fails as it is told to: what is sent, repeated, kept and given up."""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tallybook_sdk import AsyncClient, Client, Deadline, NotConfigured, QueueFull, Rejected, Request, Unreachable
from tallybook_sdk.errors import Unauthorized
from tallybook_sdk.outbox import ids
from tallybook_sdk.sending.answers import Answer
from tallybook_sdk.sending.http import HttpTransport
from tallybook_sdk.testing import FakeServer, Tally
from tests.harness.process import ROOT, free_port
from tests.harness.wait import wait_for


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as one:
        yield one


@pytest.fixture
def make(server: FakeServer) -> Iterator[Callable[..., Client]]:
    """Makes clients of the server, and closes them."""
    made: list[Client] = []

    def client(**options: Any) -> Client:
        made.append(Client(options.pop("url", server.url), **options))
        return made[-1]

    yield client
    for one in made:
        one.close(0.2)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does that with each connection; its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=closing, args=(one,), daemon=True).start()

    def closing(one: socket.socket) -> None:
        with one:
            serve(one)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


# -- what arrives ------------------------------------------------------------------------------------------------------


def test_what_is_recorded_arrives_once(server: FakeServer, make: Callable[..., Client]) -> None:
    tally = make()
    tally.click(42)
    tally.clicks({42: 3, 43: 1})
    name = tally.event("purchase", user_id=17, properties={"price": 12.5})
    assert tally.flush()
    assert server.clicks == {42: 4, 43: 1}
    assert list(server.events) == [name]
    report = tally.report()
    assert (report.stored, report.pending, report.difference) == (6, 0, 0)


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes(server: FakeServer, make: Callable[..., Client]) -> None:
    server.script("lost", Answer(503, {"retry-after": "0"}, b""), "lost", "reset")
    tally = make()
    tally.click(42, 5)
    assert tally.flush()
    tally.event("purchase", 17)
    assert tally.flush()
    assert (server.clicks, len(server.events)) == ({42: 5}, 1)
    for path in ("/stats", "/events"):
        assert len({one.body for one in server.received if one.path == path}) == 1
    report = tally.report()
    assert (report.stored + report.duplicate, report.difference) == (6, 0)
    assert report.duplicate >= 1
    assert report.retries >= 3


def test_a_rejected_item_is_told_and_the_others_go_on(server: FakeServer, make: Callable[..., Client]) -> None:
    told: list[Rejected] = []

    def on_reject(rejected: Rejected) -> None:
        told.append(rejected)
        raise ValueError("a callback that fails")

    tally = make(on_reject=on_reject)
    fates = [{"status": "rejected", "code": "too_old", "pointer": "/0/occurred_at"}, {"status": "accepted"}]
    body = {**dict.fromkeys(("accepted", "duplicate", "conflict", "rejected"), 0), "results": fates}
    server.script(Answer(202, {}, json.dumps(body).encode()))
    name = tally.event("old", 1)
    tally.event("new", 1)
    tally.event("no JSON", 1, {"s": "\ud800"})
    cycle: list[Any] = []
    cycle.append(cycle)
    tally.event("no end", 1, {"s": cycle})
    assert tally.flush()
    wait_for(lambda: len(told) == 3, "the callback")
    assert {one.code for one in told} == {"too_old", "unserialisable"}
    assert [one.item["event_id"] for one in told if one.code == "too_old"] == [name]
    report = tally.report()
    assert report.rejected == {"too_old": 1, "unserialisable": 2}
    assert (report.stored, report.difference) == (1, 0)


def test_a_key_that_was_rotated_is_read_again(
    server: FakeServer, make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("old\n")
    monkeypatch.setenv("TALLYBOOK_API_KEY_FILE", str(file))
    tally = make()
    server.script(Answer(401, {}, b'{"code":"unauthorized"}'))
    tally.event("purchase", 17)
    assert not tally.flush(0.3)
    assert tally.report().state == "unauthorized"
    file.write_text("new\n")
    server.script(Answer(401, {}, b'{"code":"unauthorized"}'))
    assert not tally.flush(0.3)  # this attempt read the file
    assert tally.flush()
    keys = [one.headers["authorization"] for one in server.received if one.path == "/events"]
    assert keys == ["Bearer old", "Bearer old", "Bearer new"]
    assert "new" not in repr(tally)


def test_large_bodies_of_events_are_compressed_for_other_hosts(server: FakeServer, make: Callable[..., Client]) -> None:
    tally = make(url=server.url.replace("127.0.0.1", "0.0.0.0"))  # loopback by another name
    for _ in range(50):
        tally.event("purchase", 17)
    assert tally.flush()
    [request] = [one for one in server.received if one.path == "/events"]
    assert request.headers["content-encoding"] == "gzip"
    assert len(request.json()) == len(server.events) == 50


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_full_queue_counts_what_it_drops(make: Callable[..., Client]) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    tally = make(url=away, max_items=10)
    for _ in range(15):
        tally.event("purchase", 17)
    report = tally.report()
    assert (report.pending, report.dropped, report.difference) == (10, {"queue_full": 5}, 0)
    strict = make(url=away, max_items=1, on_full="raise")
    strict.event("purchase", 17)
    with pytest.raises(QueueFull):
        strict.event("purchase", 17)
    assert strict.report().dropped == {"queue_full": 1}


def test_a_full_queue_can_wait_for_room(server: FakeServer, make: Callable[..., Client]) -> None:
    tally = make(max_items=5, batch_items=5, on_full="block", block_s=30)
    for _ in range(200):
        tally.event("purchase", 17)
    assert tally.flush()
    assert len(server.events) == 200
    assert tally.report().dropped == {}


def test_off_drops_everything_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_URL", "off")
    before = threading.active_count()
    tally = Client()
    tally.click(42, 3)
    report = tally.report()
    assert (report.dropped, report.state, report.difference) == ({"off": 3}, "off", 0)
    assert threading.active_count() == before
    with pytest.raises(NotConfigured):
        tally.stats(42)


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "http://", "http://u:p@example.org", "http://x:y"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(NotConfigured):
        Client(url)


# -- deadlines ---------------------------------------------------------------------------------------------------------


def trickle(one: socket.socket) -> None:
    """Answer one byte a tenth of a second."""
    try:
        one.recv(1 << 16)
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b" " * 100_000:
            one.sendall(bytes([byte]))
            threading.Event().wait(0.1)
    except OSError:
        one.close()


@pytest.mark.parametrize("serve", [trickle, lambda one: threading.Event().wait(30)], ids=["trickles", "says nothing"])
def test_an_attempt_ends_at_its_deadline(serve: Callable[[socket.socket], None]) -> None:
    with listening(serve) as url:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            HttpTransport().send(Request("GET", url + "/", {}), Deadline(0.5))
        assert time.monotonic() - began < 5


def test_close_and_its_deadline_when_the_service_says_nothing(make: Callable[..., Client]) -> None:
    with listening(lambda one: threading.Event().wait(60)) as url:
        tally = make(url=url)
        tally.event("purchase", 17)
        tally.event("purchase", 17)
        assert not tally.flush(0.3)
        began = time.monotonic()
        tally.close(0.5)
        assert time.monotonic() - began < 5
        report = tally.report()
        assert (report.dropped, report.pending, report.difference) == ({"outcome_unknown": 2}, 0, 0)
        tally.event("purchase", 17)
        assert tally.report().dropped == {"outcome_unknown": 2, "closed": 1}
        tally.close()


def test_a_connection_that_the_service_closed_is_not_used_again(server: FakeServer) -> None:
    transport = HttpTransport()
    for _ in range(2):
        answer = transport.send(Request("GET", server.url + "/limits", {}), Deadline(5))
        assert answer.status == 404
    [kept] = transport._idle
    kept.shut()
    assert not kept.is_fresh()
    assert transport.send(Request("GET", server.url + "/limits", {}), Deadline(5)).status == 404
    transport.drop()


def test_an_early_answer_is_read_though_the_body_was_cut() -> None:
    def refuse(one: socket.socket) -> None:
        one.recv(1000)
        one.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        one.shutdown(socket.SHUT_RDWR)

    with listening(refuse) as url:
        answers = []
        for _ in range(5):  # the kernel may lose the answer with the reset
            try:
                answers.append(HttpTransport().send(Request("POST", url, {}, b"x" * (8 << 20)), Deadline(5)).status)
            except OSError:
                continue
        assert set(answers) <= {413}


# -- callbacks, signals and collectors ---------------------------------------------------------------------------------


def test_a_callback_cannot_flush_or_close_but_record(server: FakeServer, make: Callable[..., Client]) -> None:
    raised: list[BaseException] = []

    def on_reject(_: Rejected) -> None:
        for act in (tally.flush, tally.close):
            try:
                act()
            except RuntimeError as error:
                raised.append(error)
        tally.event("told", 1)

    tally = make(on_reject=on_reject)
    tally.event("no JSON", 1, {"s": "\ud800"})
    wait_for(lambda: tally.flush() and server.events, "the callback")
    assert len(raised) == 2
    assert [one["event_type"] for one in server.events.values()] == ["told"]


def test_a_call_that_interrupts_another_one_takes_no_lock_and_loses_nothing(
    server: FakeServer, make: Callable[..., Client]
) -> None:
    tally = make()
    worker = tally._worker
    with worker._guarded():  # as if a signal came while this thread holds the lock
        for _ in range(1200):
            tally.event("interrupted", 1)
        tally.click(42, 2)
        with pytest.raises(RuntimeError):
            tally.report()
    assert tally.flush()
    report = tally.report()
    assert (report.recorded, report.difference) == (1202, 0)
    assert (len(server.events), server.clicks) == (1064, {})  # the inbox, and what goes aside
    assert report.dropped == {"queue_full": 138}


def test_signals_and_collections_under_load_lose_nothing(server: FakeServer, make: Callable[..., Client]) -> None:
    tally = make()
    counts = {"signals": 0, "collected": 0}

    class Dying:
        def __del__(self) -> None:
            counts["collected"] += 1
            tally.event("collected", 1)

    def on_signal(*_: object) -> None:
        counts["signals"] += 1
        tally.event("signalled", 1)

    before = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(5000):
            tally.event("plain", 1)
            if number % 10 == 0:
                one = Dying()
                one.itself = one  # type: ignore[attr-defined]  # a cycle, for the collector
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    del one
    gc.collect()
    assert tally.flush(60)
    kinds = [event["event_type"] for event in server.events.values()]
    assert counts["signals"] > 10
    assert (kinds.count("plain"), kinds.count("signalled")) == (5000, counts["signals"])
    assert kinds.count("collected") == counts["collected"] == 500
    assert tally.report().difference == 0


def test_a_signal_that_raises_loses_no_event_whose_call_has_returned(
    server: FakeServer, make: Callable[..., Client]
) -> None:
    """As a time limit of Celery does, at any moment. What was interrupted may be there; nothing is there twice."""
    tally = make()
    returned = set()

    class Interrupted(BaseException):
        pass

    def on_signal(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGPROF, on_signal)
    interrupted = 0
    try:
        while interrupted < 40:
            try:
                signal.setitimer(signal.ITIMER_PROF, 0.001)
                while True:
                    returned.add(tally.event("plain", 1))
            except Interrupted:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert tally.flush(60)
    report = tally.report()
    assert returned <= set(server.events)
    assert len(server.events) - len(returned) <= interrupted
    assert (report.stored, report.pending, report.dropped) == (len(server.events), 0, {})


def test_threads_that_record_while_others_close_lose_nothing_that_is_not_told(
    server: FakeServer, make: Callable[..., Client]
) -> None:
    tally = make()

    def record() -> None:
        for _ in range(2000):
            tally.event("plain", 1)
            tally.click(42)

    threads = [threading.Thread(target=record) for _ in range(6)]
    for one in threads:
        one.start()
    wait_for(lambda: len(server.events) > 500, "the first of them")
    tally.close(30)
    for one in threads:
        one.join()
    report = tally.report()
    assert (report.recorded, report.difference, report.pending) == (24_000, 0, 0)
    assert report.stored == len(server.events) + server.clicks[42]
    assert report.stored + report.dropped.get("closed", 0) == 24_000


def test_an_idle_client_wakes_up_for_each_event(server: FakeServer, make: Callable[..., Client]) -> None:
    tally = make(batch_age_s=0)
    for number in range(1, 60):
        tally.event("plain", 1)
        wait_for(lambda number=number: len(server.events) == number, "an event that nobody flushes")


def test_a_line_of_the_log_a_minute_and_no_payload(
    make: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    tally = make()
    with caplog.at_level(logging.WARNING, "tallybook_sdk"):
        for _ in range(20):
            tally.event("secret-type", 1, {"secret": "\ud800"})
        tally.flush()
        tally.close()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "unserialisable" in lines[0]
    assert "secret" not in lines[0]


# -- asyncio -----------------------------------------------------------------------------------------------------------


async def test_an_async_client_records_without_awaiting(server: FakeServer) -> None:
    async with AsyncClient(server.url) as tally:
        tally.click(42)
        tally.event("purchase", 17)
        assert await tally.flush()
        assert (server.clicks, len(server.events)) == ({42: 1}, 1)
        tally.event("purchase", 17)
    assert len(server.events) == 2
    assert tally.report().stored == 3
    with pytest.raises(ValueError, match="event loop"):
        AsyncClient(server.url, on_full="block")


async def test_a_cancelled_flush_loses_nothing(server: FakeServer) -> None:
    server.script(*[Answer(503, {"retry-after": "1"}, b"")])
    async with AsyncClient(server.url) as tally:
        tally.event("purchase", 17)
        flushing = asyncio.create_task(tally.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        assert await tally.flush()
    assert len(server.events) == 1


async def test_a_cancelled_read_ends_its_helper_at_once() -> None:
    ended = threading.Event()

    def hold(one: socket.socket) -> None:
        while one.recv(1 << 16):
            pass
        ended.set()

    with listening(hold) as url:
        async with AsyncClient(url) as tally:
            reading = asyncio.create_task(tally.stats(42))
            await asyncio.sleep(0.2)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await asyncio.to_thread(ended.wait, 5)


# -- reads -------------------------------------------------------------------------------------------------------------


def test_a_read_is_repeated_where_that_may_help() -> None:
    statuses = [503, 429, 500, 200, 401]
    seen: list[Request] = []

    class Scripted:
        def send(self, request: Request, deadline: Deadline) -> Answer:
            seen.append(request)
            body = b'{"status":"ok","checks":{}}' if statuses[0] == 200 else b'{"code":"c","detail":"d"}'
            return Answer(statuses.pop(0), {"retry-after": "0"}, body)

    tally = Client("http://tally.invalid", "k", transport=Scripted())
    assert tally.limits  # a method
    assert tally.ask(_ready()).status == "ok"
    assert len(seen) == 4
    with pytest.raises(Unauthorized) as raised:
        tally.accounting()
    assert raised.value.request_id == seen[-1].headers["x-request-id"]


def _ready() -> Any:
    from tallybook_sdk import calls

    call = calls.ready()
    call.also = frozenset()
    return call


def test_a_read_without_an_answer_is_unreachable_in_time() -> None:
    with listening(lambda one: one.close()) as url:
        tally = Client(url, timeout_s=0.5)
        with pytest.raises(Unreachable):
            tally.stats(42)


# -- the end of a process ----------------------------------------------------------------------------------------------


def program(body: str, url: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with a client, to its end."""
    source = f"import os, sys, time, threading\nfrom tallybook_sdk import Client\ntally = Client({url!r})\n{body}\n"
    return subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environ},
        check=False,
    )


def test_the_end_of_a_program_sends_what_is_left(server: FakeServer) -> None:
    done = program("tally.event('a', 1); tally.click(42, 3)", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert (len(server.events), server.clicks) == (1, {42: 3})


def test_the_end_of_a_program_is_not_held_up_by_a_service_that_is_away() -> None:
    began = time.monotonic()
    done = program("tally.event('a', 1)", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("way", ["os.fork", "fork", "spawn", "forkserver", "pool"])
def test_children_send_their_own_and_the_parent_its_own(server: FakeServer, way: str) -> None:
    """Each record once, whoever forks: with records waiting, and with other threads that record."""
    body = {
        "os.fork": """
for number in range(5):
    if os.fork() == 0:
        tally.event('child', number); sys.exit(0)
for _ in range(5): assert os.wait()[1] == 0
""",
        "pool": """
import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool:
    pool.map(child, range(5), chunksize=1); pool.close(); pool.join()
""",
    }.get(
        way,
        f"""
import multiprocessing
context = multiprocessing.get_context({way!r})
if __name__ == '__main__':
    children = [context.Process(target=child, args=(n,)) for n in range(5)]
    for one in children: one.start()
    for one in children: one.join(); assert one.exitcode == 0
""",
    )
    folder = Path(os.environ.get("PYTEST_TMP", "/tmp"))
    source = f"""
import os, sys, threading
from tallybook_sdk import Client
tally = Client({server.url!r})
def child(number): tally.event('child', number)
stop = threading.Event()
def record():
    while not stop.wait(0.001): tally.event('thread', 1)
if __name__ == '__main__':
    tally.event('parent', 1)
    threading.Thread(target=record, daemon=True).start()
    {body.strip().replace(chr(10), chr(10) + "    ")}
    stop.set()
    print(tally.report().recorded)
"""
    path = folder / f"fork-{os.getpid()}-{way}.py"
    path.write_text(source)
    try:
        done = subprocess.run([sys.executable, "-W", "ignore", str(path)], capture_output=True, text=True, timeout=60)
    finally:
        path.unlink()
    assert done.returncode == 0, done.stderr
    kinds = [event["event_type"] for event in server.events.values()]
    assert (kinds.count("child"), kinds.count("parent")) == (5, 1)
    assert kinds.count("parent") + kinds.count("thread") == int(done.stdout.split()[-1])


def test_a_call_in_another_process_starts_afresh_without_a_hook(
    make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a fork that Python was not told of: each call looks at its process."""
    tally = make(url=f"http://127.0.0.1:{free_port()}")
    tally.event("parent", 1)
    pid = os.getpid()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: pid + 1)
        stock = list(ids._unused_texts)
        name = tally.event("child", 1)
        assert name not in stock
        assert (tally.report().recorded, tally.report().difference) == (1, 0)
        tally.close(0.1)
    assert (tally.report().recorded, tally.report().pending) == (1, 1)


# -- what tests of applications use ------------------------------------------------------------------------------------


def test_the_fixture_keeps_what_is_recorded() -> None:
    tally = Tally()
    tally.click(42)
    tally.clicks({42: 2, 7: 1})
    tally.click(7, id="order-1")
    tally.impression(42, "served")
    tally.event("purchase", user_id=17, properties={"price": 12.5})
    tally.event("bad", 1, {"s": "\ud800"})
    assert tally.clicks == {42: 3, 7: 2}
    assert tally.impressions["served"] == {42: 1}
    assert tally.events.one("purchase")["properties"] == {"price": 12.5}
    assert [one.code for one in tally.rejected] == ["unserialisable"]
    assert (tally.report().difference, tally.flush()) == (0, True)
