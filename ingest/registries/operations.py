"""The operations that list what is registered: their routes, and what the document says of them."""

from typing import Annotated

from msgspec import Meta

from ingest.http.cursor import CHARACTERS_MAX
from ingest.http.openapi import Answer, BannerId, Operation, Parameter
from ingest.registries import banners, trackers
from shared.errors import Invalid, PostgresUnavailable

_CURSOR = Parameter(
    "cursor",
    Annotated[str, Meta(min_length=1, max_length=CHARACTERS_MAX)],
    "`next` of the page before; everything else but `limit` has to stay as it was",
)

_BANNERS = Operation(
    method="GET",
    path="/banners",
    handler=banners.banners,
    scope="stats:read",
    body_use="refused",
    summary="The registered banners and their names",
    description="In the order of their ids. A banner that was never registered is not in the list, though it may have "
    "clicks where `TALLYBOOK_BANNERS` is `open`. While there are more, `next` leads to the next page. A new banner "
    "shifts no page.",
    tag="registries",
    parameters=(
        Parameter(
            "q",
            Annotated[str, Meta(min_length=1, max_length=banners.WORDS_MOST)],
            "Only banners whose id begins with this, or whose name has it in it, in any case",
            example="spring",
        ),
        Parameter(
            "ids",
            Annotated[
                list[BannerId],
                Meta(min_length=1, max_length=banners.PAGE_MOST, extra_json_schema={"uniqueItems": True}),
            ],
            "Only these banners, with commas between them",
            example=[42, 43],
        ),
        Parameter(
            "limit",
            Annotated[int, Meta(ge=1, le=banners.PAGE_MOST)],
            f"Banners of a page, {banners.PAGE} when not given",
        ),
        _CURSOR,
    ),
    answers={
        200: Answer(
            "A page",
            banners.Banners,
            example={
                "banners": [{"bannerId": 42, "name": "Spring sale", "createdAt": "2026-03-01T09:00:00Z"}],
                "next": "KtsRP3W9mJzQe1Xn0aVb5cT7",
            },
        )
    },
    errors=(Invalid, PostgresUnavailable),
    order=500,
)

_TRACKERS = Operation(
    method="GET",
    path="/trackers",
    handler=trackers.trackers,
    scope="stats:read",
    body_use="refused",
    summary="The trackers and their values",
    description="In the order of their ids. While there are more, `next` leads to the next page.",
    tag="registries",
    parameters=(
        Parameter(
            "q",
            Annotated[str, Meta(min_length=1, max_length=trackers.WORDS_MOST)],
            "Only trackers whose id begins with this, or whose value has it in it, in any case",
            example="spring",
        ),
        Parameter(
            "limit",
            Annotated[int, Meta(ge=1, le=trackers.PAGE_MOST)],
            f"Trackers of a page, {trackers.PAGE} when not given",
        ),
        _CURSOR,
    ),
    answers={
        200: Answer(
            "A page",
            trackers.Trackers,
            example={
                "trackers": [
                    {
                        "tracker_id": "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e",
                        "value": "Spring sale",
                        "created_at": "2026-03-01T09:00:00Z",
                    }
                ]
            },
        )
    },
    errors=(Invalid, PostgresUnavailable),
    order=510,
)

OPERATIONS = [_BANNERS, _TRACKERS]
