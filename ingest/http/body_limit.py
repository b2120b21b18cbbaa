"""Read and bound bodies before any handler runs, so a request that is refused for its body has counted nothing.

Keys are checked first (`ingest/auth/scopes.py`), so a client without a key takes no room from those with one.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import wraps

from msgspec.structs import replace
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.http.openapi import BodyUse, Operation
from ingest.http.problems import response
from ingest.state import Handler, Request
from shared.errors import BodyTimeout, Busy, Malformed, TallybookError, TooLarge, UnsupportedMediaType
from shared.settings import Settings

#: Bytes of a path with its query, and parameters in a query.
URL_MAX = 8192
PARAMETERS_MAX = 64
#: Bytes of a refused body that are read past the answer.
DRAINED_MAX = 32 << 20
#: Bytes of the bodies that one worker holds at a time: of each route that has a limit of its own, and of all others
#: together. So whoever uploads slowly is in nobody else's way. The largest body that a setting allows fits.
HELD_MAX = 64 << 20
#: Seconds that the next piece of such a body may take (nginx: lingering_timeout, 5 s).
LINGER_S = 2.0

#: In the scope of a request: its `Body`.
_BODY = "tallybook.body"


class Disconnected(Exception):
    """The client went away before its body was complete."""


class BodyLimit:
    """Give each request its `Body`, as middleware.

    `limits` are the bytes of the largest body by path; other paths take `settings.body_max_bytes`. Bodies of the
    `packed` paths may use gzip, and are handed on packed.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, limits: Mapping[str, int], packed: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._packed = packed
        self._timeout_s = settings.body_timeout_s
        self._draining_max = settings.bodies_max
        self._draining = 0
        self._others = _Room(settings, settings.body_max_bytes)
        self._rooms = {path: _Room(settings, limit) for path, limit in limits.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            length = _framed(scope)
        except TallybookError as error:
            await response(error, Request(scope))(scope, receive, send)
            return
        room, is_packed = self._rooms.get(scope["path"], self._others), scope["path"] in self._packed
        body = scope[_BODY] = Body(_Incoming(receive), length, room, Headers(scope=scope), is_packed=is_packed)
        try:
            await self._app(scope, body, send)
        except Disconnected:
            return
        finally:
            body.hold(0)
        if not body.is_over:
            await self._drain(body.incoming, length, Headers(scope=scope))

    async def _drain(self, incoming: "_Incoming", length: int | None, headers: Headers) -> None:
        """Read on past the answer, and keep nothing.

        A client that writes its whole body before it reads would otherwise find its connection reset, and no answer. A
        client that asks first ("Expect: 100-continue") writes nothing more.
        """
        is_short = (length or 0) <= DRAINED_MAX and "expect" not in headers
        if not is_short or self._draining >= self._draining_max:
            return
        self._draining += 1
        read = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                while read <= DRAINED_MAX and not incoming.is_over:
                    async with asyncio.timeout(LINGER_S):
                        read += len((await incoming()).get("body", b""))
        except TimeoutError:
            pass  # whoever waits has read the answer
        finally:
            self._draining -= 1


class _Room:
    """Hold what the bodies of a route may take, and what they take now."""

    def __init__(self, settings: Settings, limit: int) -> None:
        self.limit = limit
        self.timeout_s = settings.body_timeout_s
        self.reading_max = settings.bodies_max
        self.reading = self.held = 0


class Body:
    """Read the body of one request, as ASGI's `receive`. Its bytes count until the request is answered."""

    def __init__(
        self, incoming: "_Incoming", length: int | None, room: _Room, headers: Headers, *, is_packed: bool
    ) -> None:
        self.incoming = incoming
        self._length = length
        self._room = room
        self._headers = headers
        self._is_packed = is_packed
        self._held = 0
        self._whole: bytes | None = b"" if length == 0 else None
        self._is_given = self._is_late = False

    @property
    def is_over(self) -> bool:
        """Return whether nothing more is to be read."""
        return self._length == 0 or self.incoming.is_over or self._is_late

    async def __call__(self) -> Message:
        """Return the whole body in one message, then whatever comes."""
        if self._is_given:
            return await self.incoming()
        whole = await self.read()
        self._is_given = True
        return {"type": "http.request", "body": whole, "more_body": False}

    async def read(self) -> bytes:
        """Return the whole body. Raise the error that refuses it, or Disconnected."""
        if self._whole is None:
            encodings = [encoding.lower() for encoding in self._headers.getlist("content-encoding")]
            if encodings not in ([], ["identity"]) and not (encodings == ["gzip"] and self._is_packed):
                what = "plain, or with Content-Encoding: gzip" if self._is_packed else "without Content-Encoding"
                raise UnsupportedMediaType(f"This route takes bodies {what}.")
            self.hold(self._announced())
            self._whole = bytes(await self._collected(is_kept=True))
            self.hold(len(self._whole))
        return self._whole

    async def skip(self) -> None:
        """Read the whole body and keep nothing. Raise the error that refuses it, or Disconnected."""
        if self._whole is None:
            self._announced()
            await self._collected(is_kept=False)
            self._whole = b""

    def hold(self, size: int) -> None:
        """Hold this many bytes from now on. Raise Busy if there is no room for them."""
        size = min(size, HELD_MAX)
        if size > self._held and self._room.held - self._held + size > HELD_MAX:
            raise Busy
        self._room.held += size - self._held
        self._held = size

    def _announced(self) -> int:
        """Return the bytes that can come at most. Raise TooLarge."""
        if (self._length or 0) > self._room.limit:
            raise self._too_large()
        return self._room.limit if self._length is None else self._length

    async def _collected(self, *, is_kept: bool) -> bytearray:
        room = self._room
        if room.reading >= room.reading_max:
            raise Busy
        room.reading += 1
        whole, read = bytearray(), 0
        try:
            async with asyncio.timeout(room.timeout_s):
                while not self.incoming.is_over:
                    message = await self.incoming()
                    if message["type"] == "http.disconnect":
                        raise Disconnected
                    piece = message.get("body", b"")
                    read += len(piece)
                    if read > room.limit:
                        raise self._too_large()
                    if is_kept:
                        whole += piece
        except TimeoutError:
            self._is_late = True
            raise BodyTimeout from None
        finally:
            room.reading -= 1
        return whole

    def _too_large(self) -> TooLarge:
        return TooLarge(f"This route takes at most {self._room.limit} bytes.")


def hold(request: Request, size: int) -> None:
    """Hold this many bytes for a request until it is answered. Raise Busy."""
    if _BODY in request.scope:
        request.scope[_BODY].hold(size)


def read_first(operations: Iterable[Operation]) -> list[Operation]:
    """Return the operations with handlers that read the body first, as each operation uses it."""
    return [replace(one, handler=_reading(one.handler, one.body_use)) for one in operations]


def _reading(handler: Handler, use: BodyUse) -> Handler:
    if use == "later":  # the handler reads it by itself, when it has checked a key
        return handler

    @wraps(handler)
    async def checked(request: Request) -> Response:
        body: Body = request.scope[_BODY]
        if use == "ignored":
            await body.skip()
        elif await body.read() and use == "refused":
            raise Malformed("This route takes no body. Give everything in the query.")
        return await handler(request)

    return checked


class _Incoming:
    """Receive from a client. `is_over` is set once nothing more comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_over = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_over = not message.get("more_body", False)
        return message


def _framed(scope: Scope) -> int | None:
    """Return the length of the body; None for a body in chunks.

    Raise for an address that is too long, and for a body whose end is ambiguous: nothing more of such a client is read.
    """
    if len(scope["raw_path"] or b"") + len(scope["query_string"]) > URL_MAX:
        raise Malformed(f"The address is longer than {URL_MAX} bytes.")
    if scope["query_string"].count(b"&") >= PARAMETERS_MAX:
        raise Malformed(f"The query has more than {PARAMETERS_MAX} parameters.")
    headers = Headers(scope=scope)
    length = _length(headers)
    if "transfer-encoding" not in headers:
        return length or 0
    if length is not None:
        raise Malformed("A request has either Content-Length or Transfer-Encoding.")
    if [encoding.lower() for encoding in headers.getlist("transfer-encoding")] != ["chunked"]:
        raise UnsupportedMediaType("Transfer-Encoding can only be chunked.")
    return None


def _length(headers: Headers) -> int | None:
    texts = headers.getlist("content-length")
    if not texts:
        return None
    if len(texts) > 1 or not (texts[0].isascii() and texts[0].isdigit()):
        raise Malformed("Content-Length has to be one decimal number.")
    # Some 20 digits say all, and int() refuses thousands of them.
    return int(texts[0].lstrip("0")[:20] or "0")
