"""Write answers as JSON, which no cache keeps, and answer 304 to who has the answer already (RFC 9110, 13.1.2).

A tag names what an answer says without the moment at which it was true, so it is a weak one. A 304 has that moment in
`Tallybook-As-Of`. It saves bytes on the way: the stores are asked all the same.
"""

from collections.abc import Iterable, Mapping
from functools import wraps
from hashlib import blake2b

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.state import Handler, Request

MEDIA = "application/json"
#: The header that says when an answer was true.
AS_OF = "tallybook-as-of"
_HEADERS = {"cache-control": "no-store"}
#: Scopes of what is read again and again.
SCOPES = frozenset({"stats:read", "logs:read", "admin"})
#: Bytes of a tag, before they are written as hexadecimal digits.
_TAG_BYTES = 12
_PARAMETER = Parameter("If-None-Match", str, "The `ETag` of the answer that is known", "header")
_NOT_MODIFIED = Answer(
    "The answer of `If-None-Match` still holds",
    headers={"Tallybook-As-Of": "When it was asked again, where it has that"},
)


def as_json(answer: msgspec.Struct, headers: Mapping[str, str] = _HEADERS, status: int = 200) -> Response:
    """Return the answer as JSON, with the moment at which it was true also in a header."""
    if (as_of := getattr(answer, "as_of", None)) is not None:
        headers = {**headers, AS_OF: msgspec.json.encode(as_of).decode().strip('"')}
    return Response(msgspec.json.encode(answer), status, headers, MEDIA)


def conditional(operations: Iterable[Operation]) -> list[Operation]:
    """Return the operations, those that read JSON with tags."""
    return [_tagged(one) if _is_read(one) else one for one in operations]


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client has the answer of this tag."""
    tags = request.headers.get("if-none-match", "").split(",")
    return bool({"*", tag.removeprefix("W/")} & {one.strip().removeprefix("W/") for one in tags})


def _is_read(operation: Operation) -> bool:
    return (
        operation.method == "GET"
        and operation.scope in SCOPES
        and any(MEDIA in answer.media and answer.type is not None for answer in operation.answers.values())
    )


def _tagged(operation: Operation) -> Operation:
    return replace(
        operation,
        handler=_conditional(operation.handler),
        parameters=(*operation.parameters, _PARAMETER),
        answers={**operation.answers, 304: _NOT_MODIFIED},
    )


def _conditional(handler: Handler) -> Handler:
    @wraps(handler)
    async def answered(request: Request) -> Response:
        response = await handler(request)
        if response.status_code != 200 or response.media_type != MEDIA:
            return response
        headers = response.headers
        headers["etag"] = tag = _tag(bytes(response.body), headers.get(AS_OF))
        if not is_known(request, tag):
            return response
        kept = {name: value for name, value in headers.items() if name not in ("content-length", "content-type")}
        return Response(status_code=304, headers=kept)

    return answered


def _tag(body: bytes, as_of: str | None) -> str:
    """Return the tag of a body. `asOf` is a member of the whole answer, which comes before every text of others."""
    if as_of is not None:
        body = body.replace(f'"asOf":"{as_of}"'.encode(), b"", 1)
    return f'W/"{blake2b(body, digest_size=_TAG_BYTES).hexdigest()}"'
