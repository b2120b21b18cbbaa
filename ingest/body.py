"""Bodies are read and bounded before any handler runs, so a request that is refused for its body has counted
nothing."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.problems import response
from shared.errors import BodyTimeout, Busy, Malformed, TallybookError, TooLarge, UnsupportedMediaType
from shared.settings import Settings

#: Bytes of a path with its query, and parameters in a query.
URL_MAX = 8192
PARAMETERS_MAX = 64
#: Bytes of a refused body that are read past the answer.
DRAINED_MAX = 32 << 20
#: Bytes of the bodies that one worker reads at a time: of each route that has a limit of its own, and of all others
#: together. So whoever uploads slowly is in nobody else's way. The largest body that a setting allows fits.
READING_MAX = 64 << 20
#: Seconds that the next piece of such a body may take (nginx: lingering_timeout, 5 s).
LINGER_S = 2.0


class Disconnected(Exception):
    """The client went away before its body was complete; there is nobody to answer."""


class BodyLimit:
    """Middleware. `limits` gives the largest body of single paths in bytes; the others take
    `settings.body_max_bytes`. Bodies of the `packed` paths may come with gzip, and are handed on as they came."""

    def __init__(
        self, app: ASGIApp, settings: Settings, limits: Mapping[str, int], packed: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._limits = limits
        self._packed = packed
        self._default = settings.body_max_bytes
        self._timeout_s = settings.body_timeout_s
        self._bodies_max = settings.bodies_max
        self._reading = 0
        self._reserved = Counter[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            length = _framed(scope)
        except TallybookError as error:
            await response(error, Request(scope))(scope, receive, send)
            return
        incoming = _Incoming(receive)
        try:
            body = await self._checked(scope, incoming, length)
        except TallybookError as error:
            await response(error, Request(scope))(scope, receive, send)
            if not isinstance(error, BodyTimeout):
                await self._drain(scope, incoming, length)
            return
        except Disconnected:
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _checked(self, scope: Scope, receive: Receive, length: int | None) -> bytes:
        """The whole body, or the error that refuses it."""
        if length == 0:
            return b""
        encodings = [encoding.lower() for encoding in Headers(scope=scope).getlist("content-encoding")]
        is_packed = scope["path"] in self._packed
        if encodings not in ([], ["identity"]) and not (encodings == ["gzip"] and is_packed):
            what = "plain, or with Content-Encoding: gzip" if is_packed else "without Content-Encoding"
            raise UnsupportedMediaType(f"This route takes bodies {what}.")
        limit = self._limits.get(scope["path"], self._default)
        if (length or 0) > limit:
            raise TooLarge(f"This route takes at most {limit} bytes.")
        route = scope["path"] if scope["path"] in self._limits else ""
        return await self._read(receive, limit, route, limit if length is None else length)

    async def _drain(self, scope: Scope, incoming: "_Incoming", length: int | None) -> None:
        """Read on past the answer, and keep nothing. A client that writes its whole body before it reads would find
        its connection reset, and no answer; one that asks first ("Expect: 100-continue") writes nothing more."""
        is_short = (length or 0) <= DRAINED_MAX and "expect" not in Headers(scope=scope)
        if not is_short or self._reading >= self._bodies_max:
            return
        self._reading += 1
        read = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                while read <= DRAINED_MAX and not incoming.is_over:
                    async with asyncio.timeout(LINGER_S):
                        read += len((await incoming()).get("body", b""))
        except TimeoutError:
            pass  # whoever waits has read the answer
        finally:
            self._reading -= 1

    async def _read(self, receive: Receive, limit: int, route: str, size: int) -> bytes:
        if self._reading >= self._bodies_max or self._reserved[route] + size > READING_MAX:
            raise Busy
        self._reading += 1
        self._reserved[route] += size
        try:
            async with asyncio.timeout(self._timeout_s):
                return await _all_of(receive, limit)
        except TimeoutError:
            raise BodyTimeout from None
        finally:
            self._reading -= 1
            self._reserved[route] -= size


class _Incoming:
    """What comes from a client; `is_over` once nothing more does."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_over = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_over = not message.get("more_body", False)
        return message


def _framed(scope: Scope) -> int | None:
    """The length of the body, None for one in chunks. Raises for an address that is too long, and for a body of which
    nobody can say where it ends: of such a client nothing more is read."""
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


async def _all_of(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"This route takes at most {limit} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out the body that was read, then whatever comes."""
    is_sent = False

    async def replay() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
