"""Drop what a producer sent twice.

Each record carries its producer, the number of the append (seq) and its place in that append. A producer goes on to the
next seq only when the former one is acknowledged, so within a partition whatever is new lies above the highest (seq,
place) seen so far, and whatever does not is a repeat: of an append whose answer was lost, however late it comes. That
highest pair is the producer's mark. A dead letter that is replayed is for its own sink: the others have the record, and
skip it. Sinks store marks together with their position, in one transaction, so that a range
that is read again is cut by the same marks and yields the same records.
"""

from collections.abc import Mapping
from typing import NamedTuple

#: What the names of producers that replay a dead letter begin with. They end with a slash and the sink of the letter.
REPLAY = "dlq/"


class Mark(NamedTuple):
    """The last record of a producer that was let through: the number of its append, and its place in there."""

    seq: int
    place: int


class Sieve:
    """Lets each record of one range through once."""

    def __init__(self, marks: Mapping[str, Mark], sink: str) -> None:
        self._marks = marks
        self._sink = sink
        #: The marks that this range has moved.
        self.moved: dict[str, Mark] = {}
        #: Records that were not let through, for the books.
        self.skipped = 0

    def repeats(self, producer: str, first: Mark, records: int = 1) -> int:
        """Return how many of the first of these records, which lie one behind the other in an append, are repeats or
        not for this sink. The others pass. Those without a producer, of another program, always do."""
        if not producer:
            return 0
        former, known = self.moved.get(producer) or self._marks.get(producer), 0
        if producer.startswith(REPLAY) and not producer.endswith("/" + self._sink):
            known = records
        elif former is not None and first <= former:
            known = records if first.seq < former.seq else min(records, former.place - first.place + 1)
        if known < records:
            self.moved[producer] = Mark(first.seq, first.place + records - 1)
        self.skipped += known
        return known
