"""What the clients know of their records, each by a number of its own: the judge of a run over the record path."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from tests.chaos.clicks.books import Books
from tests.chaos.records.events import EventBooks

#: Where a record has its number, in the address of a hit and in whatever is no hit.
_NUMBER = re.compile(rb"n=(\d+)(?!\d)")


class RecordBooks(Books):
    """Records by tracker, as `Books` has clicks by banner, and each of them by its number."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0
        #: Numbers by what the client knows: acknowledged, refused, sent as something that is no record.
        self.taken: set[int] = set()
        self.refused: set[int] = set()
        self.mere: set[int] = set()
        self.events = EventBooks(self.fault)
        #: Items of web pages that were acknowledged, by view and number.
        self.items: set[tuple[str, int]] = set()

    def number(self) -> int:
        """The number of a record that is about to be sent."""
        self._last += 1
        self.attempted["records"] += 1  # type: ignore[index]
        return self._last

    def take(self, number: int) -> None:
        """The client was told that the record is taken."""
        self.taken.add(number)
        self.acked["records"] += 1  # type: ignore[index]
        self.outcomes["acked"] += 1

    def is_caught(self) -> bool:
        """Whether a record was lost, doubled or made up."""
        return any(name.startswith("E") for name in self.broken)

    def check_records(self, rows: Counter[int], letters: Counter[int]) -> tuple[int, int]:
        """E1, when all is settled: each record that was taken is in one place, and nothing else is in any, but for
        records of which nobody knows. Answers how many are lost, and how many are there too often."""
        lost = doubled = 0
        for number in range(1, self._last + 1):
            places = rows[number] + letters[number]
            if places > 1:
                doubled += places - 1
                self.fault("E1", f"record {number}: {rows[number]} rows and {letters[number]} letters")
            elif not places and number in self.taken:
                lost += 1
                self.fault("E1", f"record {number} was acknowledged and is nowhere")
            elif places and number in self.refused:
                self.fault("E1", f"record {number} was refused and is stored")
            elif places and number in self.mere:
                self.fault("E1", f"record {number} was no hit and is stored")
        for number in (rows.keys() | letters.keys()) - set(range(1, self._last + 1)):
            self.fault("E1", f"nobody sent record {number}")
        return lost, doubled

    def check_items(self, rows: Iterable[tuple[str, int]]) -> tuple[int, int]:
        """E1, when all is settled: each item of a page that was acknowledged is one row. Answers how many are lost, and
        rows too many."""
        found = Counter(rows)
        for name in self.items - found.keys():
            self.fault("E1", f"item {name} was acknowledged and is nowhere")
        for name, number in found.items():
            if number > 1:
                self.fault("E1", f"{number} rows of item {name}")
        return len(self.items - found.keys()), found.total() - len(found)

    def check_cursors(self, cursors: Iterable[Mapping[str, int]], found: Mapping[int, tuple[int, int]]) -> None:
        """E2 and E3, at any moment: below its cursor a table has as many rows as the cursor says, from as many places
        in the log; and there are as many letters."""
        self.outcomes["audit"] += 1
        for one in cursors:
            rows, places = found.get(one["partition"], (0, 0))
            of = f"partition {one['partition']}"
            if rows != places:
                self.fault("E2", f"{of}: {rows} rows of {places} places in the log")
            if rows != one["stored"]:
                self.fault("E3", f"{of}: {rows} rows, and the cursor says {one['stored']}")
            if one["letters"] != one["dead_lettered"]:
                self.fault("E3", f"{of}: {one['letters']} letters, and the cursor says {one['dead_lettered']}")


def numbers(contents: Iterable[bytes]) -> Counter[int]:
    """How often each number is there. What has none is 0, which nobody sends."""
    found = Counter[int]()
    for content in contents:
        match = _NUMBER.search(content)
        found[int(match[1]) if match else 0] += 1
    return found
