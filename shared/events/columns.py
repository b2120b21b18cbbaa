"""Many events at once, as columns: the way of an import from the fields of a file to a block for ClickHouse.

A few calls for hundreds of events do what `shared/events/rows.py` does with each, in a third of the time, and give the
same values. Which of the events is unfit does not come out of that.
"""

from array import array
from collections.abc import Sequence
from datetime import timedelta
from struct import pack
from typing import Any, NamedTuple

import msgspec

from shared.events.rows import (
    CANONICAL,
    COLUMNS,
    DAY_MS,
    EPOCH,
    EventType,
    OccurredAt,
    Packer,
    Unfit,
    UserId,
    sized,
    varint,
)
from shared.integers import fitted_lines
from shared.moments import cut

#: What `columns` raises when one of the events cannot be taken.
UNFIT = (Unfit, msgspec.MsgspecError, ValueError, OverflowError, RecursionError)

_TIMES, _USERS, _TYPES = list[OccurredAt], list[UserId], set[EventType]
_MS = timedelta(milliseconds=1)
#: Characters of an id, and where its hyphens are.
_ID_SIZE, _HYPHENS = 36, (8, 13, 18, 23)
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


class Columns(NamedTuple):
    """Values of some events: milliseconds since the epoch, ids as they lie in rows, and texts with their lengths."""

    moments: list[int]
    ids: list[bytes]
    users: list[bytes]
    types: list[bytes]
    properties: list[bytes]

    def extend(self, more: tuple[list[Any], ...]) -> None:
        """Put others behind these."""
        own: tuple[list[Any], ...] = self
        for column, values in zip(own, more, strict=True):
            column.extend(values)

    def at(self, places: Sequence[int]) -> "Columns":
        """Return the events at some places."""
        own: tuple[list[Any], ...] = self
        return Columns(*([column[at] for at in places] for column in own))


def columns(packer: Packer, fields: Sequence[Sequence[str]]) -> Columns:
    """Of events as texts: id with hyphens, time, user, type, properties. Raises one of UNFIT when any cannot be
    taken."""
    if not fields:
        return Columns([], [], [], [], [])
    ids, times, users, types, properties = zip(*fields, strict=True)
    moments = [(time - EPOCH) // _MS for time in msgspec.convert(list(map(cut, times)), _TIMES)]
    packer.check_time(min(moments))
    packer.check_time(max(moments))
    msgspec.convert(set(types), _TYPES)
    return Columns(
        moments,
        _ids(ids),
        [sized(user.encode()) for user in msgspec.convert(users, _USERS)],
        list(map(packer.types.__getitem__, types)),
        _properties(packer, [text or "{}" for text in properties]),
    )


def _ids(texts: Sequence[str]) -> list[bytes]:
    text, count = "".join(texts), len(texts)
    if set(map(len, texts)) != {_ID_SIZE} or any(text[at::_ID_SIZE] != "-" * count for at in _HYPHENS):
        raise ValueError("one has no hyphens, or elsewhere")
    data = bytes.fromhex(text.replace("-", ""))
    if len(data) != 16 * count:
        raise ValueError("one has more hyphens, or blanks")
    halves = array("Q", data)
    halves.byteswap()  # ClickHouse keeps each as little-endian
    data = halves.tobytes()
    return [data[at : at + 16] for at in range(0, len(data), 16)]


def _properties(packer: Packer, texts: Sequence[str]) -> list[bytes]:
    values, text = list(map(_DECODE, texts)), "".join(texts)
    is_flat = "[" not in text and text.count("{") == len(texts)
    if is_flat and max(map(len, values)) <= packer.settings.event_properties_max:
        canonical = fitted_lines(b"\n".join(map(CANONICAL, values))).split(b"\n")
        if max(map(len, canonical)) <= packer.settings.event_properties_bytes_max:
            return list(map(sized, canonical))
    return list(map(packer.properties, values))


class Place(NamedTuple):
    """What rows of one insert have in common, and the number of each."""

    received_ms: int
    partition: int
    offset: int
    numbers: Sequence[int]
    insert_before: int


#: What an insert names.
PLACED_COLUMNS = (*COLUMNS, "insert_before")


def native(events: Columns, place: Place) -> bytes:
    """PLACED_COLUMNS as a block of the Native format: numbers of columns and rows, and for each column its name, its
    type and its values."""
    count = len(events.ids)
    values = (
        ("Date", pack(f"<{count}H", *[moment // DAY_MS for moment in events.moments])),
        ("DateTime64(3, 'UTC')", pack(f"<{count}q", *events.moments)),
        ("UUID", b"".join(events.ids)),
        ("String", b"".join(events.users)),
        ("String", b"".join(events.types)),
        ("String", b"".join(events.properties)),
        ("DateTime64(3, 'UTC')", pack("<q", place.received_ms) * count),
        ("UInt16", pack("<H", place.partition) * count),
        ("UInt64", pack("<Q", place.offset) * count),
        ("UInt32", pack(f"<{count}I", *place.numbers)),
        ("DateTime('UTC')", pack("<I", place.insert_before) * count),
    )
    parts = [varint(len(values)), varint(count)]
    for name, (kind, data) in zip(PLACED_COLUMNS, values, strict=True):
        parts += sized(name.encode()), sized(kind.encode()), data
    return b"".join(parts)
