"""`/t.js`, the script that pages load. It is built from `web/snippet` into `static/` (`make web`).

`t.js` is the newest version. `t.<first 8 of its sha256>.js` is one version for ever, so a page may pin its bytes by
`integrity`; every released version stays in the folder. All are read once, at start: there is no path of a client that
could name another file.
"""

import base64
import hashlib
from importlib.resources import files

from starlette.responses import Response

from ingest.http.json_answers import is_known
from ingest.http.openapi import Answer, Operation, Parameter
from ingest.state import Handler, Request

_FOLDER = files("ingest") / "static"
#: Every version, by its name.
VERSIONS = {
    path.name: path.read_bytes()
    for path in _FOLDER.iterdir()
    if path.name.startswith("t.") and path.name.endswith(".js") and path.name != "t.js"
}
_NEWEST = (_FOLDER / "t.js").read_bytes()

_HOUR_S, _YEAR_S = 3600, 31_536_000
#: Any page may load it; the check of its integrity needs an answer that the page may read.
_HEADERS = {
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}
_MEDIA = "text/javascript"


def name_of(content: bytes) -> str:
    """Return the name of a version."""
    return f"t.{hashlib.sha256(content).hexdigest()[:8]}.js"


#: The name of the newest version.
NEWEST = name_of(_NEWEST)


def integrity(content: bytes) -> str:
    """Return the value of `integrity` that lets a page run these bytes and no others."""
    return f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}"


def tag(address: str, site: str | None = None) -> str:
    """Return the element that a page needs, for a service at an address such as `https://t.example/x7`."""
    named = f' data-site="{site}"' if site else ""
    return (
        f'<script defer src="{address.rstrip("/")}/{NEWEST}" integrity="{integrity(VERSIONS[NEWEST])}" '
        f'crossorigin="anonymous"{named}></script>'
    )


def _fixed(content: bytes, cache: str) -> Handler:
    """Return a handler that answers these bytes, or 304 to who has them."""
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {**_HEADERS, "cache-control": cache, "etag": etag}

    async def snippet(request: Request) -> Response:
        if is_known(request, etag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_MEDIA)

    return snippet


_ANSWERS = {
    200: Answer("The script", str, (_MEDIA,), {"ETag": "The version", "Cache-Control": "An hour, or for ever"}),
    304: Answer("The version of `If-None-Match` is the one asked for"),
}

OPERATIONS = [
    Operation(
        method="GET",
        path="/t.js",
        handler=_fixed(_NEWEST, f"public, max-age={_HOUR_S}"),
        summary="The script that pages load",
        description="The newest version, at most 2,048 bytes. `/t.<hash>.js` is one version for ever, for `integrity`.",
        tag="pages",
        parameters=(Parameter("If-None-Match", str, "The `ETag` of the version that is known", "header"),),
        answers=_ANSWERS,
        order=700,
        is_prefixed=True,
    ),
    *(
        Operation(
            method="GET",
            path=f"/{name}",
            handler=_fixed(content, f"public, max-age={_YEAR_S}, immutable"),
            summary="One version of the script",
            answers=_ANSWERS,
            is_described=False,
            is_prefixed=True,
        )
        for name, content in VERSIONS.items()
    ),
]
