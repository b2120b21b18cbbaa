"""What is sent: records, the items that they become, and batches whose bytes never change."""

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

#: Clicks that one item may stand for (docs/api.md).
COUNT_MAX = 1_000_000
#: Bytes of a body of events from which on it is compressed.
_GZIP_MIN = 1024
#: Seconds of a cell.
MINUTE_S = 60


@dataclass(frozen=True, eq=False)
class Route:
    """A route that takes records."""

    name: str
    path: str
    #: Whether ids count once for a while only, so that a repeat is not safe for ever.
    is_windowed: bool


CLICKS = Route("clicks", "/stats", True)
EVENTS = Route("events", "/events", False)
ROUTES = (CLICKS, EVENTS)


class Instant(NamedTuple):
    """A moment in seconds, by a clock that never steps, and by the wall clock. A laptop that sleeps stops the first."""

    mono: float
    wall: float

    def since(self, earlier: "Instant") -> float:
        """Return the seconds since then, by the clock that says more."""
        return max(self.mono - earlier.mono, self.wall - earlier.wall)


#: A cell as a plain tuple, which is equal to it and made in a third of the time.
CellKey = tuple[str, int, int, bool]


class Cell(NamedTuple):
    """Clicks or impressions that are added up. A moment that the caller gave is not corrected by the service's."""

    kind: str
    banner: int
    minute: int
    is_given: bool


class Entry(msgspec.Struct, gc=False):
    """One record: its JSON, or the cell to which it adds."""

    route: Route
    weight: int
    body: bytes = b""
    cell: Cell | None = None
    #: When it happened, in Unix seconds; of cells alone.
    at: float = 0.0


class ClickItem(msgspec.Struct, omit_defaults=True, rename="camel"):
    """An item of `POST /stats`."""

    banner_id: Any
    count: Any = 1
    timestamp: datetime | UnsetType = UNSET
    id: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET


class Batch:
    """Items of one route in bytes that never change, so that a repeat is the same request."""

    __slots__ = (
        *("attempts", "body", "first_sent", "home", "id", "items"),
        *("packed", "route", "serial", "size", "weight"),
    )

    def __init__(self, route: Route, serial: int, body: bytes, items: int, weight: int, size: int = 0) -> None:
        self.route, self.serial, self.body = route, serial, body
        #: How many there are, what they count for, and the bytes that they take up while they wait.
        self.items, self.weight, self.size = items, weight, size
        #: The body as it travels, once it has been compressed.
        self.packed: bytes | None = None
        #: When it first reached a socket; None while no attempt can have been counted.
        self.first_sent: Instant | None = None
        self.attempts = 0
        #: The file of a spool that holds it, and its id there.
        self.home: Any = None
        self.id = 0

    @classmethod
    def of(cls, route: Route, serial: int, items: Sequence[bytes | msgspec.Raw], weight: int, size: int = 0) -> "Batch":
        """Return a batch of these items."""
        return cls(route, serial, b"[" + b",".join(items) + b"]", len(items), weight, size)

    def raw(self) -> list[msgspec.Raw]:
        """Return the JSON of each item."""
        return msgspec.json.decode(self.body, type=list[msgspec.Raw])

    def weights(self) -> list[int]:
        """Return what each item counts for."""
        if not self.route.is_windowed:
            return [1] * self.items
        return [weight_of(item.count) for item in msgspec.json.decode(self.body, type=list[ClickItem])]

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return two batches with the same items. Ids stay, and so does the moment of the first attempt."""
        raw, weights, middle = self.raw(), self.weights(), self.items // 2
        size = self.size // 2
        two = (
            Batch.of(self.route, self.serial, raw[:middle], sum(weights[:middle]), self.size - size),
            Batch.of(self.route, self.serial, raw[middle:], sum(weights[middle:]), size),
        )
        for half in two:
            half.first_sent = self.first_sent
        return two


def weight_of(count: object) -> int:
    """Return what a record counts for in the report: its count, or 1 where that is none."""
    return count if type(count) is int and count >= 1 else 1


def cell_of(kind: str, banner: int, at: float, is_given: bool, offset_s: float) -> Cell:
    """Return the cell of a click, in the minute of the service's clock."""
    return Cell(kind, banner, int((at if is_given else at + offset_s) // MINUTE_S), is_given)


def cell_items(cells: Iterable[tuple[Cell, int, float]], name: str, offset_s: float) -> list[bytes]:
    """Return the cells as items, each with an id of its own. A cell has a count, and the moment of its first click."""
    items = []
    for n, (cell, count, at) in enumerate(cells):
        moment = datetime.fromtimestamp(at if cell.is_given else at + offset_s, timezone.utc)
        kind = cell.kind or UNSET
        items.append(msgspec.json.encode(ClickItem(cell.banner, count, moment, f"{name}-{n}", kind)))
    return items


def is_worth_packing(batch: Batch) -> bool:
    """Return whether the batch travels compressed: large bodies of events may (`POST /stats` takes no gzip)."""
    return not batch.route.is_windowed and len(batch.body) >= _GZIP_MIN


def packed(batch: Batch) -> bytes:
    """Return the body compressed, the same bytes each time."""
    if batch.packed is None:
        batch.packed = gzip.compress(batch.body, 1, mtime=0)
    return batch.packed
