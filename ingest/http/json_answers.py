"""Write answers as JSON, which no cache keeps."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

MEDIA = "application/json"
_HEADERS = {"cache-control": "no-store"}


def as_json(answer: msgspec.Struct, headers: Mapping[str, str] = _HEADERS, status: int = 200) -> Response:
    """Return the answer as JSON."""
    return Response(msgspec.json.encode(answer), status, headers, MEDIA)
