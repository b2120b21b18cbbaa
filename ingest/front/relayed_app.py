"""The ASGI application behind Granian: the service's own, with the client's address put back into its scope.

Granian sees a unix socket; the name of the other end says which client it speaks for. A request that was never answered
gets an answer here, and half an answer never looks like a whole one.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.front.folder import client_of
from ingest.http.access_log import BROKEN, STREAMED
from ingest.http.problems import rendered
from shared.errors import Malformed, Unexpected

log = structlog.get_logger()


class BrokenOff(Exception):
    """An answer ended in its middle. Granian ends the connection when this is raised."""


class RelayedApp:
    """One application with the state of its lifespan. `server` is where the front listens."""

    def __init__(self, app: ASGIApp, state: Mapping[str, Any], server: tuple[str, int]) -> None:
        self._app, self._state, self._server = app, state, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. The application logs what it raises."""
        scope["client"] = client_of(scope["client"][0]) if scope["client"] else None
        scope["server"] = self._server
        scope["state"] = dict(self._state)
        start: Message | None = None
        is_started = is_over = is_torn = False
        error: Exception | None = None

        async def received() -> Message:
            nonlocal is_torn
            message = await receive()
            is_torn = is_torn or message["type"] == "http.disconnect"
            return message

        async def sent(message: Message) -> None:
            nonlocal start, is_started, is_over
            if message["type"] == "http.response.start":
                start = message  # held back: until there is a body, a failure can still become a 500
                return
            if start is not None and not is_started:
                is_started = True
                await send(start)
            await send(message)
            is_over = not message.get("more_body", False)

        try:
            await self._app(scope, received, sent)
        except Exception as raised:
            error = raised
        if not is_started:
            await _answer(Malformed("The body broke off.") if is_torn else Unexpected(), send)
        elif not is_over:
            if not is_torn and scope.get(STREAMED) != BROKEN:
                log.error("response_broken_off", error=type(error).__name__)
            raise BrokenOff


async def _answer(error: Malformed | Unexpected, send: Send) -> None:
    status, headers, body = rendered(error)
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
