"""The operation that follows redirect links: its route, and what the document says of it."""

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.links import routes
from shared.errors import (
    Busy,
    LanesFull,
    Limited,
    LinkGone,
    Malformed,
    PostgresUnavailable,
    RedisUnavailable,
    TooManyNewBanners,
    UnknownBanner,
    UnknownLink,
)

_HEADERS = {"Location": "The destination of the link, with what the link lets pass of the query"}

OPERATIONS = [
    Operation(
        method="GET",
        path="/r/{slug}",
        handler=routes.follow_link,
        summary="Follow a redirect link",
        description="Counts a click of the link's banner and leads to its destination. The destination comes from the "
        "table of links; a request can only add to its query what the link lets pass. Machines are led on and counted "
        "as such. HEAD has the same headers and never counts. A prefetch is 503 without a body, so that the click "
        "itself comes here.",
        tag="links",
        parameters=(Parameter("slug", routes.Slug, "The link", "path", example=routes.EXAMPLE),),
        answers={302: Answer("Counted; the destination is in `location`", headers=_HEADERS)},
        errors=(
            UnknownLink,
            UnknownBanner,
            LinkGone,
            Malformed,
            TooManyNewBanners,
            Limited,
            LanesFull,
            RedisUnavailable,
            PostgresUnavailable,
            Busy,
        ),
        order=320,
    ),
]
