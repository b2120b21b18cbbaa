"""The record log: where hits, events and page views wait, in order, until every sink has stored them.

A topic has a fixed number of partitions; the records of one partition have an order, and the key decides the partition.
`shared/record_log/streams.py` and `shared/record_log/kafka/kafka_log.py` keep the same promises:

- An append that returned is in the log. One that raised has an unknown outcome and is repeated under the same
  (producer, seq) until it returns; a reader sees its records once.
- A range of positions always holds the same records, so that whoever died in the middle of one can be replaced.
- Nothing leaves the log before the slowest sink is done with it (`shared/record_log/retention.py`).

Positions are the log's own and ranges are half-open: [start, end). A reader keeps its position and its marks elsewhere
(`shared/record_log/cursors.py`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from shared.errors import TooLarge
from shared.record_log.deduplication import Mark

#: Bytes of a key and a value together. A Kafka broker takes 1,048,588 in one batch by default (`message.max.bytes`).
RECORD_MAX_BYTES = 900_000


class LogDamaged(Exception):
    """Records that a sink still needs are gone, or are others than before. Stop, audit the tables against the log, and
    move the cursor by hand (docs/log.md)."""


class ProducerRewound(Exception):
    """The log has a later append of this producer, so its own memory is older than that. Give it a new name."""


class Position(NamedTuple):
    """A place between two records. Kafka: the offset, and 0. Streams: milliseconds and sequence of an entry's id."""

    offset: int
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.offset}-{self.seq}"


#: Before the first record, wherever the log begins by now: the position of a sink that never read.
BEGIN = Position(0, 0)


class Record(NamedTuple):
    """One record where it lies in the log."""

    position: Position
    key: bytes
    value: bytes
    #: When it came into the log, in epoch milliseconds. In a Kafka topic without LogAppendTime its producer says so.
    time_ms: int = 0


class Limit(NamedTuple):
    """When to cut a batch: at so many records or bytes, or after so many seconds, whatever comes first. The
    seconds may be infinity."""

    records: int = 10_000
    bytes: int = 16 << 20
    wait_s: float = 0.5


class Batch(NamedTuple):
    """What lies in [start, end) without repeats; `marks` are those that it moves, to be stored with the end, and
    `skipped` is how many other records lie there: repeats, and in Kafka what transactions of others left."""

    start: Position
    end: Position
    records: list[Record]
    marks: dict[str, Mark]
    skipped: int = 0


class Stock(NamedTuple):
    """Records that a partition ever took, and those of them that lie from a position on, at one moment. With Kafka
    both count repeats."""

    appended: int
    waiting: int


class Reader(Protocol):
    """One sink's look at one partition. It keeps no state that matters: the same question gets the same records."""

    async def read(self, start: Position, marks: Mapping[str, Mark], limit: Limit) -> Batch:
        """The records from `start` on, as `limit` cuts them; `marks` are those stored with `start`. Nothing there:
        an empty batch whose end is `start`, or lies behind what is skipped. Raises LogUnavailable or LogDamaged."""
        ...

    async def replay(self, start: Position, end: Position, rows: int, marks: Mapping[str, Mark]) -> Batch:
        """Exactly [start, end) again, which had `rows` records. Raises LogUnavailable, or LogDamaged if it has another
        number of them."""
        ...

    async def lag(self, start: Position) -> int:
        """Records in the log from `start` on, repeats among them. Raises LogUnavailable."""
        ...

    async def note(self, position: Position) -> None:
        """Show the tools of the log how far the sink is. Nothing depends on it, and it never raises for a log that is
        away."""
        ...

    async def close(self) -> None:
        """Drop connections of this reader's own."""
        ...


class Log(Protocol):
    """What hits, events and page views are appended to and read from. Any number of processes may."""

    #: A word that stands for the log in cursors and in the tokens of inserts.
    name: str
    #: Partitions of each topic.
    partitions: int

    def partition_of(self, key: bytes) -> int:
        """Return the partition whose order the key belongs to."""
        ...

    async def prepare(self, topic: str) -> None:
        """Make sure that the topic can be used. Call it once at the start. Raises LogUnavailable, or ValueError for a
        topic with another number of partitions."""
        ...

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], *, producer: str, seq: int
    ) -> None:
        """Store (key, value) of each record in order, all of them or in the end none.

        `seq` is at least 1 and grows with every append of the producer to the partition; the next one is sent only when
        this one has returned. After LogUnavailable, and after a restart, the same records are sent again under the same
        seq. Raises LogFull (nothing was stored), LogUnavailable (unknown), TooLarge, or ProducerRewound.
        """
        ...

    async def end(self, topic: str, partition: int) -> Position:
        """Behind the last record. Raises LogUnavailable."""
        ...

    async def stock(self, topic: str, partition: int, start: Position) -> Stock:
        """Return how many records there ever were, and how many lie from `start` on. Raises LogUnavailable."""
        ...

    async def trim(self, topic: str, partition: int, before: Position, keep_s: float) -> None:
        """Forget records before the position that are older than `keep_s`; younger ones too if the partition is more
        than half full. `shared/record_log/retention.py` knows the position. Raises LogUnavailable."""
        ...

    def reader(self, topic: str, partition: int, sink: str) -> Reader:
        """Return a reader for one sink. Close it before the log."""
        ...

    async def close(self) -> None:
        """Drop all connections; an append still on its way may or may not arrive."""
        ...


def check(records: Sequence[tuple[bytes, bytes]], seq: int, most: int) -> None:
    """Refuse what could never be appended. Raises TooLarge or ValueError."""
    if seq < 1:
        raise ValueError(f"an append is numbered from 1, not {seq}")
    if not 0 < len(records) <= most:
        raise ValueError(f"an append has 1 to {most} records, not {len(records)}")
    if any(len(key) + len(value) > RECORD_MAX_BYTES for key, value in records):
        raise TooLarge(f"A record holds at most {RECORD_MAX_BYTES} bytes.")


def check_replay(batch: Batch, rows: int) -> Batch:
    """Return the batch. Raises LogDamaged if it has another number of records than it had."""
    if len(batch.records) != rows:
        raise LogDamaged(f"[{batch.start}, {batch.end}) had {rows} records and has {len(batch.records)} now")
    return batch
