"""The front: plain requests and everything else, on the same connections, in order, and never twice."""

import asyncio
import contextlib
import fcntl
import json
import os
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ingest.front import plain_requests as plain
from ingest.front.clicks import Clicks
from ingest.front.connection import Connection
from ingest.front.folder import Folder
from ingest.front.links import Links
from ingest.front.listener import Front
from ingest.hits.routes import _given, parsed_tracker
from shared.counting.lane import banner_id
from shared.errors import TallybookError
from shared.hit import text_of
from shared.record_log.producer import Done
from shared.runtime.tasks import end
from tests.harness.subjects.fronting import PATIENCE_S, Fronted, Log, fronting
from tests.harness.subjects.tracking import BROWSER
from tests.harness.wait import until

UUID_TEXT = "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e"


class Application:
    """Counts clicks as the route behind Granian does: after the whole body, and only then."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.clients: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.clients.append(scope["client"])
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        click = re.fullmatch(r"/stats/([1-9][0-9]{0,15})", scope["path"])
        if scope["method"] == "POST" and click:
            self.counted[click[1]] += 1
            await self._send(send, 204, b"")
        elif scope["path"] == "/track" and scope["method"] in ("GET", "POST"):
            try:  # as `ingest/hits/routes.py` finds the id
                parsed_tracker("id", _given(Request(scope), "id"))
            except TallybookError:
                await self._send(send, 400, b"")
            else:
                await self._send(send, 204, b"")
        elif scope["path"] == "/r/spring" and scope["method"] == "GET":
            self.counted["42"] += 1
            await self._send(send, 302, b"")
        elif scope["path"] == "/large":
            await self._send(send, 200, b"x" * 20_000_000)
        else:
            await self._send(send, 404, f"{scope['method']} {scope['path']} {size}".encode())

    async def _send(self, send: Send, status: int, body: bytes) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Storing(Log):
    """Has each record at once."""

    def offer(self, key: bytes, value: bytes, done: Done) -> bool:
        asyncio.get_running_loop().call_soon(done, "log")
        return True


class Stage:
    """The application behind a front; clicks counted on both ways add up."""

    def __init__(self, app: Application, fronted: Fronted) -> None:
        self.app, self.fronted = app, fronted

    def taken(self) -> Counter[str]:
        """Clicks counted since the last call, on any way."""
        taken = self.app.counted + self.fronted.lane.counted
        self.app.counted.clear()
        self.fronted.lane.counted.clear()
        return taken

    async def asked(self, *pieces: bytes, inside: bool = False) -> bytes:
        """Send pieces one by one and the end of sending; return all that comes."""
        loop, answer = asyncio.get_running_loop(), bytearray()
        one = self.fronted.folder.connected("192.0.2.1", 5) if inside else socket.socket()
        with one:
            one.setblocking(False)
            async with asyncio.timeout(PATIENCE_S):
                if not inside:
                    await loop.sock_connect(one, self.fronted.front.address)
                # Who was refused may find a reset while it still sends; what had come before can be read.
                with contextlib.suppress(ConnectionError):
                    for piece in pieces:
                        await loop.sock_sendall(one, piece)
                        for _ in range(3):  # the server runs in this loop
                            await asyncio.sleep(0)
                with contextlib.suppress(ConnectionError):
                    while part := await loop.sock_recv(one, 65_536):
                        answer += part
        return bytes(answer)


@pytest.fixture(scope="module")
async def module_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    app = Application()
    async with fronting(app, tmp_path_factory.mktemp("front"), log=Storing()) as fronted:
        yield Stage(app, fronted)


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.taken()
    module_stage.app.clients.clear()
    return module_stage


def click(banner: int = 7, *lines: str) -> bytes:
    return "\r\n".join([f"POST /stats/{banner} HTTP/1.1", "Host: t", *lines, "", ""]).encode()


def link(path: str = "/r/spring", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: t", f"User-Agent: {BROWSER}", *lines, "", ""]).encode()


LAST = b"GET /last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# -- which are plain ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        click(),
        click(9007199254740991),
        click(7, "Content-Length: 0"),
        click(7, "Connection: Keep-Alive", "X-A:", "Cookie: a=東京"),
        f"GET /track?id={UUID_TEXT}&u=[a|b] HTTP/1.1\r\nHost: t\r\n\r\n".encode(),
        f"GET /track?id={UUID_TEXT}&ü=ä€\U0001f600 HTTP/1.1\r\nHost: t\r\n\r\n".encode(),
        f"POST /track?id={UUID_TEXT} HTTP/1.1\r\nHost: t\r\ncontent-length:0\r\n\r\n".encode(),
        link("/r/spring"),
        link("/r/spring?"),
        link(f"/r/{'a' * 64}?utm_a=ü&b=[c|d]"),
    ],
)
def test_what_is_plain(request_: bytes) -> None:
    [one] = plain.recognised(request_)
    assert (one.begin, one.end) == (0, len(request_))
    assert [(two.begin, two.end) for two in plain.recognised(request_ * 3)] == [
        (at * len(request_), (at + 1) * len(request_)) for at in range(3)
    ]


OTHERS = [
    click(0),
    click(7, "Content-Length: 1") + b"x",
    click(7, "Content-Length: 00"),
    click(7, "Content-Length: 0", "Content-Length: 0"),
    click(7, "Content-Length: +0"),
    click(7, "Content-Length: 0, 0"),
    click(7, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    click(7, "transfer-encoding: identity"),
    click(7, "Expect: 100-continue"),
    click(7, "Upgrade: h2c"),
    click(7, "Connection: close"),
    click(7, "Connection: keep-alive, upgrade"),
    click(7, "Host: u"),
    click(7, "X : 1"),
    click(7, " X: 1"),
    click(7, ": 1"),
    click(7, "X: 1", " folded"),
    click(7, "X: a\x00b"),
    click(7, "X: a\rb"),
    click(7, "X: a\nContent-Length: 5"),
    click(7, *(f"X-{number}: 1" for number in range(64))),
    click(7, "X: " + "a" * 9000),
    click().replace(b"Host: t", b"Host:"),
    click().replace(b"Host: t\r\n", b""),
    click().replace(b"\r\n", b"\n"),
    click().replace(b" HTTP/1.1", b"  HTTP/1.1"),
    click().replace(b"HTTP/1.1", b"HTTP/1.0"),
    click().replace(b"POST", b"post"),
    click().replace(b"/stats/7", b"/stats/07"),
    click().replace(b"/stats/7", b"/stats/7?a=b"),
    click().replace(b"/stats/7", b"http://t/stats/7"),
    b"\r\n" + click(),
    click() + b"\r\n",
    click()[:-1],
    click() + b"P",
    click() + b"GET / HTTP/1.1\r\nHost: t\r\n\r\n",
    f"GET /track?id={UUID_TEXT}#a HTTP/1.1\r\nHost: t\r\n\r\n".encode(),
    f'GET /track?id={UUID_TEXT}" HTTP/1.1\r\nHost: t\r\n\r\n'.encode(),
    f"GET /track?id={UUID_TEXT}&a=é HTTP/1.1\r\nHost: t\r\n\r\n".encode("latin-1"),
    f"PUT /track?id={UUID_TEXT} HTTP/1.1\r\nHost: t\r\n\r\n".encode(),
    b"GET /track HTTP/1.1\r\nHost: t\r\n\r\n",
    link("/r/"),
    link("/r/-a"),
    link(f"/r/{'a' * 65}"),
    link("/r/sp%72ing"),
    link("/r/spring/"),
    link("/r/spring#a"),
    link("/r//spring"),
    link("/R/spring"),
    link("/r/spring?a\\b", "Content-Length: 1") + b"x",
    link("/r/spring").replace(b"GET", b"HEAD"),
    link("/r/spring").replace(b"GET", b"POST"),
    link("/r/spring?a=\xe9").replace("\xe9".encode(), b"\xe9"),
]


@pytest.mark.parametrize("request_", OTHERS)
def test_l9_what_two_parsers_could_read_differently_is_not_plain(request_: bytes) -> None:
    assert plain.recognised(request_) == []
    with pytest.raises(ValueError):  # noqa: PT011 - what the lane raises for text that is no id
        banner_id(plain.clicked(request_))


@pytest.mark.parametrize("banner", [7, 9007199254740991])
def test_a_click_alone_in_its_buffer_is_recognised_at_once(banner: int) -> None:
    request_ = click(banner, "Cookie: a=東京")
    assert plain.clicked(request_) == str(banner)
    assert [one.banner for one in plain.recognised(request_)] == [str(banner)]
    assert plain.clicked(request_ * 2) == plain.clicked(click(banner, "Idempotency-Key: a")) == ""
    assert plain.clicked(click(banner, "X: " + "a" * 1024)) == ""


# -- one connection, both kinds ----------------------------------------------------------------------------------------


async def test_plain_and_other_requests_share_a_connection_in_order(stage: Stage) -> None:
    reader, writer = await stage.fronted.connect()
    async with asyncio.timeout(PATIENCE_S):
        for number in range(1, 20):
            writer.write(click(number))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
            assert stage.fronted.lane.counted == {str(one): 1 for one in range(1, number + 1)}
            writer.write(f"GET /{number} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            assert (await reader.readuntil(f"GET /{number} 0".encode())).startswith(b"HTTP/1.1 404 ")
    writer.close()
    assert stage.app.counted == {}
    assert len(set(stage.app.clients)) == 1


async def test_pipelined_requests_of_both_kinds_are_answered_in_order(stage: Stage) -> None:
    other = b"POST /b HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
    answer = await stage.asked(click(1) + other + click(2) + click(3, "Content-Length: 1") + b"x" + LAST)
    assert statuses(answer) == [204, 404, 204, 204, 404]
    assert answer.index(b"POST /b 3") < answer.index(b"GET /last 0")
    assert stage.taken() == {"1": 1, "2": 1, "3": 1}


async def test_a_connection_is_plain_again_after_a_body_that_was_asked_for(stage: Stage) -> None:
    reader, writer = await stage.fronted.connect()
    async with asyncio.timeout(PATIENCE_S):
        for number in range(1, 4):
            writer.write(click(7, "Expect: 100-continue", "Content-Length: 2"))
            assert statuses(await reader.readuntil(b"\r\n\r\n")) == [100]
            writer.write(b"xy")
            assert statuses(await reader.readuntil(b"\r\n\r\n")) == [204]
            writer.write(click(8))
            assert statuses(await reader.readuntil(b"\r\n\r\n")) == [204]
            assert stage.fronted.lane.counted == {"8": number}
    writer.close()
    assert stage.taken() == {"7": 3, "8": 3}


async def test_a_request_cut_at_any_byte_counts_once(stage: Stage) -> None:
    whole = click(7, "X: 1")
    for at in range(1, len(whole)):
        assert statuses(await stage.asked(whole[:at], whole[at:] + LAST)) == [204, 404]
        assert stage.taken() == {"7": 1}


async def test_a_client_that_ends_its_half_gets_what_is_due(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path, ack="redis") as fronted:
        reader, writer = await fronted.connect()
        writer.write(click())
        await until(lambda: fronted.lane.tickets)
        writer.write_eof()
        await asyncio.sleep(0)
        fronted.lane.keep()
        async with asyncio.timeout(PATIENCE_S):
            assert statuses(await reader.read()) == [204]
        writer.close()


async def test_late_answers_keep_the_order_and_hold_back_what_comes_behind(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path, ack="redis") as fronted:
        reader, writer = await fronted.connect()
        writer.write(click(1) + click(2))
        await until(lambda: fronted.lane.tickets)
        assert fronted.lane.counted == {"1": 1}  # nothing is looked at before the first is answered
        fronted.lane.keep()
        await until(lambda: fronted.lane.tickets)
        writer.write(LAST)
        fronted.lane.keep(is_applied=False)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        assert statuses(answer) == [204, 503, 404]
        assert b"retry-after: " in answer
        assert fronted.lane.counted == {"1": 1, "2": 1}
        writer.close()


async def test_l3_no_request_is_recognised_twice_however_many_answers_are_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list[plain.Plain]()

    def counting(data: bytes) -> list[plain.Plain]:
        requests = plain.recognised(data)
        found.extend(requests)
        return requests

    monkeypatch.setattr("ingest.front.connection.recognised", counting)
    async with fronting(Application(), tmp_path, ack="redis") as fronted:
        reader, writer = await fronted.connect()
        writer.write(click() * 20)
        for number in range(30):
            await until(lambda: fronted.lane.tickets)
            if number == 10:  # comes while an answer is due
                writer.write(click(8) * 10)
            fronted.lane.keep()
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(30):
                assert statuses(await reader.readuntil(b"\r\n\r\n")) == [204]
        writer.close()
    assert fronted.lane.counted == {"7": 20, "8": 10}
    assert len(found) == 30


async def test_a_client_that_leaves_before_a_late_answer_harms_nobody(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path, ack="redis") as fronted:
        _, writer = await fronted.connect()
        writer.write(click())
        await until(lambda: fronted.lane.tickets)
        writer.transport.abort()
        fronted.lane.keep()
        await until(lambda: not fronted.front._connections)
        assert fronted.lane.counted == {"7": 1}


async def test_a_hit_is_answered_when_the_log_has_it(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path) as fronted:
        reader, writer = await fronted.connect()
        writer.write(f"GET /track.gif?id={UUID_TEXT} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        await until(lambda: fronted.log.offered)
        [(_, record, done)] = fronted.log.offered
        assert json.loads(text_of(record))["ip"] == "127.0.0.1"
        done("log")
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.readuntil(b";")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            head = await reader.readuntil(b"GIF89a")
        assert b"content-length: 43\r\n" in answer + head
        writer.close()


def counted_as_refused() -> float:
    return (
        REGISTRY.get_sample_value(
            "tallybook_http_requests_total", {"route": "unmatched", "method": "other", "status": "503"}
        )
        or 0.0
    )


def broken(*_: object) -> None:
    raise RuntimeError("hunter2")


async def test_a_click_that_counts_is_answered_whatever_breaks_behind_it(tmp_path: Path) -> None:
    app = Application()
    async with fronting(app, tmp_path) as fronted:
        fronted.front._clicks._seconds = SimpleNamespace(observe=broken)  # type: ignore[assignment]
        assert statuses(await Stage(app, fronted).asked(click(), LAST)) == [204, 404]
    assert app.counted + fronted.lane.counted == {"7": 1}


async def test_a_click_that_counts_is_no_other_click_when_its_promise_breaks(tmp_path: Path) -> None:
    app = Application()
    async with fronting(app, tmp_path, ack="redis") as fronted:
        fronted.lane.promise = broken  # type: ignore[method-assign]
        answer = await Stage(app, fronted).asked(click(), LAST)
    assert (statuses(answer), b'"redis_unavailable"' in answer) == ([503], True)
    assert app.counted + fronted.lane.counted == {"7": 1}


async def test_a_hit_that_may_be_stored_is_offered_to_nobody_else(tmp_path: Path) -> None:
    class Breaking(Log):
        def offer(self, key: bytes, value: bytes, done: Done) -> bool:
            super().offer(key, value, done)
            raise RuntimeError("hunter2")

    app, log = Application(), Breaking()
    async with fronting(app, tmp_path, log=log) as fronted:
        hit = f"GET /track?id={UUID_TEXT} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
        answer = await Stage(app, fronted).asked(hit)
        log.offered[0][2]("log")
    assert (statuses(answer), b'"log_unavailable"' in answer) == ([503], True)
    assert (len(log.offered), app.clients) == (1, [])


async def test_answers_carry_a_date(stage: Stage) -> None:
    for request in (click(), LAST):
        answer = await stage.asked(request + (LAST if request != LAST else b""))
        assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", answer)


@pytest.mark.parametrize("name", ["127.0.0.1", "::1"])
async def test_the_client_of_a_relayed_request_is_the_peer(tmp_path: Path, name: str) -> None:
    app = Application()
    async with fronting(app, tmp_path, host=name) as fronted:
        reader, writer = await fronted.connect()
        own = writer.get_extra_info("sockname")[:2]
        writer.write(LAST)
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        writer.close()
    assert app.clients == [tuple(own)]


async def test_a_deep_data_folder_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    app = Application()
    async with fronting(app, deep) as fronted:
        assert statuses(await Stage(app, fronted).asked(click(7, "Content-Length: 1") + b"x" + LAST)) == [204, 404]


# -- slow and hostile --------------------------------------------------------------------------------------------------


async def test_a_slow_reader_holds_back_granian_and_gets_everything(stage: Stage) -> None:
    reader, writer = await stage.fronted.connect_slowly()
    writer.write(b"GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    await until(lambda: any(one.is_full for one in stage.fronted.front._connections))
    held = max(one.transport.get_write_buffer_size() for one in stage.fronted.front._connections)
    assert held < 1_000_000  # of 20 MB: Granian has to wait
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.read()).count(b"x") == 20_000_000
    writer.close()


async def test_a_client_that_never_reads_is_read_no_further(stage: Stage) -> None:
    reader, writer = await stage.fronted.connect_slowly()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    [connection] = stage.fronted.front._connections
    sent = 0
    while connection._pauses.isdisjoint({"client", "granian"}):
        writer.write(click() * 100)
        sent += 100
        await asyncio.sleep(0)
        assert sent < 2_000_000
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    writer.write(LAST)
    async with asyncio.timeout(100):
        answers = await reader.read()
    assert len(statuses(answers)) == sent + 1
    assert stage.taken() == {"7": sent}
    writer.close()


def test_l5_a_client_without_an_address_is_not_served(tmp_path: Path) -> None:
    async def reset() -> Fronted:
        async with fronting(Application(), tmp_path) as fronted:
            with socket.create_connection(fronted.front.address) as one:  # accepted later, by this loop
                one.sendall(f"GET /track?id={UUID_TEXT} HTTP/1.1\r\nHost: t\r\n\r\n".encode() + click(8))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader, writer = await fronted.connect()
            writer.write(click())
            async with asyncio.timeout(PATIENCE_S):
                assert statuses(await reader.readuntil(b"\r\n\r\n")) == [204]
            writer.close()
        return fronted

    fronted = uvloop.run(reset())  # which asks for the address after that, as in a worker
    assert fronted.lane.counted == {"7": 1}
    assert fronted.log.offered == []


async def test_one_connection_too_many_takes_the_place_of_an_idle_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.front.listener.CONNECTIONS", 3)
    app = Application()
    async with fronting(app, tmp_path) as fronted:
        idle = [await fronted.connect() for _ in range(3)]
        await until(lambda: len(fronted.front._connections) == 3)
        refused = counted_as_refused()
        reader, writer = await fronted.connect()
        async with asyncio.timeout(PATIENCE_S):
            assert statuses(await reader.read()) == [503]  # all of them are of this second
            assert counted_as_refused() == refused + 1
        writer.close()
        fronted.front.second += 1
        assert statuses(await Stage(app, fronted).asked(click() + LAST)) == [204, 404]
        async with asyncio.timeout(PATIENCE_S):
            assert await idle[0][0].read() == b""
        for _, one in idle:
            one.close()


async def test_l3_one_connection_too_many_looks_at_a_few_of_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.front.listener.CONNECTIONS", 70)
    async with fronting(Application(), tmp_path) as fronted:
        clients = [await fronted.connect() for _ in range(70)]
        await until(lambda: len(fronted.front._connections) == 70)
        for connection in list(fronted.front._connections)[:64]:
            connection.is_due = True
        fronted.front.second += 1
        clients.append(await fronted.connect())
        async with asyncio.timeout(PATIENCE_S):
            assert statuses(await clients[70][0].read()) == [503]
        for connection in fronted.front._connections:
            connection.is_due = False
        for _, writer in clients:
            writer.close()


async def test_idle_connections_are_closed_and_busy_ones_are_not(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path, ack="redis") as fronted:
        (idle, one), (busy, two) = await fronted.connect(), await fronted.connect()
        two.write(click())
        await until(lambda: fronted.lane.tickets)
        fronted.front.second += 100
        async with asyncio.timeout(PATIENCE_S):
            assert await idle.read() == b""
            fronted.lane.keep()
            assert (await busy.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        one.close()
        two.close()


@asynccontextmanager
async def unread(folder: Path, request: bytes) -> AsyncIterator[tuple[Front, Connection, asyncio.StreamReader]]:
    """A front, a connection with all of a large answer in its write buffer, and its client, who does not read."""
    async with fronting(Application(), folder) as fronted:
        reader, writer = await fronted.connect_slowly()
        await until(lambda: fronted.front._connections)
        [connection] = fronted.front._connections
        connection.transport.set_write_buffer_limits(1 << 30)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request)
        await until(lambda: connection.transport.get_write_buffer_size() and not connection.is_busy)
        await end(fronted.front._sweeper)  # the test looks itself
        fronted.front._look(connection)
        yield fronted.front, connection, reader
        writer.close()


LARGE = b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n"


async def test_a_client_that_still_reads_its_answer_is_not_idle(tmp_path: Path) -> None:
    async with unread(tmp_path, LARGE) as (front, connection, reader):
        got = 0

        async def read() -> None:
            nonlocal got
            part = await reader.read(1_000_000)
            assert part
            got += part.count(b"x")

        async with asyncio.timeout(PATIENCE_S):
            reader._transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(5):
                front.second += 25
                front._look(connection)
                before = connection.transport.get_write_buffer_size()
                while connection.transport.get_write_buffer_size() == before:
                    await read()
                front._look(connection)
            while got < 20_000_000:
                await read()
            assert connection in front._connections


@pytest.mark.parametrize("request_", [LARGE, LARGE.replace(b"1.1", b"1.0")], ids=["open", "closing"])
async def test_l3_a_client_that_reads_nothing_of_its_answer_is_let_go(tmp_path: Path, request_: bytes) -> None:
    async with unread(tmp_path, request_) as (front, connection, _):
        front.second += 30
        front._look(connection)
        await asyncio.sleep(0)
        assert connection in front._connections
        front.second += 1
        front._look(connection)
        await until(lambda: connection not in front._connections)


async def test_a_client_that_is_about_to_go_gets_no_more_than_its_answer(tmp_path: Path) -> None:
    async with unread(tmp_path, LARGE) as (_, connection, reader):
        connection.transport.close()
        connection.relayed(b"more")
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.read()).endswith(b"x")


async def test_a_way_to_granian_that_is_dropped_holds_nobody_back(stage: Stage) -> None:
    reader, writer = await stage.fronted.connect()
    async with asyncio.timeout(PATIENCE_S):
        writer.write(b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n")
        await reader.readuntil(b"GET /a 0")
        [connection] = [one for one in stage.fronted.front._connections if one.relay is not None]
        assert connection.relay is not None
        connection.relay.pause_writing()
        connection.drop_relay()
        writer.write(click())
        assert statuses(await reader.readuntil(b"\r\n\r\n")) == [204]
    writer.close()


async def test_a_client_that_cannot_be_relayed_is_told_and_the_worker_gives_up(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path) as fronted:
        (tmp_path / "moved").mkdir()
        fronted.folder.path.rename(tmp_path / "moved" / "away")
        (tmp_path / "moved" / "away" / "s").unlink()
        refused = counted_as_refused()
        reader, writer = await fronted.connect()
        writer.write(LAST)
        async with asyncio.timeout(PATIENCE_S):
            assert statuses(await reader.read()) == [503]
            assert counted_as_refused() == refused + 1
            await fronted.front.is_broken.wait()
        writer.close()


def test_the_folder_of_a_dead_worker_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    dead, living = Folder(tmp_path), Folder(tmp_path)
    assert (dead.path.stat().st_mode & 0o777, dead.path.parent) == (0o700, tmp_path)
    os.close(dead._descriptor)  # as the kernel does at its end
    other = Folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living.path, other.path])
    for one in (living, other):
        one.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["os.open", "fcntl.flock"])
def test_workers_that_start_together_get_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    module, name = {"os.open": (os, "open"), "fcntl.flock": (fcntl, "flock")}[call]
    true = getattr(module, name)

    def disturbed(*arguments: Any) -> Any:
        monkeypatch.setattr(module, name, true)
        for path in tmp_path.iterdir():  # another one takes it for a dead worker's
            path.rmdir()
        return true(*arguments)

    monkeypatch.setattr(module, name, disturbed)
    folder = Folder(tmp_path)
    assert list(tmp_path.iterdir()) == [folder.path]
    folder.close()


# -- a stop ------------------------------------------------------------------------------------------------------------


async def test_a_stop_waits_for_what_is_due_and_closes_the_rest(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path, ack="redis") as fronted:
        late, relayed, idle = [await fronted.connect() for _ in range(3)]
        late[1].write(click())
        relayed[1].write(click(7, "Content-Length: 3") + b"a")
        await until(lambda: fronted.lane.tickets and any(one.is_relayed for one in fronted.front._connections))
        stopping = asyncio.create_task(fronted.front.stop(PATIENCE_S))
        async with asyncio.timeout(PATIENCE_S):
            assert await idle[0].read() == b""
            assert not stopping.done()
            fronted.lane.keep()
            relayed[1].write(b"bc")
            assert statuses(await late[0].read()) == [204]
            assert statuses(await relayed[0].read()) == [204]
            await stopping
        for _, writer in (late, relayed, idle):
            writer.close()


async def test_a_stop_answers_connections_that_the_kernel_had_accepted(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path) as fronted:
        kept = [socket.create_connection(fronted.front.address) for _ in range(5)]
        await until(lambda: len(fronted.front._connections) == 5)
        new = [socket.create_connection(fronted.front.address) for _ in range(50)]
        for number, one in enumerate(kept + new):
            one.sendall(click(7, "Content-Length: 1") + b"a" if number % 2 else click(8))
        await fronted.stop(PATIENCE_S)
        for one in kept + new:
            with one:
                assert statuses(one.recv(65_536)) == [204]
        assert fronted.lane.counted == {"8": 28}


async def test_a_stop_does_not_wait_for_bytes_behind_a_last_answer(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path) as fronted:
        _, writer = await fronted.connect_slowly()
        await until(lambda: fronted.front._connections)
        [connection] = fronted.front._connections
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection.transport.set_write_buffer_limits(1 << 30)
        connection.transport.write(b"x" * 20_000_000)
        connection.transport.close()
        writer.write(click())
        await until(lambda: connection.has_unread)
        async with asyncio.timeout(PATIENCE_S):
            await fronted.front.stop(3600)
        writer.transport.abort()


async def test_a_stop_waits_for_the_first_request_of_a_new_connection(tmp_path: Path) -> None:
    async with fronting(Application(), tmp_path) as fronted:
        reader, writer = await fronted.connect()
        stopping = asyncio.create_task(fronted.front.stop(PATIENCE_S))
        await asyncio.sleep(0.1)
        writer.write(click())
        async with asyncio.timeout(PATIENCE_S):
            assert statuses(await reader.read()) == [204]
            await stopping
        writer.close()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_stop_lets_clients_read_what_they_were_sent(tmp_path: Path, version: str) -> None:
    async with fronting(Application(), tmp_path) as fronted:
        reader, writer = await fronted.connect_slowly()
        await until(lambda: fronted.front._connections)
        [connection] = fronted.front._connections
        connection.transport.set_write_buffer_limits(1 << 30)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"GET /large HTTP/{version}\r\nHost: t\r\n\r\n".encode())
        await until(lambda: connection.transport.get_write_buffer_size() > 10_000_000)
        stopping = asyncio.create_task(fronted.stop(PATIENCE_S))
        await until(fronted.serving.done)
        assert connection.transport.get_write_buffer_size()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.read()).count(b"x") == 20_000_000
            await stopping
        writer.close()


# -- anything ----------------------------------------------------------------------------------------------------------


PIECES = [
    click(1),
    click(2, "Content-Length: 0"),
    click(3, "Content-Length: 5") + b"abcde",
    click(4, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
    click(5, "Connection: close"),
    click(6, "Expect: 100-continue", "Content-Length: 2") + b"xy",
    link(),
    link("/r/spring?utm_a=b&c", "Content-Length: 0"),
    link("/r/spring", "Content-Length: 2") + b"xy",
    link("/r/unknown"),
    b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n",
    b"HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
    b"\r\n",
    *OTHERS,
]


QUERIES = [
    f"id={UUID_TEXT}",
    f"id&id={UUID_TEXT}",
    f"id={UUID_TEXT}&id",
    f"a=b&id&id={UUID_TEXT}&c",
    f"id=&id={UUID_TEXT}",
    f"id={UUID_TEXT}&id=",
    f"%69d&id={UUID_TEXT}",
    f"i%64={UUID_TEXT}&id={UUID_TEXT}",
    f"i&d&id={UUID_TEXT}",
    f"id={UUID_TEXT}&ID&xid&ids",
    f"&&id={UUID_TEXT}&",
    f"+id&id={UUID_TEXT}",
    f"id;a&id={UUID_TEXT}",
    f"id={UUID_TEXT[:-1]}",
    "id",
]
HITS = [
    f"{method} /track?{query} HTTP/1.1\r\nHost: t\r\n\r\n".encode() for method in ("GET", "POST") for query in QUERIES
]


def drawn(chance: random.Random, pieces: list[bytes]) -> bytes:
    """A few requests, whole or damaged."""
    data = bytearray(b"".join(chance.choice(pieces) for _ in range(chance.randint(1, 4))))
    for _ in range(chance.choice([0, 0, 1, 2])):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] = chance.choice(b"\r\n\0 :;,x0159aZ\xff")
            case 1:
                del data[at : at + chance.randint(1, 5)]
            case _:
                data[at:at] = chance.choice([b"\r\n", b"\r\n\r\n", b" ", b"Content-Length: 3\r\n", click(9)])
    return bytes(data)


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """The bytes in up to five pieces; often cut where headers end."""
    ends = [found.end() for found in re.finditer(rb"\r\n\r\n", data)]
    places = {chance.choice(ends) if chance.random() < 0.5 else chance.randrange(len(data) + 1) for _ in range(4)}
    chosen = sorted(places)[: chance.choice([0, 1, 2, 4])]
    return [data[a:b] for a, b in zip([0, *chosen], [*chosen, len(data)], strict=True)]


async def differences(stage: Stage, seed: int, rounds: int, pieces: list[bytes]) -> AsyncIterator[str]:
    """What the front and hyper alone did differently with the same bytes."""
    chance = random.Random(seed)
    for number in range(rounds):
        data = drawn(chance, pieces) + LAST
        stage.taken()
        results: list[Any] = []
        for inside in (False, True):
            try:
                answer = await stage.asked(*(cut(chance, data) if not inside else [data]), inside=inside)
                results.append((statuses(answer), stage.taken()))
            except TimeoutError:  # damage has made a body of everything behind it
                results.append(("waits", stage.taken()))
        if results[0] != results[1]:
            yield f"round {number}: {data!r}: front {results[0]}, hyper {results[1]}"


@pytest.mark.timeout(400)
async def test_l9_the_front_and_hyper_agree_on_any_bytes(stage: Stage) -> None:
    assert [one async for one in differences(stage, 20261129, 400, [*PIECES, *HITS])] == []


@pytest.mark.parametrize("hit", HITS)
async def test_l5_the_front_and_the_route_agree_on_the_id_of_a_hit(stage: Stage, hit: bytes) -> None:
    answers = [statuses(await stage.asked(hit, LAST, inside=inside)) for inside in (False, True)]
    assert answers[0] == answers[1]


async def test_a_front_that_takes_a_body_for_none_is_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    true = plain._headers

    def careless(block: bytes) -> Any:
        return true(re.sub(rb"(?i)content-length: *\d+\r\n", b"", block))

    monkeypatch.setattr(plain, "_headers", careless)
    monkeypatch.setattr(plain, "_remembered", careless)
    monkeypatch.setattr(plain, "_is_keyless", plain._is_keyless.__wrapped__)
    assert await anext(differences(stage, 1, 100, PIECES[:4]), "")


@pytest.mark.parametrize(("kind", "name", "request_"), [(Clicks, "take_buffer", click()), (Links, "take", link())])
async def test_a_front_that_answers_before_it_counts_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, name: str, request_: bytes
) -> None:
    true = getattr(kind, name)

    def hasty(self: Any, request: Any, connection: Any) -> bytes | None:
        asyncio.get_running_loop().call_later(0.01, true, self, request, connection)
        return self._answers.click

    async def lost() -> int:
        async with fronting(Application(), tmp_path) as fronted:
            reader, writer = await fronted.connect()
            writer.write(request_)
            await reader.readuntil(b"\r\n\r\n")
            counted = fronted.lane.counted.total()  # whoever kills the worker now finds so many
            writer.close()
            return 1 - counted

    assert await lost() == 0
    monkeypatch.setattr(kind, name, hasty)
    assert await lost() == 1
