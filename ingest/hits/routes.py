"""Handle hits of trackers that are not plain; the front answers plain ones.

A 204 means that the hit is in the record log, or in the journal of this host on the disk. A hit that raises is in
neither; after LogUnavailable it may be. HEAD, preflights, prefetches and previews never count.
"""

import re
from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from msgspec import Meta
from starlette.responses import Response

from ingest.hits.bots import is_prefetched
from ingest.hits.request_facts import asked
from ingest.http.cors import preflighted
from ingest.http.query import malformed, quoted
from ingest.http.rate_limits import limited
from ingest.state import Request
from shared.errors import TallybookError
from shared.telemetry.metrics import HITS, HITS_BOT, HITS_REJECTED

#: A UUID in its usual form, of any version.
UUID_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_UUID = re.compile(UUID_PATTERN[1:-1])
#: A tracker wherever a schema needs one.
TrackerId = Annotated[str, Meta(pattern=UUID_PATTERN, description="A tracker: a UUID")]
EXAMPLE = "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e"

#: One transparent pixel.
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
#: An answer is of one request: neither it nor its cookie may be given to anybody else. Other sites may embed it.
ANSWER_HEADERS = {"cache-control": "no-store, private", "cross-origin-resource-policy": "cross-origin"}

#: The reason in the metrics, by the code of an error.
REASONS: dict[str, str] = {
    "not_found": "unknown_tracker",
    "unknown_tracker": "unknown_tracker",
    "limited": "limited",
    "busy": "busy",
    "log_full": "log_full",
    "log_unavailable": "log_unavailable",
    "journal_full": "journal_full",
    "postgres_unavailable": "postgres",
}


async def track(request: Request) -> Response:
    """Count one hit, and answer without content."""
    return await _answered(request, lambda headers: Response(status_code=204, headers=headers))


async def track_beacon(request: Request) -> Response:
    """Count one hit by POST, as `navigator.sendBeacon` sends it. Ignore the body."""
    return await _answered(request, lambda headers: Response(status_code=204, headers=headers))


async def track_pixel(request: Request) -> Response:
    """Count one hit of an image element, and answer with a transparent pixel."""
    return await _answered(request, lambda headers: Response(GIF, headers=headers, media_type="image/gif"))


async def track_preflight(request: Request) -> Response:
    """Tell a page of another origin whether it may ask. Count nothing."""
    return preflighted(request, "GET, POST", "content-type")


async def track_pixel_preflight(request: Request) -> Response:
    """Tell a page of another origin whether it may ask for the pixel. Count nothing."""
    return await track_preflight(request)


async def _answered(request: Request, answer: Callable[[dict[str, str]], Response]) -> Response:
    headers = {**ANSWER_HEADERS, **request.state.origins.headers(request.headers.get("origin"))}
    try:
        return answer(headers | await _counted(request))
    except TallybookError as error:
        HITS_REJECTED.labels(REASONS.get(error.code, "malformed")).inc()
        error.headers = {**error.headers, **headers}
        raise


async def _counted(request: Request) -> dict[str, str]:
    """Count the hit of a request, if it is one. Return the headers that it adds to the answer."""
    state, facts = request.state, asked(request.scope)
    tracker = parsed_tracker("id", _given(request, "id"))
    if request.method == "HEAD" or is_prefetched(facts.headers):
        await state.trackers.value(tracker)
        return {}
    added = await limited(request)
    value = await state.trackers.value(tracker)
    made = state.recorder.recorded(facts, tracker, value)
    stored = await state.hits.append(b"", made.record)
    HITS.labels(stored).inc()
    if made.is_bot:
        HITS_BOT.inc()
    return added if made.cookie is None else {**added, "set-cookie": made.cookie}


def _given(request: Request, name: str) -> str:
    """Return a parameter that has to be given once. Other parameters stay in the address that is kept."""
    values = request.query_params.getlist(name)
    if len(values) != 1:
        raise malformed(name, "has to be given once.")
    return values[0]


def parsed_tracker(name: str, text: str) -> UUID:
    """Return the id of a tracker. Raise Malformed for anything but a UUID in its usual form."""
    if not _UUID.fullmatch(text):
        raise malformed(name, f"is {quoted(text)}, but has to be a UUID, as 01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e.")
    return UUID(text)
