"""Record page views of a WSGI application.

app.wsgi_app = PageViews(app.wsgi_app, tally, user=lambda environ: environ.get("REMOTE_USER"))
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tallybook_sdk.page_views import Recorder, record

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def flask_route(environ: Environ) -> str | None:
    """Return the template of a route of Flask, or None."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return getattr(rule, "rule", None)


class PageViews:
    """Pass everything through, and record each request of a user after its answer."""

    def __init__(
        self,
        app: App,
        tally: Recorder,
        *,
        user: Callable[[Environ], str | int | None],
        route: Callable[[Environ], str | None] = flask_route,
    ) -> None:
        self._app, self._tally, self._user, self._route = app, tally, user, route

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        began, status, route = time.perf_counter(), "500", None

        def starting(said: str, *rest: Any) -> Any:
            nonlocal status, route
            status, route = said, self._route(environ)  # Flask forgets its request before the body is closed
            return start_response(said, *rest)

        def done() -> None:
            referrer, gpc = (str(environ.get(name, "")) for name in ("HTTP_REFERER", "HTTP_SEC_GPC"))
            matched = route or self._route(environ)
            record(self._tally, self._user(environ), matched, int(status[:3]), began, referrer, gpc)

        try:
            answer = self._app(environ, starting)
        except BaseException:
            done()
            raise
        return _Body(answer, done)


class _Body:
    """The body of an answer, whose end is noted."""

    def __init__(self, body: Iterable[bytes], done: Callable[[], None]) -> None:
        self._body, self._done = body, done

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the body, and record: a server calls this at the end of every answer."""
        try:
            if close := getattr(self._body, "close", None):
                close()
        finally:
            self._done()
