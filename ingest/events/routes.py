"""Handle `POST /events`: uploads of product events.

A 202 means that every accepted event is in the record log, and will be stored exactly once: the sink drops what the
table has already. While Redis is away, the answer is 503 and nothing is kept. The client may repeat an upload after any
error.
"""

import asyncio
import contextlib

import msgspec
from starlette.responses import Response

from ingest.auth.scopes import CALLER
from ingest.events.recent_ids import CLAIMED, NEW, STORED
from ingest.events.upload import ACCEPTED, CONFLICT, DUPLICATE, Uploaded, unpacked
from ingest.http.body_limit import hold
from ingest.http.idempotency_key import key_of
from ingest.http.rate_limits import limited
from ingest.state import Request, State
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
from shared.events.rows import Cut, blocks
from shared.runtime.crash_points import crash_point
from shared.stores.redis_client import REDIS_ERRORS
from shared.telemetry.metrics import EVENTS, UPLOADS_REFUSED

PATH = "/events"
#: Bytes of an upload, packed and unpacked. More is 413.
BODY_MAX = 5 << 20
#: Everything that refuses an upload.
ERRORS = (
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
REASONS = frozenset(error.code for error in ERRORS)

#: Bounds of a block, the record of events. A sink reads, stores or dead-letters a block as a whole.
CUT = Cut(rows=1000, bytes=64 << 10)

_ARRAYS = frozenset({"application/json", "text/plain", ""})
_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})
#: Bytes from which a body is unpacked outside of the event loop.
_LARGE = 32 << 10

_HEADERS = {"cache-control": "no-store"}


async def may_upload(_: Request) -> Response:
    """Confirm that the key may upload. The guard has refused any other key by now."""
    return Response(status_code=204)


async def take_events(request: Request) -> Response:
    """Take an upload. Each event is accepted, a duplicate, a conflict or rejected."""
    state = request.state
    try:
        headers = await limited(request)
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
    most = BODY_MAX
    hold(request, len(body) + most)
    plain = await asyncio.to_thread(unpacked, body, most) if len(body) > _LARGE else unpacked(body, most)
    hold(request, len(body) + len(plain))
    return plain


async def _taken_once(request: Request, key: str, body: bytes, kind: str) -> tuple[bytes, bool]:
    """Return the answer of the caller's first upload under the key, and whether that was an earlier one."""
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


async def _taken(state: State, body: bytes, *, is_lines: bool) -> bytes:
    """Take the valid events. Return the encoded results."""
    upload = Uploaded(state.settings, body, is_lines=is_lines)
    if upload.rows:
        await _store(state, upload)
    taken = upload.answer()
    for outcome in ("accepted", "duplicate", "conflict", "rejected"):
        EVENTS.labels(outcome).inc(getattr(taken, outcome))
    return msgspec.json.encode(taken)


async def _store(state: State, upload: Uploaded) -> None:
    """Append the events that are not known to be in the log."""
    claim = await state.window.claim(upload.names)
    crash_point("events_claimed")
    results, rows = upload.results, []
    for place, row, verdict in zip(upload.places, upload.rows, claim.verdicts, strict=True):
        if verdict in (NEW, CLAIMED):  # the claim may belong to a dead worker, so append again
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
    with contextlib.suppress(*REDIS_ERRORS):  # the events are in the log; a repeat counts once
        await state.window.confirm(claim)
