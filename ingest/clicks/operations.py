"""The operations that count clicks: their routes, and what the document says of them."""

from ingest.clicks import routes
from ingest.clicks.bulk import Click, Counted
from ingest.http.cors import preflight
from ingest.http.idempotency_key import parameter as idempotency_key
from ingest.http.openapi import Answer, BannerId, Body, Operation, Parameter
from shared.errors import (
    Busy,
    Invalid,
    LanesFull,
    Limited,
    Malformed,
    PostgresUnavailable,
    RedisUnavailable,
    TooManyNewBanners,
    UnknownBanner,
)

#: Bytes of a bulk request. More is 413.
BODY_MAX = 1 << 20

_ERRORS = (Malformed, TooManyNewBanners, Limited, LanesFull, RedisUnavailable, PostgresUnavailable, Busy)

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
        handler=routes.count_click,
        scope="clicks:write",
        summary="Count one click",
        description="Counted in the minute in which it is accepted, exactly once. A body is ignored. With an "
        "`Idempotency-Key`, the same key on the same banner counts once within ${idempotency_window_s} "
        "seconds; repeat such a request after any error. Without one, repeat it only after an error that says so.",
        tag="clicks",
        parameters=(
            _BANNER,
            idempotency_key("Names this click, so that a repeat does not count", "5f3c2b1a"),
        ),
        answers={204: Answer("Counted, or counted before", headers={"Idempotent-Replayed": "`true`: before"} | _LIMIT)},
        errors=(UnknownBanner, *_ERRORS),
        order=100,
    ),
    Operation(
        method="POST",
        path="/stats",
        handler=routes.count_clicks,
        scope="clicks:write",
        body_use="read",
        summary="Count many clicks",
        description=f"For servers and SDKs: up to ${{bulk_items_max}} items in {BODY_MAX} bytes. All valid "
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
        errors=(Invalid, *_ERRORS),
        order=110,
    ),
    preflight("/stats/{bannerId}", routes.click_preflight, "clicks", 120, _BANNER),
    preflight("/stats", routes.clicks_preflight, "clicks", 120),
]
