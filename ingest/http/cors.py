"""Let pages of allowed origins read answers (CORS): those to hits and clicks with credentials, statistics with a key.

Counting does not depend on it: a pixel and `navigator.sendBeacon` need no permission. Answers name the exact origin,
because browsers refuse `*` together with credentials.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import wraps

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.state import Handler, Request
from shared.errors import TallybookError

#: Seconds for which a browser may believe a preflight.
_BELIEVED_S = 600
#: In the scope of a request whose answer every page may read.
_IS_OPEN = "tallybook.open_to_all"
#: Headers of an answer, beside those that pages always see.
_EXPOSED = "idempotent-replayed, retry-after"
#: The same of what is read, and the methods that read.
_OF_READS = (
    "etag, link, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, tallybook-as-of, "
    "tallybook-missing, x-relative-error, x-request-id"
)
_READS = ("GET", "HEAD")


class OpenToAll:
    """Let every page read every answer of these paths, errors included, as middleware.

    Such an answer names no origin and takes no credentials. It has no `cache-control`: an answer to a POST is not
    cached, and `no-store` would keep the page out of the back/forward cache of browsers.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self._app = app
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return

        async def opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                open_to_all(MutableHeaders(scope=message))
            await send(message)

        scope[_IS_OPEN] = True
        await self._app(scope, receive, opened)


def is_open(scope: Scope) -> bool:
    """Return whether every page may read the answer: one that is made outside of the middleware has to say so."""
    return _IS_OPEN in scope


def open_to_all(headers: MutableHeaders) -> None:
    """Change the headers of an answer so that every page may read it."""
    headers["access-control-allow-origin"] = "*"
    del headers["cache-control"]


class ReadOrigins:
    """Let pages of allowed origins read what GET answers at these paths, errors included, as middleware.

    Such a page sends a key, and never a cookie: no answer allows credentials.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str], paths: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)
        patterns = (re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)) for path in paths)
        self._paths = re.compile("|".join(patterns))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._paths.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, asked = headers.get("origin"), headers.get("access-control-request-method")
        is_allowed = origin in self._allowed
        if scope["method"] == "OPTIONS" and asked in _READS:
            await self._preflight(origin if is_allowed else None)(scope, receive, send)
            return

        async def shown(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.add_vary_header("Origin")
                if is_allowed:
                    answer["access-control-allow-origin"] = origin or ""
                    answer["access-control-expose-headers"] = _OF_READS
            await send(message)

        await self._app(scope, receive, shown if scope["method"] in _READS else send)

    def _preflight(self, origin: str | None) -> Response:
        headers = {"cache-control": "no-store", "vary": "Origin, Access-Control-Request-Method"}
        if origin is not None:
            headers |= {
                "access-control-allow-origin": origin,
                "access-control-allow-methods": "GET, HEAD",
                "access-control-allow-headers": "authorization, if-none-match",
                "access-control-max-age": str(_BELIEVED_S),
            }
        return Response(status_code=204, headers=headers)


class Origins:
    """Hold the allowed origins."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers of an answer to a page of this origin."""
        if origin not in self._allowed:
            return {"vary": "Origin"}
        return {
            "vary": "Origin",
            "access-control-allow-origin": origin or "",
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": _EXPOSED,
        }

    def preflight(self, headers: Mapping[str, str], methods: str, names: str) -> dict[str, str]:
        """Return the headers of an answer to a preflight: the methods and headers that a page may send.

        Other origins get none of them, so their browsers stop there.
        """
        allowed = self.headers(headers.get("origin"))
        if len(allowed) == 1 or "access-control-request-method" not in headers:
            return allowed
        return {
            **allowed,
            "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "access-control-allow-methods": methods,
            "access-control-allow-headers": names,
            "access-control-max-age": str(_BELIEVED_S),
        }


def readable(handler: Handler) -> Handler:
    """Return the handler with headers that let allowed pages read its answers, errors included."""

    @wraps(handler)
    async def answered(request: Request) -> Response:
        headers = request.state.origins.headers(request.headers.get("origin"))
        try:
            response = await handler(request)
        except TallybookError as error:
            error.headers = {**error.headers, **headers}
            raise
        response.headers.update(headers)
        return response

    return answered


def preflighted(request: Request, methods: str, names: str) -> Response:
    """Return the answer to a preflight. Count nothing."""
    headers = request.state.origins.preflight(request.headers, methods, names)
    return Response(status_code=204, headers={"cache-control": "no-store", **headers})


def preflight(path: str, handler: Handler, tag: str, order: int, *parameters: Parameter) -> Operation:
    """Return the operation that serves preflights of a path."""
    return Operation(
        method="OPTIONS",
        path=path,
        handler=handler,
        summary="May a page of this origin read the answer?",
        description="A preflight (CORS): asked by browsers, for the origins of the settings. Counts nothing.",
        tag=tag,
        parameters=parameters,
        answers={204: Answer("What the page may", headers={"Access-Control-Allow-Origin": "The origin, if it may"})},
        order=order,
    )
