"""Record page views of a Django project.

    MIDDLEWARE = [..., "shop.middleware.page_views"]

    # shop/middleware.py
    page_views = django.PageViews.of(tally, user=lambda request: request.session.get("user_id"))

`user` is called in the thread of the request. In async code it must not touch `request.user`, which asks the database.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from tallybook_sdk.page_views import Recorder, record


class PageViews:
    """A middleware for sync and async, which records each request of a user after its answer."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[Any], Any], tally: Recorder, user: Callable[[Any], Any]) -> None:
        self._get_response, self._tally, self._user = get_response, tally, user
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    @classmethod
    def of(cls, tally: Recorder, *, user: Callable[[Any], str | int | None]) -> Callable[[Any], "PageViews"]:
        """Return what Django makes the middleware with."""

        def made(get_response: Callable[[Any], Any]) -> PageViews:
            return cls(get_response, tally, user)

        made.sync_capable = made.async_capable = True  # type: ignore[attr-defined]
        return made

    def __call__(self, request: Any) -> Any:
        """Serve one request."""
        if self._is_async:
            return self._awaited(request)
        began = time.perf_counter()
        response = self._get_response(request)
        self._record(request, response, began)
        return response

    async def _awaited(self, request: Any) -> Any:
        began = time.perf_counter()
        response = await self._awaitable(request)
        self._record(request, response, began)
        return response

    def _awaitable(self, request: Any) -> Awaitable[Any]:
        answer: Awaitable[Any] = self._get_response(request)
        return answer

    def _record(self, request: Any, response: Any, began: float) -> None:
        route = getattr(request.resolver_match, "route", None)
        referrer, gpc = (request.headers.get(name, "") for name in ("referer", "sec-gpc"))
        record(self._tally, self._user(request), route, response.status_code, began, referrer, gpc)
