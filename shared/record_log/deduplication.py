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

    def passes(self, producer: str, mark: Mark) -> bool:
        """Return whether the record is new and for this sink. One without a producer, of another program, always is."""
        if not producer:
            return True
        if producer.startswith(REPLAY) and not producer.endswith("/" + self._sink):
            self.skipped += 1
            return False
        former = self.moved.get(producer) or self._marks.get(producer)
        if former is not None and mark <= former:
            self.skipped += 1
            return False
        self.moved[producer] = mark
        return True
