"""Record page views of an ASGI application.

app = PageViews(app, tally, user=lambda scope: scope["session"].get("user_id"))
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tallybook_sdk.page_views import Recorder, record

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class PageViews:
    """Pass everything through, and record each HTTP request of a user after its answer."""

    def __init__(self, app: App, tally: Recorder, *, user: Callable[[Scope], str | int | None]) -> None:
        self._app, self._tally, self._user = app, tally, user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            headers = dict(scope["headers"])
            referrer, gpc = (headers.get(name, b"").decode("latin-1") for name in (b"referer", b"sec-gpc"))
            route = getattr(scope.get("route"), "path", None)
            record(self._tally, self._user(scope), route, status, began, referrer, gpc)
