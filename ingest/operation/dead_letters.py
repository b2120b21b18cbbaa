"""List the records that can be no row and wait for somebody: where they were and why. Nothing of the records is shown.

`tallybook dlq` shows, replays and drops them.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from ingest.http import cursor as cursors
from ingest.http.json_answers import as_json
from ingest.http.query import integer, query, words
from ingest.state import Request
from shared.record_log.dead_letters import Place as LetterPlace
from shared.record_log.record_log import Position
from shared.stores.postgres import rows, statement

#: Letters of a page, and pairs of table and reason that are counted.
PAGE_MOST, PAGE = 1000, 100
COUNTS_MOST = 1000
#: Characters of the name of a table.
TABLE_MOST = 64

_NAMES = ("table", "limit", "cursor")
#: What a cursor is bound to.
_QUESTION = ("table",)
_COUNTS = statement("ingest/operation/dead_letters.counts.sql")
_PAGE_SQL = statement("ingest/operation/dead_letters.page.sql")

_Bigint = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Name = Annotated[str, Meta(max_length=255, pattern="^[^\\x00]*$")]


class _Behind(NamedTuple):
    """The place of a cursor: the last letter of a page."""

    created_at: Annotated[datetime, Meta(tz=True)]
    log: _Name
    topic: _Name
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    offset: _Bigint
    seq: _Bigint
    sink: _Name


_BEGIN = _Behind(datetime(1970, 1, 1, tzinfo=UTC), "", "", 0, 0, 0, "")


class LetterCount(Struct):
    """Letters of a table that wait for one reason."""

    table: str
    reason: Annotated[
        str, Meta(description="`malformed`, `columns`, another word of the sink, or a code of ClickHouse")
    ]
    count: Annotated[int, Meta(ge=1)]


class Letter(Struct):
    """A letter that waits."""

    id: Annotated[str, Meta(description="What `tallybook dlq` calls it")]
    table: Annotated[str, Meta(description="The table that its record was for")]
    reason: Annotated[str, Meta(description="Why it can be no row")]
    topic: str
    partition: int
    offset: Annotated[int, Meta(description="Of Kafka the offset, of Redis the milliseconds of the entry's id")]
    created_at: Annotated[datetime, Meta(tz=True, description="When it was refused, in UTC")]


class DeadLetters(Struct):
    """Letters that wait: how many by reason, and a page of them, the oldest first."""

    counts: list[LetterCount]
    letters: list[Letter]
    next: Annotated[str, Meta(description="The `cursor` of the next page; absent on the last one")] | UnsetType = UNSET


async def dead_letters(request: Request) -> Response:
    """Return a page of the letters that wait, and how many there are by reason."""
    values = query(request, _NAMES)
    table = words(values, "table", TABLE_MOST)
    limit = integer(values, "limit", 1, PAGE_MOST, PAGE)
    digest = cursors.digest_of(values, _QUESTION)
    behind = cursors.unpacked(values, digest, _Behind, _QUESTION) or _BEGIN
    pool = request.state.pool
    counts = [LetterCount(*row) for row in await rows(pool, _COUNTS, table, COUNTS_MOST)]
    found = await rows(pool, _PAGE_SQL, table, *behind, limit + 1)
    following: str | UnsetType = UNSET
    if len(found) > limit:
        following = cursors.packed(_Behind(*list(found[limit - 1])[:7]), digest)
    return as_json(DeadLetters(counts, [_letter(row) for row in found[:limit]], following))


def _letter(row: Any) -> Letter:
    created_at, log, topic, partition, offset, seq, sink, reason = row
    place = LetterPlace(log, topic, partition, Position(offset, seq), sink)
    return Letter(str(place), sink, reason, topic, partition, offset, created_at)
