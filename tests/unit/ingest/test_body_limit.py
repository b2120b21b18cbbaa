"""Bodies are bounded in size, time and number before a handler runs."""

import asyncio
import gzip
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.events import routes as events
from ingest.http import body_limit as body_module
from ingest.http.body_limit import DRAINED_MAX, BodyLimit, hold, read_first
from ingest.http.openapi import BodyUse, Operation, routes
from ingest.http.problems import HANDLERS
from shared.errors import TallybookError
from shared.settings import Settings

BULK = {"/stats": 4096}
Header = tuple[bytes, bytes]


class App:
    """Notes the bodies that get through."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(await Request(scope, receive).body())
        await PlainTextResponse("ok")(scope, receive, send)


class Client:
    """One request whose body arrives piece by piece; `None` is the client going away."""

    def __init__(self, *pieces: bytes | None, is_complete: bool = True) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.read = self.read_before_answer = 0
        self.is_read = asyncio.Event()
        for index, piece in enumerate(pieces):
            has_more = index < len(pieces) - 1 or not is_complete
            self.push(piece, has_more)

    def push(self, piece: bytes | None, has_more: bool = False) -> None:
        gone = {"type": "http.disconnect"}
        self._messages.put_nowait(gone if piece is None else _message(piece, has_more))

    async def receive(self) -> Message:
        message = await self._messages.get()
        self.read += len(message.get("body", b""))
        self.is_read.set()
        return message


def _message(piece: bytes, has_more: bool) -> Message:
    return {"type": "http.request", "body": piece, "more_body": has_more}


def limited(**settings: Any) -> tuple[BodyLimit, App]:
    app = App()
    return BodyLimit(answering(app), Settings(**({"body_max_bytes": 100} | settings)), BULK), app


def answering(app: ASGIApp) -> ASGIApp:
    """What the application has around its routes."""
    return ExceptionMiddleware(app, {TallybookError: HANDLERS[TallybookError]})


async def ask(
    limit: BodyLimit,
    client: Client,
    headers: Sequence[Header] = (),
    path: str = "/stats/1",
    query: bytes = b"",
) -> tuple[int, dict[str, str], Any]:
    """(status, headers, problem or None); status 0 when nothing was answered."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        client.read_before_answer = client.read_before_answer if sent else client.read
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
    }
    await limit(scope, client.receive, send)
    if not sent:
        return 0, {}, None
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    is_problem = found["content-type"].startswith("application/problem+json")
    return sent[0]["status"], found, msgspec.json.decode(sent[1]["body"]) if is_problem else None


def length(value: object) -> list[Header]:
    return [(b"content-length", str(value).encode())]


CHUNKED = [(b"transfer-encoding", b"chunked")]


async def test_a_body_within_the_limit_reaches_the_handler_whole() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a" * 60, b"b" * 40), length(100))
    assert (status, app.bodies) == (200, [b"a" * 60 + b"b" * 40])


@pytest.mark.parametrize("headers", [[], length(0), length("000")])
async def test_without_a_body_nothing_is_read(headers: list[Header]) -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(), headers)
    assert (status, app.bodies) == (200, [b""])


@pytest.mark.parametrize("size", [101, 100 << 20, 10**19, 10**400])
async def test_l2_a_length_over_the_limit_is_refused_before_a_byte_is_read(size: int) -> None:
    limit, app = limited(body_timeout_s=0.01)
    client = Client(b"a" * 50, is_complete=False)
    status, _, problem = await ask(limit, client, length(size))
    assert (status, problem["code"], client.read_before_answer, app.bodies) == (413, "too_large", 0, [])


async def test_l2_a_length_is_not_hidden_by_zeros_in_front() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a" * 101), length("0" * 30 + "101"))
    assert (status, app.bodies) == (413, [])
    status, _, _ = await ask(limit, Client(b"a" * 7), length("0" * 30 + "7"))
    assert (status, app.bodies) == (200, [b"a" * 7])


async def test_l2_streamed_bytes_over_the_limit_are_refused_at_once() -> None:
    limit, app = limited()
    client = Client(*[b"a" * 40] * 1000)
    status, _, problem = await ask(limit, client, CHUNKED)
    assert (status, problem["code"], app.bodies) == (413, "too_large", [])
    assert client.read_before_answer == 120


