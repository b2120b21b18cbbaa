"""Return the registered banners with their names, page by page."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http import cursor as cursors
from ingest.http.json_answers import as_json
from ingest.http.openapi import BannerId
from ingest.http.query import integer, parsed_banners, query, words
from ingest.registries.words import pattern
from ingest.state import Request
from shared.counting.lane import BANNER_MAX
from shared.stores.postgres import rows, statement

#: Banners of a page, and ids that one request may name.
PAGE_MOST, PAGE = 1000, 100
#: Characters of a text to search for: those of the longest name.
WORDS_MOST = 200

_NAMES = ("q", "ids", "limit", "cursor")
#: What a cursor is bound to.
_QUESTION = ("q", "ids")
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
    values = query(request, _NAMES)
    wanted = words(values, "q", WORDS_MOST)
    ids = parsed_banners("ids", values["ids"], PAGE_MOST) if "ids" in values else None
    limit = integer(values, "limit", 1, PAGE_MOST, PAGE)
    digest = cursors.digest_of(values, _QUESTION)
    last = cursors.unpacked(values, digest, _Last, _QUESTION) or 0
    found = await rows(request.state.pool, _PAGE_SQL, last, wanted, pattern(wanted), ids, limit + 1)
    page = [Banner(banner_id=row["banner_id"], name=row["name"], created_at=row["created_at"]) for row in found[:limit]]
    following = cursors.packed(page[-1].banner_id, digest) if len(found) > limit else UNSET
    return as_json(Banners(banners=page, next=following))
