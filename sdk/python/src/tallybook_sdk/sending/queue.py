"""Records that wait, in memory: bounded, and cut into batches whose bytes never change.

Each route has segments. A record joins the last one until that is full or sealed, and a cut turns the first one into a
batch. Clicks and impressions without an id of their own are added up in a segment, by kind, banner and minute.

Whoever calls holds the client's lock. `spool.Spool` keeps the same records in a file.
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tallybook_sdk.outbox.ids import random_id
from tallybook_sdk.sending.batch import (
    CLICKS,
    COUNT_MAX,
    EVENTS,
    ROUTES,
    Batch,
    CellKey,
    Entry,
    Instant,
    Route,
    cell_items,
)
from tallybook_sdk.sending.report import Books

#: Bytes of a cell on the wire at most, and of a cell or the rest of a record in memory.
_CELL_BYTES, _CELL_SIZE, _RECORD_SIZE = 160, 400, 64


class Bounds(NamedTuple):
    """When a batch is cut, and how much may wait."""

    batch_items: int = 1_000
    batch_bytes: int = 512 * 1024
    batch_age_s: float = 1.0
    max_items: int = 50_000
    max_bytes: int = 32 << 20


class Store(Protocol):
    """What the courier asks of the place in which records wait."""

    #: Whether what is left at the end outlives the process.
    is_durable: bool
    #: Records that the place itself has lost.
    lost: Counter[Route]

    def add(self, entry: Entry, mono: float) -> bool | None: ...
    def due(self, route: Route) -> float | None: ...
    def cut(self, route: Route, offset_s: float, now: Instant) -> Batch | None: ...
    def mark(self, batch: Batch) -> None: ...
    def split(self, batch: Batch) -> Sequence[Batch]: ...
    def done(self, batch: Batch) -> None: ...
    def seal(self, route: Route) -> int: ...
    def is_settled(self, route: Route, serial: int) -> bool: ...
    def drain(self, route: Route) -> int: ...
    def weight(self, route: Route) -> int: ...
    def oldest(self, route: Route) -> float | None: ...
    def has_orphans(self) -> bool: ...
    def adopt(self, now: Instant) -> tuple[list[Batch], dict[Route, int]]: ...
    def tend(self) -> None: ...
    def forked(self) -> None: ...
    def close(self) -> None: ...


class _Segment:
    __slots__ = ("bytes", "cells", "first_at", "is_sealed", "items", "serial", "size", "weight")

    def __init__(self, serial: int, first_at: float) -> None:
        self.serial, self.first_at = serial, first_at
        self.items: list[bytes] = []
        #: Cell -> count, and the moment of its first click.
        self.cells: dict[Any, list[Any]] = {}
        self.bytes = self.size = self.weight = 0
        self.is_sealed = False


class _Line:
    """The segments and batches of one route."""

    def __init__(self) -> None:
        self.segments: deque[_Segment] = deque()
        #: Serial -> how many batches of that segment are not settled, and when it began.
        self.unsettled: dict[int, list[float]] = {}
        self.weight = 0


class Queue:
    """Keep records in memory. Nothing outlives the process."""

    is_durable = False

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lines = {route: _Line() for route in ROUTES}
        self.lost: Counter[Route] = Counter()
        self._items = self._bytes = self._serial = 0

    def add(self, entry: Entry, mono: float) -> bool | None:
        """Take a record that came at `mono`, by the clock that never steps.

        Return None if it is full, and True if the next batch is due at another moment than before.
        """
        cell = entry.cell
        if cell is not None and self.add_clicks(cell, entry.weight):
            return False
        line = self._lines[entry.route]
        segments = line.segments
        size = _CELL_SIZE if cell is not None else len(entry.body) + _RECORD_SIZE
        bounds = self._bounds
        if self._items >= bounds.max_items or self._bytes + size > bounds.max_bytes:
            return None
        length = _CELL_BYTES if cell is not None else len(entry.body) + 1
        is_news = False
        if segments:
            last = segments[-1]
            if last.is_sealed or last.bytes + length > bounds.batch_bytes or (cell is not None and cell in last.cells):
                last.is_sealed = is_news = True
                last = self._opened(segments, mono)
        else:
            last, is_news = self._opened(segments, mono), True
        if cell is not None:
            last.cells[cell] = [entry.weight, entry.at]
        else:
            last.items.append(entry.body)
        if len(last.items) + len(last.cells) >= bounds.batch_items:
            last.is_sealed = is_news = True
        last.bytes += length
        last.size += size
        last.weight += entry.weight
        line.weight += entry.weight
        self._items += 1
        self._bytes += size
        return is_news

    def add_clicks(self, cell: CellKey, count: int) -> bool:
        """Add to a cell that waits. Return whether there is one with room."""
        line = self._lines[CLICKS]
        if not line.segments:
            return False
        last = line.segments[-1]
        found = last.cells.get(cell)
        if found is None or last.is_sealed or found[0] + count > COUNT_MAX:
            return False
        found[0] += count
        last.weight += count
        line.weight += count
        return True

    def add_events(self, inbox: list[bytes], books: Books) -> bool:
        """Move events out of an inbox, and book them, if all fit into the last segment. Return whether they did."""
        line, bounds = self._lines[EVENTS], self._bounds
        if not line.segments or line.segments[-1].is_sealed:
            return False
        last = line.segments[-1]
        events = inbox[:]  # to which others append meanwhile
        items = len(events)
        length = sum(map(len, events)) + items
        size = length + items * (_RECORD_SIZE - 1)
        if (
            len(last.items) + items >= bounds.batch_items
            or last.bytes + length > bounds.batch_bytes
            or not self.has_room(items, size)
        ):
            return False
        # No call from here on: a signal handler that raises would come between.
        last.items += events
        del inbox[:items]
        last.bytes += length
        last.size += size
        last.weight += items
        line.weight += items
        self._items += items
        self._bytes += size
        books.recorded += items
        return True

    def has_room(self, items: int, size: int) -> bool:
        """Return whether so many items of so many bytes are taken for sure."""
        return self._items + items <= self._bounds.max_items and self._bytes + size <= self._bounds.max_bytes

    def _opened(self, segments: deque[_Segment], mono: float) -> _Segment:
        self._serial += 1
        segment = _Segment(self._serial, mono)
        segments.append(segment)
        return segment

    def due(self, route: Route) -> float | None:
        """Return when the next batch may be cut, by the clock that never steps; None without records."""
        segments = self._lines[route].segments
        if not segments:
            return None
        first = segments[0]
        return 0.0 if first.is_sealed else first.first_at + self._bounds.batch_age_s

    def cut(self, route: Route, offset_s: float, now: Instant) -> Batch | None:
        """Return the first segment as a batch. It counts as waiting until it is done."""
        line = self._lines[route]
        if not line.segments:
            return None
        segment = line.segments.popleft()
        cells = [(cell, count, at) for cell, (count, at) in segment.cells.items()]
        items = segment.items + cell_items(cells, random_id().hex, offset_s)
        line.unsettled[segment.serial] = [1, segment.first_at]
        return Batch.of(route, segment.serial, items, segment.weight, segment.size)

    def mark(self, batch: Batch) -> None:
        """Note that `first_sent` of the batch has changed."""

    def split(self, batch: Batch) -> Sequence[Batch]:
        """Return two batches in place of one."""
        self._lines[batch.route].unsettled[batch.serial][0] += 1
        return batch.halves()

    def done(self, batch: Batch) -> None:
        """Forget a batch that is settled."""
        line = self._lines[batch.route]
        line.weight -= batch.weight
        self._items -= batch.items
        self._bytes -= batch.size
        left = line.unsettled[batch.serial]
        left[0] -= 1
        if not left[0]:
            del line.unsettled[batch.serial]

    def seal(self, route: Route) -> int:
        """Let what is here be cut at once. Return the serial number of the last of it."""
        segments = self._lines[route].segments
        if segments:
            segments[-1].is_sealed = True
        return self._serial

    def is_settled(self, route: Route, serial: int) -> bool:
        """Return whether nothing waits of what was there when `seal` returned this number."""
        line = self._lines[route]
        return not (line.segments and line.segments[0].serial <= serial) and all(n > serial for n in line.unsettled)

    def drain(self, route: Route) -> int:
        """Drop what was not cut. Return its weight."""
        line = self._lines[route]
        dropped = sum(segment.weight for segment in line.segments)
        for segment in line.segments:
            self._items -= len(segment.items) + len(segment.cells)
            self._bytes -= segment.size
        line.segments.clear()
        line.weight -= dropped
        return dropped

    def weight(self, route: Route) -> int:
        """Return what waits, batches included."""
        return self._lines[route].weight

    def oldest(self, route: Route) -> float | None:
        """Return when the oldest record came, by the clock that never steps."""
        line = self._lines[route]
        moments = [began for _, began in line.unsettled.values()]
        moments += [segment.first_at for segment in list(line.segments)[:1]]
        return min(moments, default=None)

    def has_orphans(self) -> bool:
        """Return False: nobody leaves memory behind."""
        return False

    def adopt(self, now: Instant) -> tuple[list[Batch], dict[Route, int]]:
        """Return nothing."""
        return [], {}

    def tend(self) -> None:
        """Do nothing, as nothing is written."""

    def forked(self) -> None:
        """Do nothing: the child has a queue of its own."""

    def close(self) -> None:
        """Do nothing: memory goes with the process."""
