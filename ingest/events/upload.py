"""Read and check the events of an upload one by one, and note the result of each."""

import codecs
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ingest.http.json_array import UNREADABLE, raw_items, why
from ingest.http.problems import explained
from shared.errors import Invalid, Malformed, TooLarge
from shared.events.rows import ID, Event, Packer, Unfit, named
from shared.moments import TimedDecoder
from shared.settings import Settings

#: msgspec names the field, however long, and answers under a key are kept: what they say is ours, not the client's.
_UNKNOWN = "Object contains unknown field"
_MEMBERS = f"It has a member that is none of {', '.join(Event.__struct_fields__)}"

_EVENT = TimedDecoder(Event, "occurred_at")

#: Of zlib: gzip, and nothing else. Bytes unpacked at once: what lies behind the end of a stream is copied each time.
_GZIP, _PIECE = 16 + zlib.MAX_WBITS, 64 << 10

Status = Literal["accepted", "duplicate", "conflict", "rejected"]


class Result(Struct, frozen=True, omit_defaults=True):
    """What became of one event. Only a rejected one has `code`, `pointer` and `detail`."""

    status: Annotated[Status, Meta(description="`conflict`: another event of this id came before, and that one counts")]
    code: Annotated[str, Meta(description="The stable name of what is wrong", examples=["invalid", "too_old"])] = ""
    pointer: Annotated[str, Meta(description="JSON pointer to what is wrong, into the array")] = ""
    detail: Annotated[str, Meta(description="What is wrong, for people")] = ""


ACCEPTED, DUPLICATE, CONFLICT = Result("accepted"), Result("duplicate"), Result("conflict")


class Taken(Struct):
    """What became of the events of an upload: one result each, in their order."""

    accepted: Annotated[int, Meta(ge=0, description="Events that are stored now")]
    duplicate: Annotated[int, Meta(ge=0, description="Events that are stored since before, or stand here twice")]
    conflict: Annotated[int, Meta(ge=0, description="Events whose id has another content")]
    rejected: Annotated[int, Meta(ge=0, description="Events that cannot be taken")]
    results: Annotated[list[Result], Meta(description="One for each event, in the order of the upload")]


class Uploaded:
    """Hold the events of one body.

    `rows` and `names` are the valid events without repeats, and `places` their places in the body. `results` are those
    of all events, None where the result is open.
    """

    def __init__(self, settings: Settings, body: bytes, *, is_lines: bool) -> None:
        """Raise Malformed for a body that is no array, and Invalid for too many events."""
        body = _in_utf8(body)
        self._most = settings.events_max
        self._packer = Packer(settings, time.time_ns() // 1_000_000)
        self.rows: list[bytes] = []
        self.places: list[int] = []
        self._names: dict[bytes, bytes] = {}
        events = _all_of(body, is_lines=is_lines)
        if events is None:  # one bad item fails the whole list, so decode each
            items = self._lines(body) if is_lines else self._items(body)
            self.results: list[Result | None] = [None] * len(items)
            for place, item in enumerate(items):
                self._read(place, item)
        else:
            self._check_number(len(events))
            self.results = [None] * len(events)
            for place, event in enumerate(events):
                self._take(place, event)

    @property
    def names(self) -> list[bytes]:
        """Return the name of each row."""
        return list(self._names.values())

    def answer(self) -> Taken:
        """Return the results of all events. None may be open."""
        results: list[Result] = self.results  # type: ignore[assignment]
        count = Counter(result.status for result in results)
        return Taken(count["accepted"], count["duplicate"], count["conflict"], count["rejected"], results)

    def _take(self, place: int, event: Event) -> None:
        try:
            row = self._packer.row(event)
        except Unfit as unfit:
            self._reject(place, unfit.code, unfit.pointer, str(unfit))
            return
        name = named(row)
        known = self._names.setdefault(row[ID], name)
        if known is not name:
            self.results[place] = DUPLICATE if known == name else CONFLICT
            return
        self.rows.append(row)
        self.places.append(place)

    def _read(self, place: int, item: bytes | msgspec.Raw) -> None:
        try:
            event = _EVENT.decode(item)
        except msgspec.ValidationError as error:
            if str(error).startswith(_UNKNOWN):
                self._reject(place, "invalid", "", _MEMBERS)
            else:
                what, pointer = explained(error)
                self._reject(place, "invalid", pointer, what)
        except RecursionError as error:
            self._reject(place, "too_deep", "", why(error))
        except UNREADABLE as error:
            self._reject(place, "malformed", "", f"This cannot be read as JSON: {why(error)}")
        else:
            self._take(place, event)

    def _reject(self, place: int, code: str, pointer: str, detail: str) -> None:
        self.results[place] = Result("rejected", code, f"/{place}{pointer}", detail)

    def _items(self, body: bytes) -> Sequence[bytes | msgspec.Raw]:
        try:
            items = raw_items(body, self._most)
        except ValueError as error:
            what = 'The body has to be a JSON array of events, as [{"event_id": "...", ...}].'
            raise Malformed(f"{what} This one cannot be read: {error}.") from error
        self._check_number(len(items))
        return items

    def _lines(self, body: bytes) -> Sequence[bytes]:
        lines = [line for line in body.split(b"\n") if line.strip()]
        self._check_number(len(lines))
        return lines

    def _check_number(self, items: int) -> None:
        if items > self._most:
            what = f"This upload has more than the {self._most:,} events that one may have. None was taken."
            raise Invalid(what, errors=[{"pointer": "", "detail": what}])


def _all_of(body: bytes, *, is_lines: bool) -> list[Event] | None:
    """Return all events; None when one cannot be read, or does not stand on a line of its own."""
    try:
        if not is_lines:
            return _EVENT.decode_list(body)
        events = _EVENT.decode_lines(body)
    except UNREADABLE:
        return None
    # msgspec takes any blanks between events, and line ends within one. Texts have no line ends, and `}` and `{` meet
    # between two events alone: so these numbers are equal when every line is one event.
    text = body.strip()
    between = text.count(b"}\n{") + text.count(b"}\r\n{")
    return events if between == text.count(b"\n") == len(events) - 1 else None


def _in_utf8(body: bytes) -> bytes:
    """Return the body without a byte order mark. Raise Malformed for UTF-16 and UTF-32."""
    # JSON begins with ASCII, so a NUL among the first bytes is of a wider encoding (RFC 4627, 3).
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:4]:
        raise Malformed("The body is UTF-16 or UTF-32. Send UTF-8.")
    return body.removeprefix(codecs.BOM_UTF8)


def unpacked(body: bytes, most: int) -> bytes:
    """Return an unpacked gzip body of one or several streams (RFC 1952, 2.2).

    Raise TooLarge for more than `most` bytes, and Malformed for a body that is not whole.
    """
    plain, reader = bytearray(), zlib.decompressobj(_GZIP)
    try:
        for at in range(0, len(body), _PIECE):
            piece = body[at : at + _PIECE]
            while piece:
                if reader.eof:
                    reader = zlib.decompressobj(_GZIP)
                plain += reader.decompress(piece, most + 1 - len(plain))
                if len(plain) > most:
                    raise TooLarge(f"This route takes at most {most} bytes, unpacked.")
                piece = reader.unused_data
    except zlib.error:
        raise Malformed("The body cannot be unpacked with gzip.") from None
    if not reader.eof:
        raise Malformed("The body has to be whole gzip streams.")
    return bytes(plain)