@pytest.mark.parametrize("headers", [CHUNKED, length(40_000), [*length(40_000), (b"content-encoding", b"br")]])
async def test_l2_what_is_refused_is_read_to_its_end_so_that_the_client_reads_its_answer(headers: list[Header]) -> None:
    limit, app = limited()
    client = Client(*[b"a" * 40] * 1000)
    status, _, _ = await ask(limit, client, headers)
    assert (status in (413, 415), client.read, app.bodies) == (True, 40_000, [])


async def test_l2_what_is_refused_is_read_within_bounds() -> None:
    piece = b"a" * (1 << 20)
    for headers, read in (
        (CHUNKED, DRAINED_MAX + 2 * len(piece)),
        (length(DRAINED_MAX), DRAINED_MAX + len(piece)),
        (length(DRAINED_MAX + 1), 0),
        ([*length(1000), (b"expect", b"100-continue")], 0),
        ([*length(1000), *CHUNKED], 0),
    ):
        limit, _ = limited()
        client = Client(*[piece] * 40)
        await ask(limit, client, headers)
        assert client.read == read


async def test_l2_a_false_length_does_not_let_more_in() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a" * 40, b"a" * 100), length(40))
    assert (status, app.bodies) == (413, [])


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 0", "1,1", "0x10", "1e3", "٣", "1_0", "abc"])
async def test_l2_a_malformed_length_is_refused(text: str) -> None:
    limit, app = limited()
    headers = [(b"content-length", text.encode())]
    status, _, problem = await ask(limit, Client(b"a"), headers)
    assert (status, problem["code"], app.bodies) == (400, "malformed", [])


async def test_l2_two_lengths_are_refused_even_when_equal() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a"), length(1) + length(1))
    assert (status, app.bodies) == (400, [])


@pytest.mark.parametrize("size", [0, 1])
async def test_l2_length_together_with_transfer_encoding_is_refused(size: int) -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a"), length(size) + CHUNKED)
    assert (status, app.bodies) == (400, [])


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"GZIP", b"identity, gzip", b"x"])
async def test_l4_a_compressed_body_is_not_read(encoding: bytes) -> None:
    limit, app = limited()
    client = Client(b"a")
    status, _, problem = await ask(limit, client, [*length(1), (b"content-encoding", encoding)])
    assert (status, problem["code"], client.read_before_answer, app.bodies) == (415, "unsupported_media_type", 0, [])


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip"])
async def test_l4_what_a_route_takes_is_said_to_whoever_sends_something_else(encoding: bytes) -> None:
    app, headers = App(), [*length(1), (b"content-encoding", encoding)]
    limit = BodyLimit(answering(app), Settings(), BULK, packed=frozenset({"/events"}))
    _, _, problem = await ask(limit, Client(b"a"), headers, path="/events")
    assert problem["detail"] == "This route takes bodies plain, or with Content-Encoding: gzip."
    _, _, problem = await ask(limit, Client(b"a"), headers)
    assert problem["detail"] == "This route takes bodies without Content-Encoding."
    assert app.bodies == []


async def test_l4_a_second_encoding_is_not_overlooked() -> None:
    limit, app = limited()
    encodings = [(b"content-encoding", b"identity"), (b"content-encoding", b"gzip")]
    status, _, _ = await ask(limit, Client(b"a"), [*length(1), *encodings])
    assert (status, app.bodies) == (415, [])


@pytest.mark.parametrize("encodings", [[b"gzip, chunked"], [b"gzip", b"chunked"], [b"identity"], [b""]])
async def test_l2_a_transfer_encoding_is_chunked_or_refused(encodings: list[bytes]) -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a"), [(b"transfer-encoding", encoding) for encoding in encodings])
    assert (status, app.bodies) == (415, [])


async def test_l2_identity_is_no_compression() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a"), [*length(1), (b"content-encoding", b"Identity")])
    assert (status, app.bodies) == (200, [b"a"])


