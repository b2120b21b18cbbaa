"""Log one line, and note one count and one duration, for each request that reaches Starlette."""

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS

#: Request ids of clients and proxies that are taken over.
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Methods that get a label of their own; whatever else a client invents shares one.
_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
#: Routes whose good answers are of no interest: probes, and the files of the dashboard.
_QUIET = ("/health", "/ui/assets/")

#: In the scope of a request that is answered by a stream: OPEN, or BROKEN where it ended without its end on purpose.
STREAMED, OPEN, BROKEN = "tallybook.stream", "open", "broken"

log = structlog.get_logger()


class AccessLine:
    """Observe every answer, as the outermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = scope["request_id"] = asked if _ID.fullmatch(asked) else secrets.token_hex(8)
        began, status, size = time.perf_counter(), 499, 0  # 499: the client went away (nginx's number)

        async def observed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
            else:
                size += len(message.get("body", b""))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, observed)
            except Exception as error:
                status = 500
                log.exception("request_failed", error=type(error).__name__)
                raise
            finally:
                _note(scope, status, size, time.perf_counter() - began)


def _note(scope: Scope, status: int, size: int, seconds: float) -> None:
    # The template, never the path: what a client writes there would be a label and a line of its own.
    route = getattr(scope.get("route"), "path", "") or "unmatched"
    method = scope["method"] if scope["method"] in _METHODS else "other"
    HTTP_REQUESTS.labels(route, method, str(status)).inc()
    is_quiet = status == 304 or (status < 400 and route.startswith(_QUIET))
    if STREAMED not in scope:  # how long a stream lasts says nothing about how fast the service is
        HTTP_SECONDS.labels(f"{method} {route}").observe(seconds)
    write = log.debug if is_quiet else log.info
    write("request", method=method, route=route, status=status, took_ms=round(seconds * 1000, 2), bytes=size)
