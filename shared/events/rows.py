"""An event on its way into the table: what it has to look like, and the bytes that it becomes.

Requests and imports make the same bytes of the same event, so its content can be compared by them:

    row      one row of RowBinary up to `received_at`: COLUMNS without the place
    content  the row without `received_at`; properties are canonical (sorted names, no blanks)
    name     16 bytes of the id and 8 that stand for the content
    block    many rows as one record of the log (`shared/blocks.py`)
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from shared.blocks import held, packed, unpacked
from shared.integers import fitted
from shared.settings import Settings

USER_MAX, TYPE_MAX = 128, 64
#: Levels of properties, and seconds that an event may lie in the future.
DEPTH_MAX, FUTURE_S = 4, 86_400
TYPE_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9_.:-]{{0,{TYPE_MAX - 1}}}$"

#: What an insert names, in the order of a row; the last three are its place.
COLUMNS = (
    "event_date",
    "occurred_at",
    "event_id",
    "user_id",
    "event_type",
    "properties",
    "received_at",
    "log_partition",
    "log_offset",
    "log_seq",
)
#: Where the id lies in a row: 16 bytes as ClickHouse keeps them.
ID = slice(10, 26)

EventId = Annotated[UUID, Meta(description="Names the event: the same id counts once, for ever")]
OccurredAt = Annotated[datetime, Meta(tz=True, description="When it happened, RFC 3339 with zone, to the millisecond")]
UserId = Annotated[str, Meta(min_length=1, max_length=USER_MAX, description="Whose event it is")]
EventType = Annotated[
    str, Meta(min_length=1, max_length=TYPE_MAX, pattern=TYPE_PATTERN, description="What happened, as `purchase`")
]

_MAGIC = b"tev1"
#: The place of a row in the record log, as it stands behind it: partition, offset, and place in that.
PLACE = struct.Struct("<HQI")
_HEAD, _RECEIVED = struct.Struct("<HqQQ"), struct.Struct("<q")
EPOCH, DAY_MS = datetime(1970, 1, 1, tzinfo=UTC), 86_400_000
_HALF = 2**64 - 1
CANONICAL = msgspec.json.Encoder(order="deterministic").encode
_NESTED = {dict, list}


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """One product event, as it is sent."""

    event_id: EventId
    occurred_at: OccurredAt
    user_id: UserId
    event_type: EventType
    properties: Annotated[dict[str, Any], Meta(description="Whatever else is known of it; bounded")] = {}


class Unfit(Exception):
    """The event cannot be taken. `code` is stable, `pointer` leads to what is wrong."""

    def __init__(self, code: str, pointer: str, detail: str) -> None:
        self.code, self.pointer = code, pointer
        super().__init__(detail)


class _Types(dict[str, bytes]):
    """Each is made at its first use, which raises Unfit for what the pattern lets pass."""

    def __missing__(self, name: str) -> bytes:
        if name.endswith("\n"):  # `$` lets a line end pass
            raise Unfit("invalid", "/event_type", "It ends with a line end")
        made = self[name] = sized(name.encode())
        return made


class Packer:
    """Makes rows of events that were received at one moment, `received_ms` since the epoch."""

    def __init__(self, settings: Settings, received_ms: int) -> None:
        self.settings = settings
        self._oldest = received_ms - settings.event_past_days * DAY_MS
        self._latest = received_ms + FUTURE_S * 1000
        self._received = _RECEIVED.pack(received_ms)
        #: Names of types with their lengths.
        self.types = _Types()

    def row(self, event: Event) -> bytes:
        """Return the row of an event. Raises Unfit for what its type does not rule out."""
        since = event.occurred_at - EPOCH
        ms = since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000
        if not self._oldest <= ms <= self._latest:
            self.check_time(ms)
        kind = self.types[event.event_type]
        number = event.event_id.int
        user = sized(event.user_id.encode())
        properties = self.properties(event.properties) if event.properties else b"\x02{}"
        head = _HEAD.pack(ms // DAY_MS, ms, number >> 64, number & _HALF)
        return b"".join((head, user, kind, properties, self._received))

    def check_time(self, ms: int) -> None:
        """Raises Unfit for a time that lies too far back or ahead."""
        if ms < self._oldest:
            raise Unfit("too_old", "/occurred_at", f"It lies more than {self.settings.event_past_days} days back")
        if ms > self._latest:
            raise Unfit("in_future", "/occurred_at", f"It lies more than {FUTURE_S} s ahead")

    def properties(self, properties: dict[str, Any]) -> bytes:
        """Their canonical text with its length. Raises Unfit."""
        settings = self.settings
        if len(properties) > settings.event_properties_max or not _NESTED.isdisjoint(map(type, properties.values())):
            _check_shape(properties, settings.event_properties_max, DEPTH_MAX)
        try:
            text = fitted(CANONICAL(properties))
        except (OverflowError, RecursionError, ValueError, TypeError):
            raise Unfit("invalid", "/properties", "It cannot be written as JSON") from None
        if len(text) > settings.event_properties_bytes_max:
            most = settings.event_properties_bytes_max
            raise Unfit("too_large", "/properties", f"It has {len(text)} bytes, and {most} are allowed")
        return sized(text)


def named(row: bytes) -> bytes:
    """Return the name of an event: its id, and eight bytes that stand for what it says, whenever it came."""
    return row[ID] + blake2b(row[: -_RECEIVED.size], digest_size=8).digest()


def user_of(row: bytes) -> str:
    """Return the user of the event."""
    return _text(row, ID.stop)[0]


def event_of(row: bytes) -> dict[str, Any]:
    """Return the event as it could be sent."""
    _, ms, high, low = _HEAD.unpack_from(row)
    user, end = _text(row, ID.stop)
    name, end = _text(row, end)
    return {
        "event_id": str(UUID(int=high << 64 | low)),
        "occurred_at": (EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds"),
        "user_id": user,
        "event_type": name,
        "properties": msgspec.json.decode(_text(row, end)[0]),
    }


def text_at(row: bytes, begin: int) -> slice:
    """Return where the text lies whose length begins there. Raises IndexError where the row ends before."""
    size, shift = 0, 0
    while row[begin] > 127:
        size |= (row[begin] & 127) << shift
        begin, shift = begin + 1, shift + 7
    size |= row[begin] << shift
    return slice(begin + 1, begin + 1 + size)


def _text(row: bytes, begin: int) -> tuple[str, int]:
    """Return the text that begins there, and where it ends."""
    text = text_at(row, begin)
    return row[text].decode(), text.stop


def placed(rows: Iterable[bytes], partition: int, offset: int, first: int) -> list[bytes]:
    """Return the rows with their places behind them, numbered from `first` on."""
    pack = PLACE.pack
    return [row + pack(partition, offset, first + number) for number, row in enumerate(rows)]


# -- blocks ------------------------------------------------------------------------------------------------------------


class Cut(NamedTuple):
    """Return how large a block may be."""

    rows: int
    bytes: int


def blocks(rows: Sequence[bytes], cut: Cut) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of the records that hold the rows, in order."""
    begin = size = 0
    for number, row in enumerate(rows):
        if number > begin and (number - begin == cut.rows or size + len(row) > cut.bytes):
            yield rows[begin][ID], packed(_MAGIC, rows[begin:number])
            begin, size = number, 0
        size += len(row)
    if begin < len(rows):
        yield rows[begin][ID], packed(_MAGIC, rows[begin:])