async def test_l2_bulk_requests_have_a_limit_of_their_own() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a" * 4096), length(4096), path="/stats")
    assert (status, app.bodies) == (200, [b"a" * 4096])
    status, _, _ = await ask(limit, Client(b"a" * 4097), length(4097), path="/stats")
    assert status == 413
    status, _, _ = await ask(limit, Client(b"a" * 4096), length(4096), path="/stats/")
    assert status == 413


async def test_l3_a_body_that_comes_too_slowly_is_given_up() -> None:
    limit, app = limited(body_timeout_s=0.01)
    status, headers, problem = await ask(limit, Client(b"a", is_complete=False), length(2))
    assert (status, problem["code"], app.bodies) == (408, "body_timeout", [])
    assert headers["retry-after"]


async def test_l3_one_body_more_than_allowed_is_refused_and_room_is_given_back() -> None:
    limit, app = limited(bodies_max=2)
    slow = [Client(b"a", is_complete=False) for _ in range(2)]
    waiting = [asyncio.create_task(ask(limit, client, length(2))) for client in slow]
    await asyncio.gather(*(client.is_read.wait() for client in slow))
    status, headers, problem = await ask(limit, Client(b"a"), length(1))
    assert (status, problem["code"], app.bodies) == (503, "busy", [])
    assert headers["retry-after"]
    assert (await ask(limit, Client()))[0] == 200  # what has no body is not in the way
    for client in slow:
        client.push(b"b")
    assert [(await answer)[0] for answer in waiting] == [200, 200]
    assert (await ask(limit, Client(b"a"), length(1)))[0] == 200
    assert app.bodies == [b"", b"ab", b"ab", b"a"]


async def test_l3_bodies_of_a_route_have_so_many_bytes_and_are_in_nobody_elses_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_module, "HELD_MAX", 4096)
    limit, _ = limited(bodies_max=100)
    slow = Client(b"a", is_complete=False)
    waiting = asyncio.create_task(ask(limit, slow, length(4000), path="/stats"))
    await slow.is_read.wait()
    for headers in (length(97), CHUNKED):  # nobody knows of one in chunks how long it becomes
        status, _, problem = await ask(limit, Client(b"a" * 97), headers, path="/stats")
        assert (status, problem["code"]) == (503, "busy")
    assert (await ask(limit, Client(b"a" * 96), length(96), path="/stats"))[0] == 200
    assert (await ask(limit, Client(b"a" * 97), length(97)))[0] == 200
    slow.push(b"a" * 3999)
    assert (await waiting)[0] == 200
    assert (await ask(limit, Client(b"a" * 4096), CHUNKED, path="/stats"))[0] == 200


async def test_l3_slow_bodies_of_one_route_take_no_place_of_another() -> None:
    limit, _ = limited(bodies_max=1)
    slow = Client(b"a", is_complete=False)
    waiting = asyncio.create_task(ask(limit, slow, length(2)))
    await slow.is_read.wait()
    assert (await ask(limit, Client(b"a"), length(1)))[0] == 503
    assert (await ask(limit, Client(b"a"), length(1), path="/stats"))[0] == 200
    slow.push(b"a")
    assert (await waiting)[0] == 200


async def test_l3_the_bytes_of_a_body_are_held_until_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "HELD_MAX", 100)
    begun, may_answer = asyncio.Event(), asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        hold(request, 90)  # as after unpacking
        begun.set()
        await may_answer.wait()
        await PlainTextResponse("ok")(scope, receive, send)

    limit = BodyLimit(answering(waiting), Settings(), BULK)
    first = asyncio.create_task(ask(limit, Client(b"a"), length(1)))
    await begun.wait()
    begun.clear()
    status, headers, problem = await ask(limit, Client(b"a" * 11), length(11))
    assert (status, problem["code"], headers["retry-after"]) == (503, "busy", "1")
    status, _, problem = await ask(limit, Client(b"a"), length(1))  # which fits, and finds no room once unpacked
    assert (status, problem["code"]) == (503, "busy")
    may_answer.set()
    assert (await first)[0] == 200
    assert (await ask(limit, Client(b"a" * 11), length(11)))[0] == 200


