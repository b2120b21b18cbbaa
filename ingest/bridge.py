"""Serves an ASGI application to Granian's RSGI interface: HTTP and lifespan, in about a page.

Granian looks for either interface, not both, and the hot path needs RSGI. What cannot be carried over: the raw path,
which RSGI has decoded; header values outside ASCII, which arrive empty, so that a header that is there never seems
absent; trailers, whose body is refused, as it cannot be told from one that broke off; and back-pressure, as a stream is
buffered without bound for a client that reads slowly. Websockets are refused.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import structlog
from granian._granian import RSGIProtocolClosed
from starlette.types import ASGIApp, Message, Scope

from ingest.problems import rendered
from shared.errors import Malformed, Unexpected

#: ASGI's name of what RSGI says of the version of HTTP.
_HTTP_VERSIONS = {"1": "1.0", "1.1": "1.1", "2": "2", "3": "3"}
#: Granian answers the upgrade with it, so it has to be a status of HTTP: on a code of RFC 6455 the worker dies.
_WEBSOCKET_REFUSED = 403

log = structlog.get_logger()


class LifespanFailed(RuntimeError):
    """The application could not start or stop; the message is its own."""


class RsgiToAsgi:
    """One ASGI application. Await `startup` before the first request and `shutdown` after the last."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        #: What the application's lifespan made; every request gets a copy.
        self.state: dict[str, Any] = {}

    # -- lifespan --------------------------------------------------------------------------------------------------

    async def startup(self) -> None:
        """Run the application's start-up. Raises LifespanFailed when it fails."""
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._lifespan = asyncio.ensure_future(self._app(scope, self._events.get, self._answers.put))
        await self._exchange("lifespan.startup")

    async def shutdown(self) -> None:
        """Run the application's shut-down. Raises LifespanFailed when it fails."""
        await self._exchange("lifespan.shutdown")
        await self._lifespan

    async def _exchange(self, event: str) -> None:
        await self._events.put({"type": event})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait({answer, self._lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            self._lifespan.result()
            raise LifespanFailed(f"the application ended during {event}")
        if answer.result()["type"] == f"{event}.failed":
            raise LifespanFailed(answer.result().get("message", ""))

    # -- requests --------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, protocol: Any) -> None:
        """Serve one request; the application logs what it raises."""
        if scope.proto != "http":
            protocol.close(_WEBSOCKET_REFUSED)
            return
        exchange = _Exchange(scope.method, protocol)
        error: Exception | None = None
        try:
            await self._app(_scope_of(scope, self.state), exchange.receive, exchange.send)
        except Exception as raised:
            error = raised
        finally:
            exchange.close()
        if not exchange.is_started:
            fault = Malformed("The body broke off, or has trailers.") if exchange.is_torn else Unexpected()
            protocol.response_bytes(*rendered(fault))
        elif not exchange.is_over and not exchange.is_refused:
            log.error("response_broken_off", error=type(error).__name__)
            _break_off(_address(scope.client))


def _scope_of(scope: Any, state: dict[str, Any]) -> Scope:
    headers = scope.headers
    pairs = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name in headers.keys()  # noqa: SIM118 - not a dict
        for value in headers.get_all(name) or [""]
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": _HTTP_VERSIONS.get(scope.http_version, "1.1"),
        "method": scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "raw_path": quote(scope.path, safe="/:@!$&'()*+,;=~-._").encode("ascii"),
        "query_string": scope.query_string.encode(),  # which RSGI has decoded as UTF-8
        "root_path": "",
        "headers": pairs,
        "client": _address(scope.client),
        "server": _address(scope.server),
        "state": dict(state),
    }


def _address(text: str) -> tuple[str, int] | None:
    """`1.2.3.4:56` or `[::1]:56`; None for a unix socket."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def _break_off(client: tuple[str, int] | None) -> None:
    """Close the connection of a client whose answer will not be complete.

    Granian has no call for that, and ends the body of a stream that is dropped: half an answer would look like a whole
    one. (Connections over a unix socket have no address, and stay so.)
    """
    for name in os.listdir("/proc/self/fd") if client else ():
        with suppress(OSError):  # no socket, or no more
            connection = socket.socket(fileno=int(name))
            try:
                if connection.getpeername()[:2] == client:
                    connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()  # it belongs to Granian


def _text(value: bytes) -> str:
    """The value of a header so that Granian, which writes UTF-8, sends the same bytes if they can be UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class _Exchange:
    """One request and its response, as ASGI's two callables."""

    def __init__(self, method: str, protocol: Any) -> None:
        self._protocol = protocol
        self._is_head = method == "HEAD"
        self._body: AsyncIterator[bytes] | None = None
        self._is_received = False
        self._gone: asyncio.Future[None] | None = None
        self._start: Message | None = None
        self._transport: Any = None
        self._is_over = asyncio.Event()
        self.is_started = False
        self.is_torn = False  # the body broke off
        self.is_refused = False  # the client went away in the middle of the response

    @property
    def is_over(self) -> bool:
        """Whether the whole response was handed over."""
        return self._is_over.is_set()

    def close(self) -> None:
        """End what still waits. Call it when the application has returned."""
        if self._gone is not None:
            self._gone.cancel()

    # -- request ---------------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        if self._is_received:
            return await self._disconnected()
        if self._body is None:
            self._body = aiter(self._protocol)
        chunk = await _next(self._body)
        if chunk:
            return {"type": "http.request", "body": bytes(chunk), "more_body": True}
        self._is_received = True
        # A body ends with one empty chunk. One that breaks off brings one for the error and then the one of the end.
        if (await _next(self._body)) is not None:
            self.is_torn = True
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _disconnected(self) -> Message:
        """Wait until the client is gone or the response is complete."""
        # One for the whole exchange: `Request.is_disconnected` only looks, and would cancel each before it can tell.
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._protocol.client_disconnect())
        if not (self.is_torn or self._gone.done() or self.is_over):
            over = asyncio.ensure_future(self._is_over.wait())
            try:
                await asyncio.wait({self._gone, over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                over.cancel()
        return {"type": "http.disconnect"}

    # -- response --------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._start is not None:
                raise RuntimeError("the response has been started before")
            self._start = message
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} is not of HTTP")

    async def _send_body(self, body: bytes, has_more: bool) -> None:
        if self._start is None or self.is_over:
            raise RuntimeError("a body comes after the start and before the end of a response")
        if not self.is_started:
            self.is_started = True
            headers = [(n.decode("latin-1"), _text(v)) for n, v in self._start.get("headers", [])]
            if self._is_head or (not body and not has_more):
                self._protocol.response_empty(self._start["status"], headers)
            elif not has_more:
                self._protocol.response_bytes(self._start["status"], headers, bytes(body))
            else:
                self._transport = self._protocol.response_stream(self._start["status"], headers)
        if self._transport is not None and body:
            try:
                await self._transport.send_bytes(bytes(body))
            except RSGIProtocolClosed as error:  # OSError is what ASGI raises for a client that is gone
                self.is_refused = True
                raise OSError("the client is gone") from error
        if not has_more:
            self._transport = None  # dropping it ends the stream
            self._is_over.set()


async def _next(body: AsyncIterator[bytes]) -> bytes | None:
    """The next chunk; None after the last.

    Not `anext(body, None)`: where the iterator raises at once, as Granian's does after the last chunk, CPython 3.11
    wraps NULL and the process dies. Not a generator around it either: a cancelled wait would end that, and a body of
    which only a part was read would look complete.
    """
    try:
        return await anext(body)
    except StopAsyncIteration:
        return None
