"""Granian behind the front: what an application sees and answers is what it is under another server of ASGI."""

import os
import re
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.harness.process import end, free_port, launched
from tests.harness.wait import wait_for

#: Seconds that anything here may take.
PATIENCE_S = 20.0
#: Headers that servers write themselves.
OWN = {"date", "server", "transfer-encoding", "connection"}


class Server(NamedTuple):
    """One server process."""

    process: "subprocess.Popen[bytes]"
    port: int
    journal: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> bytes:
        return self.journal.with_suffix(".log").read_bytes()

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []


def command(kind: str, port: int) -> list[str]:
    if kind == "uvicorn":
        app = "tests.integration.ingest.front_app:app"
        return ["uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "error"]
    return ["tests.integration.ingest.front_app", kind, str(port)]


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(kind: str, folder: Path, **environ: str) -> Iterator[Server]:
    port, journal = free_port(), folder / f"{kind}.journal"
    environment = os.environ | {"FRONT_JOURNAL": str(journal)} | environ
    process = launched("-m", *command(kind, port), log=folder / f"{kind}.log", env=environment)
    try:
        wait_for(lambda: answers(port) or process.poll() is not None, f"{kind} starts")
        yield Server(process, port, journal)
    finally:
        end(process, PATIENCE_S)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("front", tmp_path_factory.mktemp("front")) as server:
        yield server


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("uvicorn", tmp_path_factory.mktemp("uvicorn")) as server:
        yield server


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Granian with `BodyLimit` in front of the application: 1,000 bytes, two bodies at once."""
    with serving("limited", tmp_path_factory.mktemp("limited")) as server:
        yield server


@pytest.fixture(params=["front", "uvicorn"])
def either(request: pytest.FixtureRequest) -> Server:
    """Each of both servers, with nothing in its journal."""
    server: Server = request.getfixturevalue(request.param)
    server.journal.unlink(missing_ok=True)
    return server


@pytest.fixture
def journal(front: Server) -> Server:
    """Granian with nothing in its journal."""
    front.journal.unlink(missing_ok=True)
    return front


def asked(server: Server, method: str, path: str, **more: Any) -> tuple[int, bytes, list[tuple[str, str]]]:
    headers = [("host", "example.test"), *more.pop("headers", [])]
    with httpx2.Client(base_url=server.url, timeout=PATIENCE_S) as http:
        answer = http.request(method, path, headers=headers, **more)
    found = sorted((name, value) for name, value in answer.headers.multi_items() if name not in OWN)
    return answer.status_code, answer.content, found


def chunks(size: int) -> Iterator[bytes]:
    for at in range(0, size, 10_000):
        yield b"x" * min(10_000, size - at)


REQUESTS: dict[str, tuple[str, str, Callable[[], dict[str, Any]]]] = {
    "get": ("GET", "/a/b?x=1&y=%20&x=2", dict),
    "no query": ("GET", "/a/b?", dict),
    "root": ("GET", "/", dict),
    "repeated headers": ("GET", "/a", lambda: {"headers": [("x-a", "1"), ("x-b", "3"), ("x-a", "2")]}),
    "empty header": ("GET", "/a", lambda: {"headers": [("x-a", "")]}),
    "percent-encoded": ("GET", "/a%2Fb%20c%25%2541?q=%2F", dict),
    "unicode": ("GET", "/%EF%BC%91%C3%A4/%F0%9F%98%80", dict),
    "double slash": ("GET", "//a//b", dict),
    "options": ("OPTIONS", "/a", dict),
    "delete": ("DELETE", "/a", dict),
    "post 0": ("POST", "/a", lambda: {"content": b""}),
    "post 1": ("POST", "/a", lambda: {"content": b"x"}),
    "post 70k": ("POST", "/a", lambda: {"content": b"x" * 70_000}),
    "post 1M": ("POST", "/a", lambda: {"content": bytes(range(256)) * 4096}),
    "chunked 1": ("POST", "/a", lambda: {"content": chunks(1)}),
    "chunked 70k": ("POST", "/a", lambda: {"content": chunks(70_000)}),
    "chunked 1M": ("PUT", "/a", lambda: {"content": chunks(1 << 20)}),
    "streamed": ("GET", "/stream?parts=20", dict),
    "head": ("HEAD", "/cookies", dict),
    "head of a stream": ("HEAD", "/stream", dict),
    "cookies": ("GET", "/cookies", dict),
    "header of UTF-8": ("GET", "/named", dict),
    "invalid UTF-8": ("GET", "/a%FFb", dict),
    "state": ("GET", "/state", dict),
    "204": ("POST", "/empty", dict),
    "early, no body": ("POST", "/early", dict),
    "early, small body": ("POST", "/early", lambda: {"content": b"x" * 1000}),
    "wrong method": ("POST", "/cookies", dict),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_application_cannot_tell_the_front_from_another_server(front: Server, uvicorn: Server, name: str) -> None:
    method, path, more = REQUESTS[name]
    assert asked(front, method, path, **more()) == asked(uvicorn, method, path, **more())


def test_an_exception_before_the_start_is_a_500_that_says_nothing(front: Server) -> None:
    status, body, _ = asked(front, "GET", "/fail")
    assert status == 500
    assert b"hunter2" not in body
    assert asked(front, "GET", "/state")[0] == 200


def test_an_application_that_answers_nothing_is_a_500(front: Server) -> None:
    assert asked(front, "GET", "/silent")[0] == 500


# -- raw ---------------------------------------------------------------------------------------------------------------


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)


def received(one: socket.socket) -> bytes:
    """What comes until the server closes."""
    parts = []
    while part := one.recv(65536):
        parts.append(part)
    return b"".join(parts)


BROKEN_OFF = {
    "length": b"Content-Length: 1000\r\n\r\n" + b"x" * 400,
    "length, nothing yet": b"Content-Length: 1000\r\n\r\n",
    "chunked, between": b"Transfer-Encoding: chunked\r\n\r\n190\r\n" + b"x" * 400 + b"\r\n",
    "chunked, within": b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 400,
    "chunked, garbage": b"Transfer-Encoding: chunked\r\n\r\n190\r\n" + b"x" * 400 + b"\r\nzz\r\n",
}


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("name", BROKEN_OFF)
def test_l9_a_body_that_breaks_off_is_never_a_complete_one(journal: Server, name: str, is_reset: bool) -> None:
    with connected(journal) as one:
        one.sendall(b"GET /journal HTTP/1.1\r\nHost: t\r\n" + BROKEN_OFF[name])
        wait_for(lambda: journal.lines()[:1] == ["begin"], "the application begins")
        if is_reset:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: len(journal.lines()) > 1, "the application ends")
    assert journal.lines()[1].startswith("disconnect after ")


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"],
    ids=["length", "chunked"],
)
def test_l9_a_client_that_stops_sending_after_its_body_is_answered(journal: Server, rest: bytes) -> None:
    with connected(journal) as one:
        one.sendall(b"GET /journal HTTP/1.1\r\nHost: t\r\nConnection: close\r\n" + rest)
        assert received(one).startswith(b"HTTP/1.1 200")
    assert journal.lines() == ["begin", "complete 3"]


def test_a_wait_for_the_body_that_was_given_up_loses_none_of_it(journal: Server) -> None:
    with connected(journal) as one:
        one.sendall(b"POST /peeks HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 6\r\n\r\n")
        wait_for(lambda: journal.lines() == ["peeked False"], "the application looks")
        one.sendall(b"abcdef")
        assert received(one).startswith(b"HTTP/1.1 200")
    assert journal.lines() == ["peeked False", "complete 6"]


def test_a_client_that_goes_away_before_the_answer_is_noticed(journal: Server) -> None:
    with connected(journal) as one:
        one.sendall(b"GET /waits HTTP/1.1\r\nHost: t\r\n\r\n")
        wait_for(lambda: journal.lines() == ["waits"], "the application waits")
    wait_for(lambda: journal.lines() == ["waits", "gone"], "the application notices")


def test_an_answer_may_come_before_the_body_was_read(front: Server) -> None:
    with connected(front) as one:
        one.sendall(b"POST /early HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        assert one.recv(65536).startswith(b"HTTP/1.1 403")


def test_a_client_that_leaves_in_the_middle_of_a_stream_harms_nobody(front: Server) -> None:
    with connected(front) as one:
        one.sendall(b"GET /stream?parts=100000 HTTP/1.1\r\nHost: t\r\n\r\n")
        assert one.recv(1000).startswith(b"HTTP/1.1 200")
    assert asked(front, "GET", "/stream?parts=0")[:2] == (200, b"")
    assert b"response_broken_off" not in front.log()


def test_an_upgrade_to_a_websocket_is_passed_over_and_the_worker_lives_on(front: Server) -> None:
    with connected(front) as one:
        one.sendall(
            b"GET /a HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        one.settimeout(PATIENCE_S)
        status = one.recv(65536).split(b" ")[1]
    assert status == b"200"  # as any other request (RFC 9110, 7.8), so that no websocket opens
    assert front.process.poll() is None
    assert asked(front, "GET", "/state")[0] == 200


# -- both servers ------------------------------------------------------------------------------------------------------


def exchanged(server: Server, request: bytes) -> bytes:
    with connected(server) as one:
        one.sendall(request)
        return received(one)


# Without Connection: close, so that it is the fault which closes, and not the end of an answer.
@pytest.mark.parametrize("path", [b"/breaks", b"/breaks?content-length=100", b"/ends"])
def test_half_an_answer_never_looks_like_a_whole_one(either: Server, path: bytes) -> None:
    answer = exchanged(either, b"GET " + path + b" HTTP/1.1\r\nHost: t\r\n\r\n")
    assert b"0\r\n\r\n" not in answer.partition(b"\r\n\r\n")[2]
    assert b"hunter2" not in answer
    assert asked(either, "GET", "/state")[0] == 200


def test_a_start_alone_can_still_become_a_500(front: Server) -> None:
    status, body, _ = asked(front, "GET", "/begins")
    assert status == 500
    assert b'"unexpected"' in body


def test_pipelined_requests_are_answered_in_their_order(either: Server) -> None:
    answer = exchanged(
        either,
        b"GET /1 HTTP/1.1\r\nHost: t\r\n\r\n"
        b"POST /2 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /3 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        b"GET /4 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    )
    found = re.findall(rb'"path": "(/\d)".*?"size": (\d)', answer)
    assert found == [(b"/1", b"0"), (b"/2", b"3"), (b"/3", b"2"), (b"/4", b"0")]


def test_a_body_is_asked_for_when_the_client_waits_for_that(either: Server) -> None:
    with connected(either) as one:
        one.sendall(b"POST /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 3\r\n" + WAITS)
        assert one.recv(65536) == CONTINUE
        one.sendall(b"abc")
        assert b'"size": 3' in received(one)


def test_a_task_in_the_background_runs_after_the_answer(either: Server) -> None:
    assert asked(either, "GET", "/background")[:2] == (200, b"first")
    wait_for(lambda: either.lines() == ["worked"], "the task runs")


def test_a_client_that_reads_slowly_gets_everything(either: Server) -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(PATIENCE_S)
        one.connect(("127.0.0.1", either.port))
        one.sendall(b"GET /stream?parts=100 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        answer = bytearray()
        while part := one.recv(1024):
            answer += part
    assert len(re.findall(rb"part \d+;", answer)) >= 99_000  # chunks cut a few of the 100,000 in two
    assert answer.endswith(b"\r\n0\r\n\r\n")


def test_who_looks_again_and_again_sees_that_the_client_is_gone(either: Server) -> None:
    with connected(either) as one:
        one.sendall(b"GET /looks HTTP/1.1\r\nHost: t\r\n\r\n")
        wait_for(lambda: either.lines() == ["looks"], "the application looks")
    wait_for(lambda: either.lines() == ["looks", "gone"], "the application notices")


# -- limits of bodies --------------------------------------------------------------------------------------------------

WAITS = b"Expect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.fixture
def guarded(limited: Server) -> Iterator[Server]:
    """Granian behind limits; the test must not have reached the application."""
    limited.journal.unlink(missing_ok=True)
    yield limited
    assert limited.lines() == []


TOO_LARGE = {
    "length": b"Content-Length: 100000000\r\n\r\n",
    "length, asked for": b"Content-Length: 1001\r\n" + WAITS,
    "chunk": b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1001,
    "false length": b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_l2_a_large_body_is_refused_before_its_end(guarded: Server, name: str) -> None:
    answer = exchanged(guarded, b"GET /journal HTTP/1.1\r\nHost: t\r\n" + TOO_LARGE[name])
    assert status_of(answer) == 413
    assert b'"too_large"' in answer


def test_l3_a_body_that_does_not_come_in_time_is_a_408(guarded: Server) -> None:
    answer = exchanged(guarded, b"POST /hasty HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
    assert status_of(answer) == 408
    assert b'"body_timeout"' in answer


def test_l3_one_slow_body_too_many_is_a_503_and_the_others_are_read(limited: Server) -> None:
    request = b"POST /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 3\r\n" + WAITS
    with connected(limited) as first, connected(limited) as second:
        for one in (first, second):
            one.sendall(request)
            assert one.recv(65536) == CONTINUE
        refused = exchanged(limited, request)
        assert status_of(refused) == 503
        assert b"retry-after: 1\r\n" in refused
        for one in (first, second):
            one.sendall(b"abc")
            assert b'"size": 3' in received(one)
    assert b'"size": 3' in exchanged(limited, request.replace(WAITS, b"\r\nabc"))


UNREADABLE = {
    "broken off": (400, b"Content-Length: 10\r\n\r\nabc"),
    "two lengths": (400, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"),
    "packed and chunked": (415, b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    "packed": (415, b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"),
    "not chunked": (400, b"Transfer-Encoding: identity\r\n\r\n"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_l9_a_body_that_cannot_be_read_is_refused_as_the_fault_of_the_client(guarded: Server, name: str) -> None:
    status, rest = UNREADABLE[name]
    with connected(guarded) as one:
        one.sendall(b"GET /journal HTTP/1.1\r\nHost: t\r\nConnection: close\r\n" + rest)
        if name == "broken off":
            one.shutdown(socket.SHUT_WR)
        assert status_of(received(one)) == status


def test_l9_a_body_with_trailers_is_read_without_them(limited: Server) -> None:
    rest = b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: 1\r\n\r\n"
    answer = exchanged(limited, b"POST /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n" + rest)
    assert status_of(answer) == 200
    assert b'"size": 1' in answer
    assert b"x-t" not in answer


# -- lifespan ----------------------------------------------------------------------------------------------------------


def test_a_start_that_fails_ends_the_worker_with_its_message(tmp_path: Path) -> None:
    with serving("front", tmp_path, FRONT_FAILS="no lane to be had") as server:
        wait_for(lambda: server.process.poll() is not None, "the server ends")
        assert server.process.returncode != 0
    assert "no lane to be had" in (tmp_path / "front.log").read_text()


def test_a_stop_runs_the_end_of_the_lifespan(tmp_path: Path) -> None:
    with serving("front", tmp_path) as server:
        assert asked(server, "GET", "/state")[:2] == (200, b"by the lifespan False")
    assert server.lines() == ["shut down"]
    assert server.process.returncode == 0
