"""The operations that list what is registered: their routes, and what the document says of them."""

from typing import Annotated

from msgspec import Meta

from ingest.http.cursor import CHARACTERS_MAX
from ingest.http.openapi import Answer, BannerId, Operation, Parameter
from ingest.registries import banners, links, sites, trackers
from ingest.registries.page import DEFAULT, MOST
from shared.errors import Invalid, PostgresUnavailable

_CURSOR = Parameter(
    "cursor",
    Annotated[str, Meta(min_length=1, max_length=CHARACTERS_MAX)],
    "`next` of the page before; everything else but `limit` has to stay as it was",
)


def _search(most: int, what: str, example: str) -> Parameter:
    """Return the parameter that searches a list."""
    return Parameter("q", Annotated[str, Meta(min_length=1, max_length=most)], what, example=example)


def _limit(of: str = "Rows") -> Parameter:
    """Return how many rows a page has."""
    return Parameter("limit", Annotated[int, Meta(ge=1, le=MOST)], f"{of} of a page, {DEFAULT} when not given")


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
        _search(
            banners.WORDS_MOST,
            "Only banners whose id begins with this, or whose name has it in it, in any case",
            "spring",
        ),
        Parameter(
            "ids",
            Annotated[
                list[BannerId],
                Meta(min_length=1, max_length=banners.IDS_MOST, extra_json_schema={"uniqueItems": True}),
            ],
            "Only these banners, with commas between them",
            example=[42, 43],
        ),
        _limit("Banners"),
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
        _search(
            trackers.WORDS_MOST,
            "Only trackers whose id begins with this, or whose value has it in it, in any case",
            "spring",
        ),
        _limit("Trackers"),
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


_LINKS = Operation(
    method="GET",
    path="/links",
    handler=links.links,
    scope="stats:read",
    body_use="refused",
    summary="The redirect links and their destinations",
    description="In the order of their slugs. While there are more, `next` leads to the next page. The clicks of a "
    "link are those of its banner, which other links and pages may share.",
    tag="registries",
    parameters=(
        _search(
            links.WORDS_MOST,
            "Only links that have this in their slug or destination, in any case, or whose banner it is",
            "spring",
        ),
        _limit(),
        _CURSOR,
    ),
    answers={
        200: Answer(
            "A page",
            links.Links,
            example={
                "links": [
                    {
                        "slug": "spring",
                        "bannerId": 42,
                        "url": "https://shop.example/sale",
                        "active": True,
                        "createdAt": "2026-03-01T09:00:00Z",
                    }
                ]
            },
        )
    },
    errors=(Invalid, PostgresUnavailable),
    order=520,
)

_SITES = Operation(
    method="GET",
    path="/sites",
    handler=sites.sites,
    scope="stats:read",
    body_use="refused",
    summary="The sites whose pages may report",
    description="In the order of their names. While there are more, `next` leads to the next page.",
    tag="registries",
    parameters=(
        _search(sites.WORDS_MOST, "Only sites that have this in their name or in a host, in any case", "shop"),
        _limit(),
        _CURSOR,
    ),
    answers={
        200: Answer(
            "A page",
            sites.Sites,
            example={
                "sites": [
                    {
                        "site": "shop",
                        "timezone": "Europe/Berlin",
                        "hosts": ["*.shop.example", "shop.example"],
                        "visitors": "daily",
                        "createdAt": "2026-03-01T09:00:00Z",
                    }
                ]
            },
        )
    },
    errors=(Invalid, PostgresUnavailable),
    order=530,
)

OPERATIONS = [_BANNERS, _TRACKERS, _LINKS, _SITES]
