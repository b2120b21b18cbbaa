"""Hold a hit of a tracker as a record: ingest writes it, the aggregator reads it.

    packed   a byte that says so, and one row of RowBinary: COLUMNS without the place
    text     a JSON object of the same columns, as programs append it, letters show it, and former versions wrote it

In a packed hit the id of the user, which a client may choose, stands before the id of the hit, which nobody can
foresee. So no client can choose enough bytes in a row to put an append of its own into a journal
(`shared/record_log/journal.py`).
"""

import struct
from datetime import timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import addresses
from shared.events.rows import DAY_MS, EPOCH, text_at

#: The topic of hits.
TOPIC = "hits"
#: What an insert names, in the order of a row; the last three are its place.
COLUMNS = (
    "date",
    "date_time",
    "ip",
    "tracker_id",
    "user_id",
    "event_id",
    "is_bot",
    "user_agent",
    "url",
    "value",
    "log_partition",
    "log_offset",
    "log_seq",
)
#: No JSON begins with it.
_PACKED = b"\x01"
_HEAD = struct.Struct("<Hq16s16s16sQQ?")
#: Where the texts begin: user agent, address, value.
_TEXTS = 1 + _HEAD.size
_HALF = 2**64 - 1


class Hit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The columns of `tracker_events`, without the place in the record log that the row came from. Texts are left to
    ClickHouse, which reads them anyhow."""

    date: str
    date_time: str
    event_id: str
    tracker_id: str
    ip: str
    user_id: str
    user_agent: str
    url: str
    value: str
    is_bot: bool


def packed(epoch_ms: int, ip: bytes, tracker: bytes, user: bytes, event: int, texts: bytes, *, is_bot: bool) -> bytes:
    """Return a hit as a record. `event` is a UUID as a number; `texts` are user agent, address and value, each with its
    length."""
    ids = (event >> 64, event & _HALF)
    return b"".join((_PACKED, _HEAD.pack(epoch_ms // DAY_MS, epoch_ms, ip, tracker, user, *ids, is_bot), texts))


def id_bytes(data: bytes) -> bytes:
    """Return the 16 bytes of a UUID as ClickHouse keeps them, each half little-endian; or from there as they were."""
    return data[7::-1] + data[:7:-1]


def is_packed(record: bytes) -> bool:
    """Return whether a record is a packed hit."""
    return record.startswith(_PACKED)


def row_of(record: bytes) -> bytes:
    """Return the row of a packed hit. Raises ValueError for what is none, or not whole."""
    if not is_packed(record):
        raise ValueError("this is no hit")
    try:
        end, is_bot = _TEXTS, record[_TEXTS - 1]
        for _ in range(3):
            size = record[end]
            end = end + 1 + size if size < 128 else text_at(record, end).stop
    except IndexError:
        raise ValueError("this hit is not whole") from None
    if end != len(record) or is_bot > 1:
        raise ValueError("this hit is damaged")
    return record[1:]


def text_of(record: bytes) -> bytes:
    """Return a packed hit as a text. Raises ValueError or OverflowError for what is none."""
    _, epoch_ms, ip, tracker, user, high, low, is_bot = _HEAD.unpack_from(row_of(record))
    moment, end, texts = EPOCH + timedelta(milliseconds=epoch_ms), _TEXTS, list[str]()
    for _ in range(3):
        at = text_at(record, end)
        texts.append(record[at].decode(errors="replace"))
        end = at.stop
    return msgspec.json.encode(
        Hit(
            date=f"{moment:%Y-%m-%d}",
            date_time=f"{moment:%Y-%m-%d %H:%M:%S}.{epoch_ms % 1000:03}",
            event_id=str(UUID(int=high << 64 | low)),
            tracker_id=str(UUID(bytes=id_bytes(tracker))),
            ip=addresses.written(ip),
            user_id=str(UUID(bytes=id_bytes(user))),
            user_agent=texts[0],
            url=texts[1],
            value=texts[2],
            is_bot=is_bot,
        )
    )
