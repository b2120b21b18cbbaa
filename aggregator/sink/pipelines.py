"""Say which topic of the record log goes into which table, and how a record becomes a row.

A transform is a pure function of the record: no clock, no chance, no look at a table that changes. Whoever replays a
range makes the same rows of it, byte for byte. A change of what it returns is a new `version`; what was pending under
the old one is then audited instead of sent again (`aggregator/sink/partition.py`).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from shared.events.known_ids import Range
from shared.record_log.dead_letters import DeadLetter
from shared.record_log.record_log import Batch, Position, Record
from shared.stores.clickhouse import ClickHouse

#: A number of the record's partition, and the record. Returns rows in the format of the pipeline or raises Refused.
Transform = Callable[[int, Record], Sequence[bytes]]

#: The ClickHouse of the table, a number of a partition, and a batch. Returns the records to leave out.
Repeats = Callable[[ClickHouse, int, Batch], Awaitable[frozenset[Position]]]

#: The ClickHouse of the table, rows, and the places in the table of the batch that they are of; answers the rows that
#: the table does not have from elsewhere. Raises CLICKHOUSE_ERRORS.
Sift = Callable[[ClickHouse, list[bytes], Range], Awaitable[list[bytes]]]

#: A partition, and two positions of the log; answers the places in the table of what lies in between, the first of them
#: included.
Places = Callable[[int, Position, Position], Range]

#: Exactly once notes what is about to be inserted; at least once does not, and a kill in that moment doubles a batch.
Delivery = Literal["exactly_once", "at_least_once"]

#: Who says that a record can be no row: the parser, the columns, or ClickHouse.
REASONS = ("malformed", "columns", "refused")


class Refused(Exception):
    """The record can never be a row of the table. `reason` is a code for machines."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class Rows(NamedTuple):
    """What a batch becomes: lines for the table, and letters for those that can be none. What is in neither was left
    out as a repeat."""

    batch: Batch
    lines: list[bytes]
    letters: list[DeadLetter]
    #: Rows left out because the table has their like.
    duplicates: int = 0
    #: Records of which nothing is left for that reason.
    left_out: int = 0

    @property
    def size(self) -> int:
        """The number of records of the batch, or 0 if none has a line."""
        return len(self.batch.records) if self.lines else 0


def _places(partition: int, start: Position, end: Position) -> Range:
    """Those of a table that has the positions of the log."""
    return Range(partition, *start, *end)


class Pipeline(NamedTuple):
    """A topic, the table that it goes to (which is the name of the sink, too), and the way between them."""

    topic: str
    table: str
    version: int
    transform: Transform
    #: Every reason that Refused may have, and `refused`.
    reasons: tuple[str, ...] = REASONS
    delivery: Delivery = "exactly_once"
    #: Finds records whose event is there already; None keeps them all.
    repeats: Repeats | None = None
    #: Leaves out rows that the table has, whatever brought them there, behind the gate
    #: (`shared/events/insert_gate.py`); None keeps them all.
    sift: Sift | None = None
    places: Places = _places
    #: The column of the table that its partitions are made of.
    day: str = "date"
    #: The format of its rows; unless they name their columns themselves, these are theirs.
    form: str = "JSONEachRow"
    columns: tuple[str, ...] | None = None
    #: Settings of its inserts, beside those of every insert.
    settings: Mapping[str, Any] = {}
    #: Rows that a record holds, for the books; None where each is one.
    rows_in: Callable[[bytes], int] | None = None
    #: Where a record may be a text instead: the transform to JSONEachRow of a batch that has one, and what tells.
    text_transform: Transform | None = None
    is_packed: Callable[[bytes], bool] = bool
    #: What a dead letter shows of a record, for people to mend.
    shown: Callable[[bytes], bytes] = bytes

    def of(self, batch: Batch) -> "Pipeline":
        """Return the pipeline as it is for a batch: an insert has one format."""
        if self.text_transform is None or all(self.is_packed(record.value) for record in batch.records):
            return self
        return self._replace(transform=self.text_transform, form="JSONEachRow", columns=None)

    async def insert(self, clickhouse: ClickHouse, lines: Iterable[bytes], token: str) -> None:
        """Store rows. Raises CLICKHOUSE_ERRORS."""
        await clickhouse.insert(self.table, b"".join(lines), token, self.form, self.columns, self.settings)

    def rows(self, partition: int, batch: Batch, left_out: frozenset[Position] = frozenset()) -> Rows:
        """Return the rows of a batch, in its order."""
        lines, letters, transform, repeats = list[bytes](), list[DeadLetter](), self.transform, 0
        for record in batch.records:
            if record.position in left_out:
                repeats += 1
                continue
            try:
                lines += transform(partition, record)
            except Refused as refused:
                letters.append(self.letter(record, refused.reason, str(refused)))
        return Rows(batch, lines, letters, repeats, repeats)

    def size(self, records: Iterable[Record]) -> int:
        """Return how many rows the records hold."""
        count = self.rows_in
        return sum(1 if count is None else count(record.value) for record in records)

    def letter(self, record: Record, reason: str, detail: str) -> DeadLetter:
        """Return the record as a dead letter."""
        return DeadLetter(record._replace(value=self.shown(record.value)), reason, detail, self.version)


def alone(row: Callable[[int, Record], bytes]) -> Transform:
    """Return the transform of records that are one row each."""
    return lambda partition, record: (row(partition, record),)


def spliced(columns: type[Struct], text: Callable[[bytes], bytes] = bytes) -> Transform:
    """The transform of records whose texts are rows already: their bytes stay as they are, and the place in the log is
    added before the closing brace. They are parsed only to know that they are what they should be."""
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(columns).decode

    def row(partition: int, record: Record) -> bytes:
        value, (offset, seq) = text(record.value), record.position
        try:
            decode(value)
        except msgspec.ValidationError as error:
            raise Refused("columns", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused("malformed", str(error)) from None
        if value[-1] != _BRACE:
            value = value.rstrip()  # blanks behind the object
        return b'%b,"log_partition":%d,"log_offset":%d,"log_seq":%d}\n' % (value[:-1], partition, offset, seq)

    return alone(row)


_BRACE = ord("}")
