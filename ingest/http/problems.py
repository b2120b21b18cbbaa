"""Write every error as RFC 9457 `application/problem+json`."""

import math
import re
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from ingest.http.cors import is_open, open_to_all
from shared.errors import (
    Malformed,
    MethodNotAllowed,
    NotFound,
    TallybookError,
    TooLarge,
    Unexpected,
    UnsupportedMediaType,
)

MEDIA = "application/problem+json"

_BY_STATUS: dict[int, type[TallybookError]] = {
    error.status: error for error in (NotFound, MethodNotAllowed, TooLarge, UnsupportedMediaType, Malformed)
}
#: One step of a msgspec path: `.name` or `[3]`. It writes `[...]` for the key of a mapping, which it does not know.
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN = "[...]"

log = structlog.get_logger()


def rendered(
    error: TallybookError, request_id: str = "", path: str | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of an error, for answers without Starlette.

    The type is relative to the path that was asked, so it also leads to its page behind a proxy that strips a prefix.
    """
    problem = error.problem()
    problem["type"] = ("/" if path is None else "../" * (path.count("/") - 1)) + problem["type"]
    if request_id:
        problem["requestId"] = request_id
    headers = {"content-type": MEDIA, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    headers |= {name.lower(): value for name, value in error.headers.items()}
    return error.status, list(headers.items()), msgspec.json.encode(problem)


def response(error: TallybookError, request: HTTPConnection[Any]) -> Response:
    """Return the error as a response of Starlette."""
    path = (request.scope.get("raw_path") or request.scope["path"].encode()).partition(b"?")[0].decode("latin-1")
    status, headers, body = rendered(error, request.scope.get("request_id", ""), path)
    return Response(body, status, dict(headers))


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, TallybookError)  # noqa: S101 - for the type checker
    return response(error, request)


async def _of_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
    kind = _BY_STATUS.get(error.status_code, Malformed if error.status_code < 500 else Unexpected)
    return response(kind(headers=error.headers), request)


async def _unknown(request: Request, error: Exception) -> Response:
    """Answer without details. The log has them, under the same request id."""
    answer = response(Unexpected(), request)
    answer.headers["x-request-id"] = request.scope.get("request_id", "")  # this is outside of the middleware
    if is_open(request.scope):
        open_to_all(answer.headers)
    return answer


#: For `Starlette(exception_handlers=...)`.
HANDLERS: dict[Any, Any] = {TallybookError: _known, HTTPException: _of_starlette, Exception: _unknown}


def explained(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return what is wrong, and the JSON pointer to it.

    Both come from the text of msgspec, which ends with ` - at `$.path[0]``. The pointer ends where the path is unknown.
    """
    what, _, path = str(error).partition(" - at `$")
    known = path.rstrip("`").partition(_UNKNOWN)[0]
    return what, "".join(f"/{name or index}" for name, index in _STEP.findall(known))
