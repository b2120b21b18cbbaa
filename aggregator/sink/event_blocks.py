"""Blocks of events on their way into the table: their rows, without those whose ids it has.

A row's place is the block's, with the number of the row in the block behind it in `log_seq`, below the seq of the
position. What is left out depends on the table, so it is decided behind the gate (`shared/events/insert_gate.py`), and
what the table has of the batch itself does not count: whoever replays the batch decides as before, for nobody could add
anything meanwhile.
"""

from aggregator.sink.pipelines import Refused
from shared.blocks import BITS
from shared.events.known_ids import Range, known
from shared.events.rows import ID, placed, rows_of
from shared.record_log.record_log import Position, Record
from shared.stores.clickhouse import ClickHouse


def rows(partition: int, record: Record) -> list[bytes]:
    """Return the rows of a block, with their places. Raises Refused for what is no block."""
    try:
        found = rows_of(record.value)
    except ValueError as error:
        raise Refused("malformed", str(error)) from None
    if len(found) >> BITS:
        raise Refused("malformed", f"a block has at most {(1 << BITS) - 1} events, not {len(found)}")
    offset, seq = record.position
    if seq >> (32 - BITS):
        raise Refused("malformed", f"there is no room for the place {record.position}")
    return placed(found, partition, offset, seq << BITS)


def places(partition: int, start: Position, end: Position) -> Range:
    """Return the places of [start, end)."""
    return Range(partition, start.offset, start.seq << BITS, end.offset, end.seq << BITS)


async def sifted(clickhouse: ClickHouse, lines: list[bytes], own: Range) -> list[bytes]:
    """Each id once, the first of a batch, and none that the table has from elsewhere. Raises CLICKHOUSE_ERRORS."""
    first: dict[bytes, bytes] = {}
    for line in lines:
        first.setdefault(line[ID], line)
    for identity in await known(clickhouse, list(first), own):
        del first[identity]
    return list(first.values())
