"""Handle clicks that are not plain; the front answers plain ones.

These are clicks with an Idempotency-Key or a body, all clicks while a rate limit is set, bulk requests, and
whatever the lane refused, so that the answer can say why. A request that raises has counted nothing, except after
RedisUnavailable. Then a click with a key may be counted, and is repeated under the key. A click without one waited
for Redis because of `TALLYBOOK_ACK=redis`; it is in the lane and will be counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
from starlette.responses import Response

from ingest.clicks.bulk import count_all, keyed_click, reason
from ingest.http.cors import preflighted, readable
from ingest.http.idempotency_key import key_of
from ingest.http.query import parsed_banner
from ingest.http.rate_limits import charge, limited
from ingest.state import Request
from shared.errors import LanesFull, TallybookError, UnsupportedMediaType
from shared.telemetry.metrics import CLICKS_DUPLICATE, CLICKS_REJECTED

#: Media types of a bulk request; none is fine too. `navigator.sendBeacon` sends text/plain, which needs no preflight.
MEDIA = frozenset({"application/json", "text/plain", ""})

_NO_STORE = {"cache-control": "no-store"}
_REPLAYED = {"idempotent-replayed": "true"}


@readable
async def count_click(request: Request) -> Response:
    """Count one click: with an Idempotency-Key once, in Redis; otherwise in the lane of this worker."""
    state = request.state
    with _refusals_counted():
        headers = await limited(request)
        banner = parsed_banner("bannerId", request.path_params["bannerId"])
        key = key_of(request)
        await state.banners.check(banner)
        if key is not None:
            charge(request, 1)
            minute = state.counter.minute()
            state.counter.admit(minute, banner)
            [is_new] = await state.keyed.count([keyed_click(b"header", minute, banner, 1, key)])
            if not is_new:
                CLICKS_DUPLICATE.inc()
                headers |= _REPLAYED
        elif not state.counter.add(str(banner)):
            raise LanesFull
    if key is None and state.settings.ack == "redis":
        await state.counter.durable()
    return Response(status_code=204, headers=headers)


@readable
async def count_clicks(request: Request) -> Response:
    """Count all valid items, and name the others. See `ingest/clicks/bulk.py`."""
    with _refusals_counted():
        headers = await limited(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in MEDIA:
            raise UnsupportedMediaType("Send application/json, or text/plain as navigator.sendBeacon does.")
    counted = await count_all(request.state, await request.body(), partial(charge, request))
    return Response(msgspec.json.encode(counted), headers=_NO_STORE | headers, media_type="application/json")


async def click_preflight(request: Request) -> Response:
    """Tell a page of another origin whether it may count a click. Count nothing."""
    parsed_banner("bannerId", request.path_params["bannerId"])
    return await clicks_preflight(request)


async def clicks_preflight(request: Request) -> Response:
    """Tell a page of another origin whether it may count many clicks. Count nothing."""
    return preflighted(request, "POST", "content-type, idempotency-key")


@contextmanager
def _refusals_counted() -> Iterator[None]:
    """Count an error that leaves this block as one rejected click."""
    try:
        yield
    except TallybookError as error:
        CLICKS_REJECTED.labels(reason(error)).inc()
        raise
