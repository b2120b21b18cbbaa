"""Return the registered banners with their names, page by page."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.http.openapi import BannerId
from ingest.http.query import parsed_banners
from ingest.registries.page import Page
from ingest.registries.words import pattern
from ingest.state import Request
from shared.counting.lane import BANNER_MAX
from shared.stores.postgres import rows, statement

#: Ids that one request may name.
IDS_MOST = 1000
#: Characters of a text to search for: those of the longest name.
WORDS_MOST = 200

_PAGE_SQL = statement("ingest/registries/banners.page.sql")
#: The place of a cursor: the last id of a page.
_Last = Annotated[int, Meta(ge=1, le=BANNER_MAX)]


class Banner(Struct, kw_only=True, rename="camel"):
    """A registered banner."""

    banner_id: BannerId
    name: Annotated[str, Meta(description="Its name; empty when it has none")]
    created_at: Annotated[datetime, Meta(tz=True, description="When it was registered, in UTC")]


class Banners(Struct, kw_only=True):
    """A page of banners, in the order of their ids."""

    banners: list[Banner]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


async def banners(request: Request) -> Response:
    """Return a page of the registered banners."""
    asked = Page(request, WORDS_MOST, _Last, 0, more=("ids",))
    ids = parsed_banners("ids", asked.values["ids"], IDS_MOST) if "ids" in asked.values else None
    of = asked.words
    found = await rows(request.state.pool, _PAGE_SQL, asked.last, of, pattern(of), ids, asked.limit + 1)
    page, following = asked.cut(found, _banner, lambda banner: banner.banner_id)
    return as_json(Banners(banners=page, next=following))


def _banner(row: Any) -> Banner:
    return Banner(banner_id=row["banner_id"], name=row["name"], created_at=row["created_at"])
