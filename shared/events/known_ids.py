"""Look up which ids the table of events has, and what it says of them."""

from collections.abc import Collection, Sequence
from hashlib import md5
from struct import pack
from typing import NamedTuple

from shared.events.columns import Columns
from shared.events.rows import ID
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import statement

_KNOWN, _CONTENTS = statement("shared/events/known_ids.known.sql"), statement("shared/events/known_ids.contents.sql")
#: Events of which one statement asks what they say.
_AT_ONCE = 50_000


#: Bytes of an id.
_SIZE = ID.stop - ID.start


class _Plain:
    """A text without a character that has to be escaped. clickhouse-connect looks at each character of a `str` for
    that, which would take longer than everything else that a sink does with an event."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class Range(NamedTuple):
    """The places [first, end) of one partition: those of a batch."""

    partition: int
    first_offset: int
    first_seq: int
    end_offset: int
    end_seq: int


async def known(clickhouse: ClickHouse, ids: Sequence[bytes], own: Range) -> set[bytes]:
    """Those of the ids (as they lie in rows) that the table has, merged or not, from elsewhere than the batch itself:
    so a batch that is stored already, or half of it, is told the same as before. Raises CLICKHOUSE_ERRORS."""
    if not ids:
        return set()
    parameters = {"ids": _Plain(b"".join(ids).hex()), "count": len(ids), **own._asdict()}
    found = await clickhouse.file(_KNOWN, parameters, "RowBinary")
    return {found[at : at + _SIZE] for at in range(0, len(found), _SIZE)}


async def contents(clickhouse: ClickHouse, events: Collection[tuple[int, bytes]]) -> dict[bytes, bytes]:
    """What the table says of events, as hashes by their ids; they are named by day and id, and those that are not there
    on that day are left out. Raises CLICKHOUSE_ERRORS."""
    named, found = [pack("<H", day) + identity for day, identity in events], dict[bytes, bytes]()
    for begin in range(0, len(named), _AT_ONCE):
        some = named[begin : begin + _AT_ONCE]
        parameters = {"events": _Plain(b"".join(some).hex()), "count": len(some)}
        rows = await clickhouse.file(_CONTENTS, parameters, "RowBinary")
        for at in range(0, len(rows), 2 * _SIZE):
            found[rows[at : at + _SIZE]] = rows[at + _SIZE : at + 2 * _SIZE]
    return found


def content(events: Columns, at: int) -> bytes:
    """Return the same hash of an event that is not in the table."""
    texts = (_text(column[at]) for column in (events.users, events.types, events.properties))
    return md5(b"\0".join((str(events.moments[at]).encode(), *texts)), usedforsecurity=False).digest()


def _text(sized: bytes) -> bytes:
    """Return a text without its length in front."""
    begin = 0
    while sized[begin] > 127:
        begin += 1
    return sized[begin + 1 :]
