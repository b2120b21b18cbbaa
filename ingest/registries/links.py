"""Return the redirect links with their destinations, page by page."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.http.openapi import BannerId
from ingest.registries.page import Page
from ingest.registries.words import pattern
from ingest.state import Request
from shared.stores.postgres import rows, statement

#: Characters of a text to search for.
WORDS_MOST = 200

_PAGE_SQL = statement("ingest/registries/links.page.sql")
#: The place of a cursor: the last slug of a page.
_Last = Annotated[str, Meta(max_length=64)]


class Link(Struct, kw_only=True, rename="camel"):
    """A redirect link."""

    slug: str
    banner_id: BannerId
    url: Annotated[str, Meta(description="Its destination")]
    active: Annotated[bool, Meta(description="Whether it leads anywhere, if it is not over or used up")]
    expires_at: Annotated[datetime, Meta(tz=True, description="When it ends, in UTC")] | UnsetType = UNSET
    max_clicks: Annotated[int, Meta(ge=1, description="Clicks of people that it leads on")] | UnsetType = UNSET
    created_at: Annotated[datetime, Meta(tz=True, description="When it was added, in UTC")]


class Links(Struct):
    """A page of links, in the order of their slugs."""

    links: list[Link]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


async def links(request: Request) -> Response:
    """Return a page of the redirect links."""
    asked = Page(request, WORDS_MOST, _Last, "")
    of = asked.words
    found = await rows(request.state.pool, _PAGE_SQL, asked.last, of, pattern(of), asked.limit + 1)
    return as_json(Links(*asked.cut(found, _link, lambda link: link.slug)))


def _link(row: Any) -> Link:
    return Link(
        slug=row["slug"],
        banner_id=row["banner_id"],
        url=row["url"],
        active=row["active"],
        expires_at=row["expires_at"] or UNSET,
        max_clicks=row["max_clicks"] or UNSET,
        created_at=row["created_at"],
    )
