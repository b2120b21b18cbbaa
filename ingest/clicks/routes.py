"""Counting clicks: the routes that write. Plain clicks never come here: the front answers them.

What does come: clicks with an Idempotency-Key or a body, all clicks while a rate limit is set, bulk requests, and
whatever the lane refused, so that the answer can say why. A request that raises has counted nothing, unless it raises
RedisUnavailable: then a click with a key may have been counted and is repeated under it, and a click without one, which
waited for Redis because of `TALLYBOOK_ACK=redis`, is in the lane and will be counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingest.clicks.bulk import KEY_PATTERN, Click, Counted, count_all, key_of, keyed_click, reason
from ingest.http.cors import preflight, preflighted, readable
from ingest.http.openapi import Answer, BannerId, Body, Operation, Parameter
from ingest.http.query import parsed_banner
from ingest.http.rate_limits import charge, limited
from shared.errors import (
    BodyTimeout,
    Busy,
    Invalid,
    LanesFull,
    Limited,
    Malformed,
    PostgresUnavailable,
    RedisUnavailable,
    TallybookError,
    TooLarge,
    TooManyNewBanners,
    UnknownBanner,
    UnsupportedMediaType,
)
from shared.telemetry.metrics import CLICKS_DUPLICATE, CLICKS_REJECTED

#: Media types of a bulk request; none is fine too. `navigator.sendBeacon` sends text/plain, which needs no preflight.
_MEDIA = frozenset({"application/json", "text/plain", ""})

_NO_STORE = {"cache-control": "no-store"}
_REPLAYED = {"idempotent-replayed": "true"}


@readable
async def count_click(request: Request) -> Response:
    """One click, now. With an Idempotency-Key it is counted in Redis, once; else in the lane of this worker."""
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
    """Many clicks: all valid items are counted, and the answer names the others. See `ingest/clicks/bulk.py`."""
    with _refusals_counted():
        headers = await limited(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _MEDIA:
            raise UnsupportedMediaType("Send application/json, or text/plain as navigator.sendBeacon does.")
    counted = await count_all(request.state, await request.body(), partial(charge, request))
    return Response(msgspec.json.encode(counted), headers=_NO_STORE | headers, media_type="application/json")


async def click_preflight(request: Request) -> Response:
    """Whether a page of another origin may count, under an Idempotency-Key as well. Counts nothing."""
    parsed_banner("bannerId", request.path_params["bannerId"])
    return await clicks_preflight(request)


async def clicks_preflight(request: Request) -> Response:
    """The same, of many clicks."""
    return preflighted(request, "POST", "content-type, idempotency-key")


@contextmanager
def _refusals_counted() -> Iterator[None]:
    """An error that leaves this block was the end of one click."""
    try:
        yield
    except TallybookError as error:
        CLICKS_REJECTED.labels(reason(error)).inc()
        raise


# -- operations --------------------------------------------------------------------------------------------------------

_LIMIT = {
    "RateLimit-Limit": "Where a limit is set: writes that a client may make at once",
    "RateLimit-Remaining": "How many of them are left",
    "RateLimit-Reset": "Seconds until all of them are there again",
}

_BANNER = Parameter("bannerId", BannerId, "The banner", "path", example=42)

OPERATIONS = [
    Operation(
        method="POST",
        path="/stats/{bannerId}",
        handler=count_click,
        scope="clicks:write",
        summary="Count one click",
        description="Counted in the minute in which it is accepted, exactly once. A body is ignored. With an "
        "`Idempotency-Key`, the same key on the same banner counts once within ${idempotency_window_s} "
        "seconds; repeat such a request after any error. Without one, repeat it only after an error that says so.",
        tag="clicks",
        parameters=(
            _BANNER,
            Parameter(
                "Idempotency-Key",
                Annotated[str, Meta(pattern=KEY_PATTERN)],
                "Names this click, so that a repeat does not count",
                "header",
                example="5f3c2b1a",
            ),
        ),
        answers={204: Answer("Counted, or counted before", headers={"Idempotent-Replayed": "`true`: before"} | _LIMIT)},
        errors=(
            Malformed,
            UnknownBanner,
            BodyTimeout,
            TooLarge,
            UnsupportedMediaType,
            TooManyNewBanners,
            Limited,
            LanesFull,
            RedisUnavailable,
            PostgresUnavailable,
            Busy,
        ),
        order=100,
    ),
    Operation(
        method="POST",
        path="/stats",
        handler=count_clicks,
        scope="clicks:write",
        body_use="read",
        summary="Count many clicks",
        description="For servers and SDKs: up to ${bulk_items_max} items in ${bulk_body_max_bytes} bytes. All valid "
        "items are counted, and the answer names the others. An item's `id` makes it count once within "
        "${idempotency_window_s} seconds. After a 503 send the same request again: items with ids count once, "
        "and no item without one had been counted, unless clicks are acknowledged by Redis.",
        tag="clicks",
        body=Body(
            list[Click],
            "The clicks",
            example=[
                {"bannerId": 42},
                {"bannerId": 43, "count": 5, "timestamp": "2026-03-01T00:00:00Z", "id": "7d1f"},
            ],
        ),
        answers={
            200: Answer(
                "What became of the items",
                Counted,
                headers=_LIMIT,
                example={
                    "items": 3,
                    "accepted": 1,
                    "clicks": 1,
                    "duplicate": 1,
                    "rejected": 1,
                    "duplicates": [1],
                    "errors": [
                        {
                            "index": 2,
                            "pointer": "/2/bannerId",
                            "code": "invalid",
                            "detail": "Expected `int`, got `str`",
                        }
                    ],
                },
            )
        },
        errors=(
            Malformed,
            BodyTimeout,
            TooLarge,
            UnsupportedMediaType,
            Invalid,
            TooManyNewBanners,
            Limited,
            LanesFull,
            RedisUnavailable,
            PostgresUnavailable,
            Busy,
        ),
        order=110,
    ),
    preflight("/stats/{bannerId}", click_preflight, "clicks", 120, _BANNER),
    preflight("/stats", clicks_preflight, "clicks", 120),
]
