"""Which topic of the log goes into which table, and how a record becomes a row.

A transform is a pure function of the record: no clock, no chance, no look at a table that changes. Whoever replays a
range makes the same rows of it, byte for byte. A change of what it answers is a new `version`; what was pending under
the old one is then audited instead of sent again (`aggregator/partition.py`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from aggregator import events
from shared.clickhouse import ClickHouse
from shared.dead_letters import DeadLetter
from shared.event_ids import Range
from shared.event_rows import COLUMNS
from shared.hit import TOPIC, Hit
from shared.log.log import Batch, Position, Record

#: A number of the record's partition, and the record; answers a row in the format of the pipeline or raises Refused.
Transform = Callable[[int, Record], bytes]


#: The ClickHouse of the table, a number of a partition, and a batch; answers the records that are to be left out.
Repeats = Callable[[ClickHouse, int, Batch], Awaitable[frozenset[Position]]]

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

    lines: list[bytes]
    letters: list[DeadLetter]
    #: Rows left out because the table has their like.
    duplicates: int = 0
    #: Records of which nothing is left for that reason.
    left_out: int = 0


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
    #: The column of the table that its partitions are made of.
    day: str = "date"
    #: The format of its rows; unless they name their columns themselves, these are theirs.
    form: str = "JSONEachRow"
    columns: tuple[str, ...] | None = None
    #: Settings of its inserts, beside those of every insert.
    settings: Mapping[str, Any] = {}

    @property
    def is_sifted(self) -> bool:
        """Whether rows that the table has are left out, which needs the gate (`shared/event_gate.py`)."""
        return False

    async def insert(self, clickhouse: ClickHouse, rows: Rows, token: str) -> None:
        """Store the rows. Raises CLICKHOUSE_ERRORS."""
        await clickhouse.insert(self.table, b"".join(rows.lines), token, self.form, self.columns, self.settings)

    async def sifted(self, clickhouse: ClickHouse, rows: Rows, own: Range) -> Rows:
        """The rows without those that the table has from elsewhere. Raises CLICKHOUSE_ERRORS."""
        return rows

    def range_of(self, partition: int, start: Position, end: Position) -> Range:
        """The places in the table of what lies in [start, end)."""
        return Range(partition, *start, *end)

    def rows(self, partition: int, batch: Batch, left_out: frozenset[Position] = frozenset()) -> Rows:
        """The rows of a batch, in its order."""
        lines, letters, transform = list[bytes](), list[DeadLetter](), self.transform
        for record in batch.records:
            if record.position in left_out:
                continue
            try:
                lines.append(transform(partition, record))
            except Refused as refused:
                letters.append(self.letter(record, refused.reason, str(refused)))
        repeats = len(batch.records) - len(lines) - len(letters)
        return Rows(lines, letters, repeats, repeats)

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


class Events(Pipeline):
    """Blocks of many events, each of which is stored once, whatever it says when it comes again."""

    __slots__ = ()

    @property
    def is_sifted(self) -> bool:
        """See Pipeline."""
        return True

    def rows(self, partition: int, batch: Batch, left_out: frozenset[Position] = frozenset()) -> Rows:
        """See Pipeline."""
        lines, letters = list[bytes](), list[DeadLetter]()
        for record in batch.records:
            try:
                lines += events.rows(partition, record)
            except ValueError as error:
                letters.append(self.letter(record, "malformed", str(error)))
        return Rows(lines, letters)

    async def insert(self, clickhouse: ClickHouse, rows: Rows, token: str) -> None:
        """See Pipeline."""
        await clickhouse.insert(self.table, b"".join(rows.lines), token, "RowBinary", COLUMNS)

    async def sifted(self, clickhouse: ClickHouse, rows: Rows, own: Range) -> Rows:
        """See Pipeline."""
        found = await events.sifted(clickhouse, rows.lines, own)
        return Rows(found.rows, rows.letters, found.duplicates)

    def range_of(self, partition: int, start: Position, end: Position) -> Range:
        """See Pipeline."""
        return events.range_of(partition, start, end)


def no_line(partition: int, record: Record) -> bytes:
    """The transform of a pipeline whose records are many rows each."""
    raise NotImplementedError("a block of events is many rows")


HITS = Pipeline(TOPIC, "tracker_events", 1, spliced(Hit))
