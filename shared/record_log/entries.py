"""Several records of one append lie in one entry: of a stream in Redis, or a message of Kafka.

That is a matter of the record log alone. To producers, journals and sinks each record is one, with a position, a key, a
value and a mark of its own: those that it would have in an entry of its own.

    entry    one record: its key and value; or no key, and a block of keys and values in turn (`shared/blocks.py`)
    record   position of the entry, and behind it the number of the record in it, added to `seq`

So a range may begin or end in the midst of an entry.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from shared import blocks
from shared.record_log.deduplication import Mark, Sieve
from shared.record_log.record_log import Batch, Limit, Position, Record

_MAGIC = b"trl1"
#: Records of an entry, and bytes of those of one with several. Redis does nothing else while it copies an entry.
_RECORDS_MAX, _BYTES_MAX = 500, 64 << 10

_Pair = tuple[bytes, bytes]


class Entry(NamedTuple):
    """One entry as it lies in the log. The mark is that of its first record."""

    position: Position
    key: bytes
    value: bytes
    time_ms: int
    producer: str
    mark: Mark
    #: Whether it may hold several records.
    is_packed: bool = True

    @property
    def records(self) -> list[_Pair]:
        """Return key and value of each of its records."""
        return unpacked(self.key, self.value) if self.is_packed else [(self.key, self.value)]


def packed(records: Sequence[_Pair]) -> Iterator[tuple[bytes, bytes, int]]:
    """Return key and value of the entries that hold the records in order, and how many each of them holds."""
    begin = size = 0
    for number, (key, value) in enumerate(records):
        more = 8 + len(key) + len(value)  # with their lengths
        if number > begin and (number - begin == _RECORDS_MAX or size + more > _BYTES_MAX):
            yield _packed(records[begin:number])
            begin, size = number, 0
        size += more
    if begin < len(records):
        yield _packed(records[begin:])


def _packed(records: Sequence[_Pair]) -> tuple[bytes, bytes, int]:
    if len(records) > 1:
        return b"", blocks.packed(_MAGIC, [part for record in records for part in record]), len(records)
    [(key, value)] = records
    return key, value, len(unpacked(key, value))  # it may be a whole entry, which an older version could not read


def unpacked(key: bytes, value: bytes) -> list[_Pair]:
    """Return the records of an entry."""
    if not value.startswith(_MAGIC):
        return [(key, value)]
    try:
        parts = blocks.unpacked(_MAGIC, value)
        return list(zip(parts[::2], parts[1::2], strict=True)) or [(key, value)]
    except ValueError:  # another program may write what it likes
        return [(key, value)]


class Gathered:
    """Gather the records of a range, entry by entry, without repeats."""

    def __init__(
        self,
        start: Position,
        marks: Mapping[str, Mark],
        sink: str,
        behind: Callable[[Position], Position],
        *,
        limit: Limit | None = None,
        end: Position | None = None,
    ) -> None:
        """`behind` returns the first position behind an entry whose last record lies there."""
        self._start, self._end, self._behind = start, end, behind
        self._limit = limit or Limit(records=1 << 62, bytes=1 << 62)
        self._sieve = Sieve(marks, sink)
        self._records: list[Record] = []
        self._size = 0
        #: Behind the last record that was looked at.
        self.at = start
        #: Behind the last entry that ends in the range; None where none does.
        self.between: Position | None = None
        #: Records that were looked at, and entries that end in the range.
        self.read = self.entries = 0

    @property
    def is_full(self) -> bool:
        """Return whether the range has as many records as it may."""
        return self.read >= self._limit.records

    def take(self, entry: Entry) -> bool:
        """Add the records of the next entry that lie in the range. Return whether its last one is among them."""
        (offset, seq), records = entry.position, entry.records
        first = max(0, self.at.seq - seq) if self.at.offset == offset else 0
        last = self._fitting(records, first, len(entry.key) + len(entry.value))
        if self._end is not None and self._end.offset == offset:
            last = min(last, self._end.seq - seq)
        if last > first:
            mark = Mark(entry.mark.seq, entry.mark.place + first)
            new = first + self._sieve.repeats(entry.producer, mark, last - first)
            time_ms = entry.time_ms
            self._records += [
                Record(Position(offset, number), key, value, time_ms)
                for number, (key, value) in enumerate(records[new:last], seq + new)
            ]
            self.read += last - first
            self.at = Position(offset, seq + last)
        if last < len(records):
            return False
        self.at = self.between = self._behind(Position(offset, seq + last - 1))
        self.entries += 1
        return True

    def _fitting(self, records: Sequence[_Pair], first: int, size: int) -> int:
        """Return the number of the first record that is too much; at least one fits into an empty range."""
        records_max, bytes_max, last = self._limit.records - self.read, self._limit.bytes, first
        if len(records) - first <= records_max and self._size + size <= bytes_max:
            self._size += size
            return len(records)
        for key, value in records[first:]:
            self._size += len(key) + len(value)
            if last - first == records_max or (self._size > bytes_max and self.read + last - first):
                self._size -= len(key) + len(value)
                break
            last += 1
        return last

    def batch(self, end: Position | None = None, gaps: int = 0) -> Batch:
        """Return the range up to `end`, or to the last record that was looked at; `gaps` were no records."""
        sieve = self._sieve
        return Batch(self._start, end or self.at, self._records, sieve.moved, sieve.skipped + gaps)
