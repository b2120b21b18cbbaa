"""Turn what an application records into JSON, at the call: the id and the moment of a record never change."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from tallybook_sdk.outbox.ids import random_id_text
from tallybook_sdk.sending.batch import CLICKS, COUNT_MAX, EVENTS, ClickItem, Entry, cell_of, weight_of

#: The id of an event: a UUID, or its text.
Id = UUID | str


class Event(Struct, frozen=True):
    """An event, for `upload`."""

    type: str
    user_id: str | int
    properties: Mapping[str, Any] | None = None
    id: Id | None = None
    at: datetime | None = None


class Click(Struct, frozen=True):
    """Clicks of one banner, for `clicks`."""

    banner: int
    count: int = 1
    id: str | None = None
    at: datetime | None = None


class Unsendable(ValueError):
    """A record that has no form in JSON, or is larger than a request may be."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")


class _EventItem(Struct, omit_defaults=True):
    """An item of `POST /events`."""

    event_id: str
    occurred_at: datetime
    user_id: Any
    event_type: Any
    properties: Any = None


def _foreign(value: object) -> Any:
    """Convert a value that msgspec cannot encode. Raises TypeError."""
    from tallybook_sdk.outbox.event import plain  # needed for few values, and it imports much

    return plain(value)


_encode = msgspec.json.Encoder(enc_hook=_foreign).encode


def event_body(
    event_id: Id, event_type: str, user_id: Any, properties: Mapping[str, Any] | None, at: datetime, bytes_max: int
) -> bytes:
    """Return an event as JSON. Raises Unsendable."""
    if type(user_id) is int:
        user_id = str(user_id)
    return _encoded(_EventItem(str(event_id), at, user_id, event_type, properties), bytes_max)


def moment(unix_s: float) -> datetime:
    """Return a moment of the wall clock."""
    return datetime.fromtimestamp(unix_s, timezone.utc)


def event_entry(body: bytes) -> Entry:
    """Return an event as it waits."""
    return Entry(EVENTS, 1, body)


def click_entry(
    banner: Any, count: Any, id: Any, at: datetime | None, kind: str, now: float, offset_s: float, bytes_max: int
) -> Entry:
    """Return clicks as they wait: added up, or alone under the caller's id. Raises Unsendable.

    What the service will reject travels alone, too: so it rejects nothing else.
    """
    is_given = at is not None
    if (
        id is None
        and type(banner) is int
        and 0 < banner < 1 << 53
        and type(count) is int
        and 1 <= count <= COUNT_MAX
        and (at is None or at.tzinfo is not None)
    ):
        unix_s = now if at is None else at.timestamp()
        return Entry(CLICKS, count, b"", cell_of(kind, banner, unix_s, is_given, offset_s), unix_s)
    name = random_id_text() if id is None else id
    body = _encoded(ClickItem(banner, count, at or moment(now + offset_s), name, kind or UNSET), bytes_max)
    return Entry(CLICKS, weight_of(count), body)


def _encoded(item: Struct, bytes_max: int) -> bytes:
    try:
        body = _encode(item)
    except Exception as error:  # code of the application may raise anything
        raise Unsendable("unserialisable", f"{type(error).__name__}: {error}") from error
    if len(body) + 2 > bytes_max:
        raise Unsendable("too_large", f"{len(body):,} bytes, and a request has {bytes_max:,} at most")
    return body
