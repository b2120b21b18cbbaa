"""Which topic of the log goes into which table, and how a record becomes a row.

A transform is a pure function of the record: no clock, no chance, no look at a table that changes. Whoever replays a
range makes the same rows of it, byte for byte. A change of what it answers is a new `version`; what was pending under
the old one is then audited instead of sent again (`aggregator/partition.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.dead_letters import DeadLetter
from shared.hit import TOPIC, Hit
from shared.log.log import Batch, Record

#: A number of the record's partition, and the record; answers one line of JSONEachRow or raises Refused.
Transform = Callable[[int, Record], bytes]


class Refused(Exception):
    """The record can never be a row of the table. `reason` is a code for machines."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class Rows(NamedTuple):
    """What a batch becomes: lines for the table, and letters for those that can be none."""

    lines: list[bytes]
    letters: list[DeadLetter]


class Pipeline(NamedTuple):
    """A topic, the table that it goes to (which is the name of the sink, too), and the way between them."""

    topic: str
    table: str
    version: int
    transform: Transform

    def rows(self, partition: int, batch: Batch) -> Rows:
        """The rows of a batch, in its order."""
        lines, letters, transform = list[bytes](), list[DeadLetter](), self.transform
        for record in batch.records:
            try:
                lines.append(transform(partition, record))
            except Refused as refused:
                letters.append(self.letter(record, refused.reason, str(refused)))
        return Rows(lines, letters)

    def letter(self, record: Record, reason: str, detail: str) -> DeadLetter:
        """The record as a dead letter."""
        return DeadLetter(record, reason, detail, self.version)


def spliced(columns: type[Struct]) -> Transform:
    """A transform for records that are rows already: their bytes stay as they are, and the place in the log is added
    before the closing brace. They are parsed only to know that they are what they should be."""
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(columns).decode

    def transform(partition: int, record: Record) -> bytes:
        value, (offset, seq) = record.value, record.position
        try:
            decode(value)
        except msgspec.ValidationError as error:
            raise Refused("columns", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused("malformed", str(error)) from None
        if value[-1] != _BRACE:
            value = value.rstrip()  # blanks behind the object
        return b'%b,"log_partition":%d,"log_offset":%d,"log_seq":%d}\n' % (value[:-1], partition, offset, seq)

    return transform


_BRACE = ord("}")

PIPELINES = (Pipeline(TOPIC, "tracker_events", 1, spliced(Hit)),)
