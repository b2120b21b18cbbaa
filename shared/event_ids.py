"""Which ids the table of events has already."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.clickhouse import ClickHouse
from shared.event_rows import id_of
from shared.postgres import statement

_KNOWN = statement("shared/event_ids.known.sql")


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
    parameters = {"ids": b"".join(ids).hex(), "count": len(ids), **own._asdict()}
    return {id_of(row[0]) for row in await clickhouse.query(_KNOWN, parameters)}
