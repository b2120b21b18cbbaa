"""A web site of a test, on a port of its own: pages by their path, and what was asked of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit


class Asked(NamedTuple):
    """One request; names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    #: When its body had come, by `time.time()`.
    at: float


class Page(NamedTuple):
    """What a site answers; status 0 breaks the connection instead."""

    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = {"content-type": "text/html; charset=utf-8"}


#: Answers a request; None is 404.
Answers = Callable[[Asked], Page | None]


class Site:
    """Serves pages on 127.0.0.1, which `localhost` reaches as another origin."""

    def __init__(self, pages: Mapping[str, Page | str] | None = None, answers: Answers | None = None) -> None:
        #: By path; may be changed at any moment.
        self.pages: dict[str, Page | str] = dict(pages or {})
        self._answers = answers
        self._lock = Lock()
        self._asked: list[Asked] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                site._serve(self)

            do_GET = do_HEAD = do_POST = do_OPTIONS = _serve

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_url(self) -> str:
        """The same server as another origin."""
        return f"http://localhost:{self.port}"

    def asked(self, method: str | None = None, path: str | None = None) -> list[Asked]:
        """Return the requests so far, of one method or path where they are given."""
        with self._lock:
            every = list(self._asked)
        return [one for one in every if method in (None, one.method) and path in (None, one.path)]

    def forget(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._asked.clear()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        asked = Asked(handler.command, parts.path, query, headers, body, time.time())
        with self._lock:
            self._asked.append(asked)
        page = self._answers(asked) if self._answers else None
        if page is None:
            page = self.pages.get(parts.path) or Page("not here", 404)
        if isinstance(page, str):
            page = Page(page)
        if not page.status:
            handler.close_connection = True
            return
        content = page.body.encode() if isinstance(page.body, str) else page.body
        try:
            handler.send_response(page.status)
            for name, value in page.headers.items():
                handler.send_header(name, value)
            if page.status not in (204, 304):
                handler.send_header("content-length", str(len(content)))
            handler.end_headers()
            if handler.command != "HEAD" and page.status not in (204, 304):
                handler.wfile.write(content)
        except OSError:
            handler.close_connection = True  # the browser went away

    def start(self) -> None:
        """Serve from now on, in a thread."""
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop, and free the port."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def site(pages: Mapping[str, Page | str] | None = None, answers: Answers | None = None) -> Iterator[Site]:
    """A site with these pages. What `answers` returns comes first."""
    one = Site(pages, answers)
    one.start()
    try:
        yield one
    finally:
        one.stop()