def is_block(value: bytes) -> bool:
    """Return whether a record begins as a block does."""
    return value.startswith(_MAGIC)


def rows_in(value: bytes) -> int:
    """Return the number of events in a record, as its head says; 1 for what is no block."""
    return held(_MAGIC, value)


def rows_of(block: bytes) -> list[bytes]:
    """Return the rows of a block. Raises ValueError for what is no block."""
    return unpacked(_MAGIC, block)


# -- parts -------------------------------------------------------------------------------------------------------------


def _check_shape(properties: dict[str, Any], names_max: int, depth_max: int) -> None:
    """Names and items of all levels together, and levels."""
    count, level, depth = 0, [properties], 1
    while level:
        if depth > depth_max:
            raise Unfit("too_deep", "/properties", f"It has more than {depth_max} levels")
        below: list[Any] = []
        for one in level:
            count += len(one)
            values = one.values() if type(one) is dict else one
            below += [value for value in values if type(value) is dict or type(value) is list]
        if count > names_max:
            raise Unfit("too_many", "/properties", f"It has more than {names_max} names and items")
        level, depth = below, depth + 1


def sized(text: bytes) -> bytes:
    """Return a text of RowBinary: its length, and itself."""
    size = len(text)
    return (_SIZES[size] if size < _SIZES_MAX else varint(size)) + text


def varint(number: int) -> bytes:
    """Return a number as ClickHouse writes lengths: LEB128."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


#: Lengths of most texts, ready: each event has two.
_SIZES_MAX = 1024
_SIZES = [varint(size) for size in range(_SIZES_MAX)]
