"""Return the trackers with their values, page by page."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.registries.page import Page
from ingest.registries.words import pattern
from ingest.state import Request
from shared.stores.postgres import rows, statement
from shared.uuid7 import NIL

#: Characters of a text to search for.
WORDS_MOST = 200

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
    asked = Page(request, WORDS_MOST, UUID, NIL)
    of = asked.words
    found = await rows(request.state.pool, _PAGE_SQL, asked.last, of.lower(), pattern(of), asked.limit + 1)
    return as_json(Trackers(*asked.cut(found, _tracker, lambda tracker: tracker.tracker_id)))


def _tracker(row: Any) -> Tracker:
    return Tracker(row["uuid"], row["value"], row["created_at"])
