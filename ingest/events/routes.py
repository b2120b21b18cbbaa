"""`POST /events`: uploads of product events.

A 202 means that every accepted event is in the record log, and stored once whatever happens then: the sink drops what
the table has already. While Redis is away, nothing is kept: 503. After any error the same upload may be sent again.
"""

import asyncio
import contextlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingest.auth.access import CALLER
from ingest.clicks.bulk import KEY_PATTERN, key_of
from ingest.events.recent_ids import CLAIMED, NEW, STORED
from ingest.events.upload import ACCEPTED, CONFLICT, DUPLICATE, Taken, Uploaded, unpacked
from ingest.http.body_limit import hold
from ingest.http.openapi import Answer, Body, Operation, Parameter
from ingest.http.rate_limits import limited
from shared.errors import (
    BodyTimeout,
    Busy,
    Conflict,
    Invalid,
    Limited,
    LogFull,
    LogUnavailable,
    Malformed,
    RedisUnavailable,
    TallybookError,
    TooLarge,
    UnsupportedMediaType,
)
from shared.events.rows import Cut, Event, blocks
from shared.runtime.crash_points import crash_point
from shared.stores.redis_client import REDIS_ERRORS
from shared.telemetry.metrics import EVENTS, UPLOADS_REFUSED

PATH = "/events"
#: How events are put together as records of the log: a block is what a sink reads, stores or lays aside as a whole.
CUT = Cut(rows=1000, bytes=64 << 10)

_ARRAYS = frozenset({"application/json", "text/plain", ""})
_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})
#: Bytes from which a body is unpacked beside the event loop.
_LARGE = 32 << 10

_HEADERS = {"cache-control": "no-store"}


async def may_upload(_: Request) -> Response:
    """Say that an upload with these headers would be looked at: what refuses a key has refused it by now."""
    return Response(status_code=204)


async def take_events(request: Request) -> Response:
    """An upload: each event by itself is accepted, a duplicate, a conflict or rejected."""
    state = request.state
    try:
        headers: dict[str, str] = await limited(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _ARRAYS | _LINES:
            raise UnsupportedMediaType("Send application/json or application/x-ndjson, plain or with gzip.")
        body, key = await _body(request), key_of(request)
        if key is None:
            answer = await _taken(state, body, is_lines=kind in _LINES)
        else:
            answer, is_replayed = await _taken_once(request, key, body, kind)
            headers |= {"idempotent-replayed": "true"} if is_replayed else {}
    except TallybookError as error:
        UPLOADS_REFUSED.labels(error.code if error.code in REASONS else "malformed").inc()
        raise
    return Response(answer, 202, _HEADERS | headers, "application/json")


async def _body(request: Request) -> bytes:
    body = await request.body()
    if request.headers.get("content-encoding", "identity").lower() != "gzip":
        return body
    most = request.state.settings.events_body_max_bytes
    hold(request, len(body) + most)
    plain = await asyncio.to_thread(unpacked, body, most) if len(body) > _LARGE else unpacked(body, most)
    hold(request, len(body) + len(plain))
    return plain


async def _taken_once(request: Request, key: str, body: bytes, kind: str) -> tuple[bytes, bool]:
    """The answer of the caller's first upload under the key, and whether that was an earlier one."""
    state = request.state
    attempt = await state.uploads.begin(key, body, kind, request.scope.get(CALLER, ""))
    if attempt.answer is not None:
        return attempt.answer, True
    try:
        answer = await _taken(state, body, is_lines=kind in _LINES)
    except BaseException:
        await asyncio.shield(state.uploads.abandon(attempt))
        raise
    crash_point("upload_taken")
    return await state.uploads.finish(attempt, answer), False


async def _taken(state: Any, body: bytes, *, is_lines: bool) -> bytes:
    """Take what can be taken; answers the encoded results."""
    upload = Uploaded(state.settings, body, is_lines=is_lines)
    if upload.rows:
        await _store(state, upload)
    taken = upload.answer()
    for outcome in ("accepted", "duplicate", "conflict", "rejected"):
        EVENTS.labels(outcome).inc(getattr(taken, outcome))
    return msgspec.json.encode(taken)


async def _store(state: Any, upload: Uploaded) -> None:
    """Into the log with everything that is not known to be in it."""
    claim = await state.window.claim(upload.names)
    crash_point("events_claimed")
    results, rows = upload.results, []
    for place, row, verdict in zip(upload.places, upload.rows, claim.verdicts, strict=True):
        if verdict in (NEW, CLAIMED):  # a claim may be of a worker that died, so its event goes to the log again
            rows.append(row)
        results[place] = ACCEPTED if verdict == NEW else DUPLICATE if verdict in (STORED, CLAIMED) else CONFLICT
    if not rows:
        return
    appends = [asyncio.ensure_future(state.events.append(key, value)) for key, value in blocks(rows, CUT)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    crash_point("events_appended")
    with contextlib.suppress(*REDIS_ERRORS):  # they are in the log; a repeat will go there too, and count once
        await state.window.confirm(claim)


# -- operations --------------------------------------------------------------------------------------------------------

_ERRORS = (
    Malformed,
    Conflict,
    BodyTimeout,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    Limited,
    LogFull,
    LogUnavailable,
    RedisUnavailable,
    Busy,
)
#: Labels of the metric of refused uploads.
REASONS = frozenset(error.code for error in _ERRORS)

_EXAMPLE = {
    "event_id": "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
    "occurred_at": "2026-03-01T12:00:00.250+02:00",
    "user_id": "u-17",
    "event_type": "purchase",
    "properties": {"country": "UA", "price": 12.5},
}

OPERATIONS = [
    Operation(
        method="GET",
        path=PATH,
        handler=may_upload,
        scope="events:write",
        summary="Ask whether a key may upload",
        description="Answers as an upload would as far as its headers go. A proxy asks it before it reads a body.",
        tag="events",
        answers={204: Answer("It may")},
    ),
    Operation(
        method="POST",
        path=PATH,
        handler=take_events,
        scope="events:write",
        body_use="read",
        summary="Take product events",
        description="Up to ${events_max} events in ${events_body_max_bytes} bytes: a JSON array, or NDJSON "
        "(`application/x-ndjson`), either of them plain or with `Content-Encoding: gzip`. `text/plain` and no type at "
        "all are read as an array. Each event has its own result; blank lines of NDJSON have none. The same "
        "`event_id` is stored and counted once, for ever; the first one counts. What comes again "
        "within ${events_window_s} seconds at least is reported as `duplicate`, or `conflict` if it says other things. "
        "Send the same upload again after any error. With an `Idempotency-Key` the first answer is given again for "
        "24 hours, or less when very many uploads have one.",
        tag="events",
        parameters=(
            Parameter(
                "Idempotency-Key",
                Annotated[str, Meta(pattern=KEY_PATTERN)],
                "Names the upload, of this API key",
                "header",
                example="2026-03-01/7",
            ),
        ),
        body=Body(list[Event], "The events", example=[_EXAMPLE]),
        answers={
            202: Answer(
                "What became of the events",
                Taken,
                headers={"Idempotent-Replayed": "`true`: the answer of an earlier upload under the key"},
                example={
                    "accepted": 1,
                    "duplicate": 0,
                    "conflict": 0,
                    "rejected": 1,
                    "results": [
                        {"status": "accepted"},
                        {
                            "status": "rejected",
                            "code": "too_old",
                            "pointer": "/1/occurred_at",
                            "detail": "It lies more than 1830 days back",
                        },
                    ],
                },
            )
        },
        errors=_ERRORS,
        order=400,
    ),
]
