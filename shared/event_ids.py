"""Which ids the table of events has already."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.clickhouse import ClickHouse
from shared.event_rows import ID
from shared.postgres import statement

_KNOWN = statement("shared/event_ids.known.sql")


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
