"""The operations that count hits: their routes, and what the document says of them."""

from typing import Literal

from ingest.hits import routes
from ingest.hits.routes import EXAMPLE, TrackerId
from ingest.http.cors import preflight
from ingest.http.openapi import Answer, Operation, Parameter
from ingest.state import Handler
from shared.errors import (
    Busy,
    JournalFull,
    Limited,
    LogFull,
    LogUnavailable,
    Malformed,
    PostgresUnavailable,
    UnknownTracker,
)

_PARAMETERS = (Parameter("id", TrackerId, "The tracker", required=True, example=EXAMPLE),)
_HEADERS_ADDED = {
    "Set-Cookie": "`user_id`, unless the client opts out",
    "Access-Control-Allow-Origin": "The origin of the page, if it is an allowed one",
}
_ERRORS = (Malformed, UnknownTracker, Limited, LogFull, LogUnavailable, JournalFull, PostgresUnavailable, Busy)
_DESCRIPTION = (
    "The hit is in the record log when this is answered, or in its journal on the disk while the log is away. "
    "Parameters other than `id` are kept as a part of the address. HEAD, prefetches and previews are answered, but "
    "not counted. `Sec-GPC: 1` is counted without cookie, user id and full address."
)


def _operation(method: Literal["GET", "POST"], path: str, handler: Handler, summary: str) -> Operation:
    is_pixel = path.endswith(".gif")
    answers = {200: Answer("A pixel", str, ("image/gif",), _HEADERS_ADDED)} if is_pixel else {}
    return Operation(
        method=method,
        path=path,
        handler=handler,
        scope="hits:write",
        summary=summary,
        description=_DESCRIPTION,
        tag="trackers",
        parameters=_PARAMETERS,
        answers=answers or {204: Answer("Counted", headers=_HEADERS_ADDED)},
        errors=_ERRORS,
        order=300,
    )


OPERATIONS = [
    _operation("GET", "/track", routes.track, "Count a hit"),
    _operation("POST", "/track", routes.track_beacon, "Count a hit of a beacon"),
    _operation("GET", "/track.gif", routes.track_pixel, "Count a hit of an image"),
    preflight("/track", routes.track_preflight, "trackers", 310),
    preflight("/track.gif", routes.track_pixel_preflight, "trackers", 310),
]