async def test_l4_an_upload_is_held_unpacked_until_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "HELD_MAX", 20_000)
    monkeypatch.setattr(events, "BODY_MAX", 9_000)
    settings, may_answer = Settings(), asyncio.Event()
    waiting: asyncio.Queue[bytes] = asyncio.Queue()

    async def upload(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"settings": settings}
        waiting.put_nowait(await events._body(Request(scope, receive)))
        await may_answer.wait()  # as for Redis
        await PlainTextResponse("ok")(scope, receive, send)

    limit = BodyLimit(answering(upload), settings, {"/events": 9_000}, frozenset({"/events"}))
    packed = gzip.compress(b" " * 8_000)
    headers = [(b"content-encoding", b"gzip"), *length(len(packed))]
    answers = [asyncio.create_task(ask(limit, Client(packed), headers, path="/events")) for _ in range(2)]
    assert [await waiting.get(), await waiting.get()] == [b" " * 8_000] * 2
    status, _, problem = await ask(limit, Client(packed), headers, path="/events")
    assert (status, problem["code"], waiting.qsize()) == (503, "busy", 0)
    may_answer.set()
    assert [(await answer)[0] for answer in answers] == [200, 200]
    assert (await ask(limit, Client(packed), headers, path="/events"))[0] == 200


@pytest.mark.parametrize("use", ["ignored", "refused", "read"])
async def test_l4_only_what_reads_a_body_minds_how_it_is_packed(use: BodyUse) -> None:
    async def handler(request: Request) -> Response:
        return PlainTextResponse(f"{len(await request.body())}")

    one = Operation(method="POST", path="/stats/1", handler=handler, summary="", answers={}, body_use=use)
    app = Starlette(routes=routes(read_first([one])), exception_handlers={TallybookError: HANDLERS[TallybookError]})
    limit = BodyLimit(app, Settings(body_max_bytes=100), {})
    packed = (b"content-encoding", b"gzip")
    status, _, problem = await ask(limit, Client(b"a" * 100), [packed, *length(100)])
    assert (status, problem and problem["code"]) == {
        "ignored": (200, None),
        "refused": (415, "unsupported_media_type"),
        "read": (415, "unsupported_media_type"),
    }[use]
    status, _, problem = await ask(limit, Client(b"a" * 100), CHUNKED)
    assert (status, problem and problem["code"]) == ((400, "malformed") if use == "refused" else (200, None))
    assert (await ask(limit, Client(b"a" * 101), length(101)))[0] == 413
    assert (await ask(limit, Client(b"a" * 101), CHUNKED))[0] == 413
    assert (await ask(limit, Client(b""), CHUNKED))[0] == 200


@pytest.mark.parametrize("ending", ["gone", "slow", "large"])
async def test_l3_a_body_that_failed_gives_its_room_back(ending: str) -> None:
    limit, _ = limited(bodies_max=1, body_timeout_s=0.01)
    for _ in range(3):
        pieces = {"gone": (b"a", None), "slow": (b"a",), "large": (b"a" * 101,)}[ending]
        await ask(limit, Client(*pieces, is_complete=False), CHUNKED)
    app_status, _, _ = await ask(limit, Client(b"a"), length(1))
    assert app_status == 200


async def test_l3_a_client_that_goes_away_in_mid_body_never_reaches_the_handler() -> None:
    limit, app = limited()
    status, _, _ = await ask(limit, Client(b"a", None), length(2))
    assert (status, app.bodies) == (0, [])


async def test_l5_a_long_address_is_refused() -> None:
    limit, app = limited()
    assert (await ask(limit, Client(), path="/" + "a" * 8192))[0] == 400
    assert (await ask(limit, Client(), query=b"a" * 8192))[0] == 400
    assert app.bodies == []


async def test_l5_many_parameters_are_refused() -> None:
    limit, app = limited()
    assert (await ask(limit, Client(), query=b"&".join([b"a=1"] * 64)))[0] == 200
    assert (await ask(limit, Client(), query=b"&".join([b"a=1"] * 65)))[0] == 400
    assert len(app.bodies) == 1


async def test_what_is_not_http_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nobody asks")

    await BodyLimit(app, Settings(), {})({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]
