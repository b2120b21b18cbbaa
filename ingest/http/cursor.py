"""Cursors of a listing: the place behind which its next page begins, bound to the question that it answers."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from ingest.http.query import malformed

_Place = TypeVar("_Place")

#: Characters of a cursor of event logs: 40 bytes in base64.
CHARACTERS = 54
#: Characters of any other cursor.
CHARACTERS_MAX = 1024
#: Bytes that name a question.
_DIGEST = 16


class Place(NamedTuple):
    """Where a page ends: microseconds since 1970, and an event id."""

    at: int
    id: UUID


def digest_of(values: Mapping[str, str], question: Sequence[str]) -> bytes:
    """Return what names a question: the values of these parameters, as they were sent."""
    asked = msgspec.json.encode([values.get(name) for name in question])
    return hashlib.blake2b(asked, digest_size=_DIGEST).digest()


def packed(place: Any, digest: bytes) -> str:
    """Return the cursor of a place, which is any value of msgspec."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place) + digest).decode().rstrip("=")


def unpacked(
    values: Mapping[str, str], digest: bytes, kind: type[_Place], question: Sequence[str] = ()
) -> _Place | None:
    """Return the place of `cursor`; None when none is given.

    Raise Malformed for a text that is no cursor, or one of another question.
    """
    text = values.get("cursor")
    if text is None:
        return None
    raw = _raw(text) if len(text) <= CHARACTERS_MAX else b""
    try:
        place = msgspec.msgpack.decode(raw[:-_DIGEST], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_cursor() from None
    if packed(place, raw[-_DIGEST:]) != text:
        raise _no_cursor()
    if raw[-_DIGEST:] != digest:
        raise _of_another(question)
    return place


def link(values: Mapping[str, str], following: str) -> str:
    """Return the header Link that leads to the next page (RFC 8288), relative to the address that was asked."""
    return f'<?{urlencode({**values, "cursor": following})}>; rel="next"'


def written(place: Place, digest: bytes) -> str:
    """Return the cursor of a place. `digest` is 16 bytes that name the question."""
    raw = place.at.to_bytes(8, "big", signed=True) + place.id.bytes + digest
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read(cursor: str, digest: bytes, since: int, until: int, question: Sequence[str]) -> Place:
    """Return the place of a cursor. Raise Malformed for a text that is no cursor, or one of another question."""
    raw = _raw(cursor)
    place = Place(int.from_bytes(raw[:8], "big", signed=True), UUID(bytes=raw[8:24].ljust(16, b"\0")))
    if len(cursor) != CHARACTERS or not since <= place.at < until or written(place, raw[24:]) != cursor:
        raise _no_cursor()
    if raw[24:] != digest:
        raise _of_another(question)
    return place


def _raw(text: str) -> bytes:
    """Return the bytes of a cursor; none for a text that is no base64."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _no_cursor() -> Exception:
    return malformed("cursor", "is none that an answer gave out. Take `next` of the page before, as it is.")


def _of_another(question: Sequence[str]) -> Exception:
    return malformed("cursor", f"belongs to another question: {', '.join(question)} have to stay as they were.")
