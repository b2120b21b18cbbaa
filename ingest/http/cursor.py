"""Cursors of a listing: the place behind which its next page begins, bound to the question that it answers."""

import base64
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from ingest.http.query import malformed

#: Characters of a cursor: 40 bytes in base64.
CHARACTERS = 54


class Place(NamedTuple):
    """Where a page ends: microseconds since 1970, and an event id."""

    at: int
    id: UUID


def written(place: Place, digest: bytes) -> str:
    """Return the cursor of a place. `digest` is 16 bytes that name the question."""
    raw = place.at.to_bytes(8, "big", signed=True) + place.id.bytes + digest
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read(cursor: str, digest: bytes, since: int, until: int, question: Sequence[str]) -> Place:
    """Return the place of a cursor. Raise Malformed for a text that is no cursor, or one of another question."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    place = Place(int.from_bytes(raw[:8], "big", signed=True), UUID(bytes=raw[8:24].ljust(16, b"\0")))
    if len(cursor) != CHARACTERS or not since <= place.at < until or written(place, raw[24:]) != cursor:
        raise malformed("cursor", "is none that an answer gave out. Take `next` of the page before, as it is.")
    if raw[24:] != digest:
        raise malformed("cursor", f"belongs to another question: {', '.join(question)} have to stay as they were.")
    return place
