"""Hits on their way into the table: packed by a worker, or texts of programs, replayed letters and former versions.

A packed hit is a row of RowBinary already. A batch with a text becomes JSON as a whole: ClickHouse reads texts anyhow.
"""

import struct

from aggregator.sink.pipelines import Refused, alone, spliced
from shared.events.rows import PLACE
from shared.hit import Hit, is_packed, row_of, text_of
from shared.record_log.record_log import Record


def row(partition: int, record: Record) -> bytes:
    """Return the row of a packed hit, with its place. Raises Refused."""
    try:
        return row_of(record.value) + PLACE.pack(partition, *record.position)
    except ValueError as error:
        raise Refused("malformed", str(error)) from None
    except struct.error:  # an id of a stream that another program chose
        raise Refused("columns", f"{record.position} is no place of the table") from None


def shown(value: bytes) -> bytes:
    """Return a record as a text, or as it is where it is none and no whole hit."""
    try:
        return text_of(value) if is_packed(value) else value
    except (ValueError, OverflowError):
        return value


rows = alone(row)
text_rows = spliced(Hit, shown)
