"""`/docs`: this interface for people. One page, its style and its script, which are part of the package.

The page draws `/openapi.json` and loads nothing else. The three files are read once and answered as fixed bytes: there
is no path of a client that could name another file. `/docs/errors#<code>`, which problems name as their type, is the
same page. Links are relative, so it works under any prefix that a proxy strips.
"""

from importlib.resources import files

from starlette.responses import Response

from ingest.http.openapi import Answer, Operation
from ingest.state import Handler, Request

#: The page may load its own style and script and ask this host, nothing else; nobody may frame it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_FOLDER = files("ingest") / "static"


def _fixed(name: str, media: str, root: bytes = b"") -> Handler:
    """A handler that answers one file of the package, with the way to the root of the service in its links."""
    content = (_FOLDER / name).read_bytes().replace(b"{root}", root)

    async def docs(request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media)

    return docs


def _file(path: str, name: str, media: str, root: bytes = b"") -> Operation:
    answers = {200: Answer("The file", str, (media,))}
    return Operation(
        method="GET",
        path=path,
        handler=_fixed(name, media, root),
        summary="A part of the documentation",
        answers=answers,
        is_described=False,
    )


OPERATIONS = [
    Operation(
        method="GET",
        path="/docs",
        handler=_fixed("docs.html", "text/html", b"./"),
        summary="This interface, for people",
        tag="documentation",
        answers={200: Answer("A page that draws /openapi.json", str, ("text/html",))},
        order=910,
    ),
    _file("/docs/errors", "docs.html", "text/html", b"../"),
    _file("/docs/docs.css", "docs.css", "text/css"),
    _file("/docs/docs.js", "docs.js", "text/javascript"),
]
