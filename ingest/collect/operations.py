"""The operation that takes what pages report, and what the document says of it."""

from typing import Annotated, Literal

from msgspec import Meta

from ingest.collect import routes
from ingest.collect.items import AGE_MAX_MS, BODY_MAX, ITEMS_MAX, Item
from ingest.http.openapi import Answer, Body, Operation, Parameter
from shared.errors import (
    Busy,
    Invalid,
    JournalFull,
    Limited,
    LogFull,
    LogUnavailable,
    Malformed,
    PostgresUnavailable,
    RedisUnavailable,
    TooManyNewBanners,
    UnknownSite,
)

#: The path, behind `TALLYBOOK_WEB_PREFIX`.
PATH = "/c"

_VIEW = "5b0e2c7e-6a0a-4d39-8a4f-0d6f2d3b9c11"
_HEADERS = {"Access-Control-Allow-Origin": "`*`, also of errors"}

OPERATIONS = [
    Operation(
        method="POST",
        path=PATH,
        handler=routes.collect,
        scope="collect:write",
        body_use="read",
        is_prefixed=True,
        summary="Report what happens in a page",
        description=f"For the snippet: 1 to {ITEMS_MAX} items in {BODY_MAX:,} bytes, of pages whose `Origin` belongs "
        "to a site. An item is named by its view and its number and says its age, of at most "
        f"{AGE_MAX_MS // 1000} seconds. The same name counts once, so the same request may be sent again after any "
        "error. Impressions count once for each view and banner. No count of a browser proves anything.",
        tag="pages",
        parameters=(
            Parameter(
                "s",
                Annotated[str, Meta(max_length=64)],
                "The site, where its pages send `Origin: null` or several sites are meant to be told apart",
                example="shop",
            ),
            Parameter("w", Literal["0", "1"], "`1` when the browser is driven by a program: it counts as a machine"),
        ),
        body=Body(
            list[Item],
            "The items. Send them as text/plain: then no browser asks first",
            example=[
                {"k": "served", "v": _VIEW, "n": 1, "t": 540, "b": "42"},
                {"k": "click", "v": _VIEW, "n": 4, "t": 12, "b": "42"},
            ],
        ),
        answers={
            200: Answer(
                "Counted, now or before, but for the items named",
                routes.Refused,
                headers=_HEADERS,
                example={
                    "rejected": [
                        {"index": 1, "code": "too_old", "pointer": "/1/t", "detail": "It is older than 300,000 ms"}
                    ]
                },
            ),
            204: Answer("All items are counted, now or before", headers=_HEADERS),
        },
        errors=(
            Malformed,
            UnknownSite,
            Invalid,
            TooManyNewBanners,
            Limited,
            RedisUnavailable,
            PostgresUnavailable,
            LogFull,
            LogUnavailable,
            JournalFull,
            Busy,
        ),
        order=330,
    ),
]
