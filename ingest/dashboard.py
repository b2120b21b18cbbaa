"""The dashboard: a page for people at `/`, whose files are part of the package.

The page reads the public interface like any other client. Its files are read once and answered as fixed bytes: no path
of a client names a file. `web/dashboard` makes them.

The document names its files relative to itself, so it works under any prefix that a proxy strips. There are three
copies of it, which differ in the way to the root. `{build}` in the addresses is a digest over all files, so their
answers may be kept for good.
"""

import gzip
import hashlib
from collections.abc import Mapping
from importlib.resources import files

from starlette.responses import Response

from ingest.http.json_answers import is_known
from ingest.http.openapi import Answer, Operation
from ingest.state import Handler, Request
from shared.errors import NotFound

#: Views below `/ui/`. `web/dashboard/src/routes.ts` has the same words.
VIEWS = frozenset(
    {"banners", "links", "trackers", "visitors", "pages", "events", "retention", "logs", "health", "sites", "settings"}
)
#: The page loads its own files and asks this host, nothing else. It makes no code and no HTML from texts.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_MEDIA = {
    "app.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "more.js": "text/javascript; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "licences.txt": "text/plain; charset=utf-8",
}
_DOCUMENT = "index.html"
#: Hex digits of a build, and the path of assets.
_BUILD_DIGITS = 16
ASSETS = "/ui/assets/{build}/{file}"

_COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_OF_DOCUMENT = {
    **_COMMON,
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-frame-options": "DENY",
}
_OF_ASSETS = {**_COMMON, "cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}


class Page:
    """Hold the files of the page as bytes, and answer with them."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        digest = hashlib.sha256()
        for name in sorted(contents):
            digest.update(name.encode() + b"\0" + contents[name] + b"\0")
        self.build = digest.hexdigest()[:_BUILD_DIGITS]
        self._documents = {
            depth: contents[_DOCUMENT].replace(b"{build}", self.build.encode()).replace(b"{root}", root)
            for depth, root in enumerate((b"./", b"../", b"../../"))
        }
        self._plain = {name: contents[name] for name in _MEDIA}
        self._packed = {name: gzip.compress(content, 9, mtime=0) for name, content in self._plain.items()}

    async def dashboard(self, request: Request) -> Response:
        """Return the document for the overview."""
        return self._document(request, 0)

    async def view(self, request: Request) -> Response:
        """Return the document for a view. An unknown one is 404, and the page says so."""
        return self._document(request, 1, request.path_params["view"] in VIEWS)

    async def detail(self, request: Request) -> Response:
        """Return the document for one row of a view."""
        return self._document(request, 2, request.path_params["view"] in VIEWS)

    async def asset(self, request: Request) -> Response:
        """Return a file of this build. Raise NotFound for any other: the document would be no script."""
        name = request.path_params["file"]
        if request.path_params["build"] != self.build or name not in self._plain:
            raise NotFound
        headers = {**_OF_ASSETS, "content-type": _MEDIA[name]}
        if "gzip" in _codings(request.headers.get("accept-encoding", "")):
            return Response(self._packed[name], headers={**headers, "content-encoding": "gzip"})
        return Response(self._plain[name], headers=headers)

    def _document(self, request: Request, depth: int, is_view: bool = True) -> Response:
        tag = f'"{self.build}"'
        headers = {**_OF_DOCUMENT, "etag": tag}
        if is_view and is_known(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(self._documents[depth], 200 if is_view else 404, headers)


def _codings(accept: str) -> set[str]:
    """Return the codings that a client takes."""
    named = (part.partition(";") for part in accept.lower().split(","))
    return {name.strip() for name, _, quality in named if quality.replace(" ", "") not in ("q=0", "q=0.0")}


def _read() -> Mapping[str, bytes]:
    folder = files("ingest") / "static" / "ui"
    return {name: (folder / name).read_bytes() for name in (_DOCUMENT, *_MEDIA)}


_PAGE = Page(_read())
_ANSWERS = {200: Answer("The page", str, ("text/html",))}


def _part(path: str, handler: Handler) -> Operation:
    return Operation(
        method="GET",
        path=path,
        handler=handler,
        summary="A part of the dashboard",
        answers=_ANSWERS,
        is_described=False,
    )


#: `TALLYBOOK_DASHBOARD=off` leaves them out (`ingest/app.py`).
OPERATIONS = [
    Operation(
        method="GET",
        path="/",
        handler=_PAGE.dashboard,
        summary="The dashboard, for people",
        description="A page that reads this interface. Its views are below `/ui/`.",
        tag="documentation",
        answers=_ANSWERS,
        order=905,
    ),
    _part("/ui/{view}", _PAGE.view),
    _part("/ui/{view}/{id}", _PAGE.detail),
    _part(ASSETS, _PAGE.asset),
]
