"""Return the trackers with their values, page by page."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http import cursor as cursors
from ingest.http.json_answers import as_json
from ingest.http.query import integer, query, words
from ingest.registries.words import pattern
from ingest.state import Request
from shared.stores.postgres import rows, statement
from shared.uuid7 import NIL

#: Trackers of a page.
PAGE_MOST, PAGE = 1000, 100
#: Characters of a text to search for.
WORDS_MOST = 200

_NAMES = ("q", "limit", "cursor")
#: What a cursor is bound to.
_QUESTION = ("q",)
_PAGE_SQL = statement("ingest/registries/trackers.page.sql")


class Tracker(Struct):
    """A tracker."""

    tracker_id: UUID
    value: Annotated[str, Meta(description="Its value of now; each hit keeps that of its moment")]
    created_at: Annotated[datetime, Meta(tz=True, description="When it was added, in UTC")]


class Trackers(Struct):
    """A page of trackers, in the order of their ids."""

    trackers: list[Tracker]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


async def trackers(request: Request) -> Response:
    """Return a page of the trackers."""
    values = query(request, _NAMES)
    wanted = words(values, "q", WORDS_MOST)
    limit = integer(values, "limit", 1, PAGE_MOST, PAGE)
    digest = cursors.digest_of(values, _QUESTION)
    last = cursors.unpacked(values, digest, UUID, _QUESTION) or NIL
    found = await rows(request.state.pool, _PAGE_SQL, last, wanted.lower(), pattern(wanted), limit + 1)
    page = [Tracker(row["uuid"], row["value"], row["created_at"]) for row in found[:limit]]
    following = cursors.packed(page[-1].tracker_id, digest) if len(found) > limit else UNSET
    return as_json(Trackers(page, following))
