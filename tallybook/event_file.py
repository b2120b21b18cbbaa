"""A CSV file of events, read in batches of rows that are ready for the table. Its memory is that of two batches."""

import csv
import io
import re
import time
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.event_columns import UNFIT, Columns, columns
from shared.event_rows import Event, EventId, EventType, OccurredAt, Packer, Unfit, UserId
from shared.settings import Settings
from tallybook.file_bytes import FIELD_MAX, EndlessRow, FileBytes

COLUMNS = ("event_id", "occurred_at", "user_id", "event_type", "properties_json")
#: Rows and bytes of one insert.
BATCH_ROWS, BATCH_BYTES = 100_000, 32 << 20
#: Rows that are read, and then checked, with one call; parts that are checked apart when one of them is unfit, and how
#: few rows are looked at one by one then.
_AT_ONCE, _PARTS, _FEW = 500, 8, 10
#: Rows between two looks at how many bytes they have, bytes after which the rows so far are enough, and bytes that so
#: few rows can have: only rows of many long lines have more.
_STEP, _STEP_BYTES, _STEP_BYTES_MAX = 20, 1 << 20, 128 << 20
#: What ends a line of a file that is read as it is (newline="").
_LINE_END = re.compile(r"\r\n|\r|\n")
_DETAIL_MAX = 200
#: Fields of a rejected row that are kept, and characters of each.
_FIELDS_KEPT, _FIELD_KEPT = 20, 1000

_PROPERTIES = msgspec.json.Decoder(dict[str, Any])


class Rejected(NamedTuple):
    """A row that cannot be taken: where it ends, why, what it was, and how many lines it took."""

    line: int
    code: str
    detail: str
    fields: Sequence[str]
    lines: int = 1


class FileBatch(NamedTuple):
    """Events, the line of each, when they were read, and what was rejected among them; `lines` have been read so far,
    and `position` bytes of the file as it lies on the disk."""

    events: Columns
    numbers: list[int]
    received_ms: int
    rejected: list[Rejected]
    lines: int = 0
    position: int = 0

    @property
    def read(self) -> int:
        """Rows that were read."""
        return len(self.numbers) + len(self.rejected)


class BadHeading(Exception):
    """The first row names other columns."""


#: What a file that cannot be read, or not as one of events, raises.
READ_ERRORS = (BadHeading, EndlessRow, EOFError, OSError, csv.Error, zlib.error)


class _Fields(Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    event_id: EventId
    occurred_at: OccurredAt
    user_id: UserId
    event_type: EventType
    properties_json: str


class EventFile:
    """One file, `-` for stdin; .gz is unpacked. Close it."""

    def __init__(self, settings: Settings, path: str) -> None:
        """Raises OSError."""
        self._settings = settings
        self._bytes = FileBytes(path)
        # Bytes that are no UTF-8 become halves of characters, which no row can have: the row is rejected, not changed.
        plain: Any = self._bytes
        self._text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")
        csv.field_size_limit(FIELD_MAX)

    def close(self) -> None:
        """Let go of it."""
        self._text.close()

    def batches(self, skip: int) -> Iterator[FileBatch]:
        """What stands behind the first `skip` lines. Raises READ_ERRORS."""
        lines = csv.reader(self._text)
        order = self._order(lines) if skip == 0 else self._order(csv.reader(islice(self._text, 1)))
        if skip:
            for _ in islice(self._text, skip - 1):
                pass
            lines = csv.reader(self._text)
        self._first = order.first if skip == 0 else None
        is_over = False
        while not is_over:
            batch, size = FileBatch(Columns([], [], [], [], []), [], time.time_ns() // 1_000_000, []), 0
            packer = Packer(self._settings, batch.received_ms)
            while not is_over and size < BATCH_BYTES and (room := BATCH_ROWS - batch.read) > 0:
                piece = self._cut(lines, order, skip, min(room, _AT_ONCE))
                had = len(batch.rejected)
                batch.rejected.extend(piece.rejected)
                _pack(packer, piece.fields, piece.numbers, batch)
                batch.rejected[had:] = [piece.told(one) for one in batch.rejected[had:]]
                size, is_over = size + piece.size, piece.is_over
            batch.rejected.sort()
            yield batch._replace(lines=skip + lines.line_num, position=self._bytes.position)

    def _order(self, lines: Any) -> "_Order":
        """How the fields of a row come into the order of the columns."""
        first: list[str] = next(lines, [])
        names = [name.strip().lower() for name in first]
        if "event_id" not in names:
            return _Order(None, first or None)
        if missing := [name for name in COLUMNS[:4] if name not in names]:
            raise BadHeading(f"the heading lacks {', '.join(missing)}; the columns are {', '.join(COLUMNS)}")
        places = [names.index(name) for name in COLUMNS if name in names]
        if len(names) == len(places) == 5 and places == sorted(places):
            return _Order(None, None)
        return _Order(places, None)

    def _cut(self, lines: Any, order: "_Order", begin: int, most: int) -> "_Piece":
        """The next rows."""
        if self._first is not None:
            first, self._first = self._first, None
            return _Piece([first], [lines.line_num], [], sum(map(len, first)), 0, [lines.line_num], is_over=False)
        rows, before, broken, count = list[list[str]](), lines.line_num, list[Rejected](), self._bytes.count
        is_over = False
        try:
            is_over = self._fill(rows, lines, most)
        except csv.Error as error:  # the rows in front of it are there
            broken.append(Rejected(begin + lines.line_num, "malformed", f"it was not read: {error}", []))
        except EndlessRow as error:
            *_, last = begin + before, *_ends(rows, begin + before, begin + lines.line_num)
            raise EndlessRow(f"the row that begins in line {last + 1} has no end; {error}") from None
        before += begin
        ends, pick = _ends(rows, before, begin + lines.line_num), order.pick()
        size = 60 * len(rows) + self._bytes.count - count
        if pick is None and all(rows):
            return _Piece(rows, ends, broken, size, before, ends, is_over)
        fields, numbers = list[Sequence[str]](), list[int]()
        for row, number in zip(rows, ends, strict=True):
            if not row:
                continue
            try:
                fields.append(row if pick is None else pick(row))
                numbers.append(number)
            except IndexError:
                broken.append(Rejected(number, "columns", "The row is too short", row))
        return _Piece(fields, numbers, broken, size, before, ends, is_over)

    def _fill(self, rows: list[list[str]], lines: Any, most: int) -> bool:
        """Put the next rows, few when they are long, to others; answers whether the file ends."""
        enough = self._bytes.count + _STEP_BYTES
        while len(rows) < most and self._bytes.count < enough:
            wanted = min(len(rows) + _STEP, most)
            self._bytes.allow(_STEP_BYTES_MAX)
            rows.extend(islice(lines, wanted - len(rows)))
            if len(rows) < wanted:
                return True
        return False


class _Piece(NamedTuple):
    """Fields of some rows in the order of the columns, the line of each, what was rejected among them, about how many
    bytes it all is, the line before the first row and the last line of every row, and whether the file ends here."""

    fields: Sequence[Sequence[str]]
    numbers: Sequence[int]
    rejected: list[Rejected]
    size: int
    before: int
    ends: Sequence[int]
    is_over: bool

    def told(self, one: Rejected) -> Rejected:
        """A rejected row as it is written down: with its lines, and no longer than somebody reads."""
        at = bisect_left(self.ends, one.line)
        begin = self.ends[at - 1] if at else self.before
        lines, detail = one.line - begin, one.detail
        if lines > 1:
            detail = f"lines {begin + 1} to {one.line} are one row, maybe by an open quote: {detail}"
        return Rejected(one.line, one.code, detail, [_cut(text) for text in one.fields[:_FIELDS_KEPT]], lines)


def _cut(text: str) -> str:
    return text if len(text) <= _FIELD_KEPT else f"{text[:_FIELD_KEPT]}... ({len(text):,} characters)"


def _pack(packer: Packer, fields: Sequence[Sequence[str]], numbers: Sequence[int], batch: FileBatch) -> None:
    """Put rows into a batch, all of them at once if they are fit."""
    try:
        events = columns(packer, fields)
    except UNFIT:
        if len(fields) > _FEW:
            size = -(-len(fields) // _PARTS)
            for at in range(0, len(fields), size):
                _pack(packer, fields[at : at + size], numbers[at : at + size], batch)
            return
        fields, numbers = _fit(packer, fields, numbers, batch.rejected)
        events = columns(packer, fields)
    batch.events.extend(events)
    batch.numbers.extend(numbers)


def _fit(
    packer: Packer, given: Sequence[Sequence[str]], lines: Sequence[int], rejected: list[Rejected]
) -> tuple[Sequence[Sequence[str]], Sequence[int]]:
    """Rows that can be taken, their ids with hyphens, and their lines; the others are put to those rejected."""
    fields, numbers = list[Sequence[str]](), list[int]()
    for one, number in zip(given, lines, strict=True):
        try:
            event = _event(one)
            packer.row(event)
            fields.append((str(event.event_id), *one[1:]))
            numbers.append(number)
        except Unfit as unfit:
            name = unfit.pointer.lstrip("/")
            rejected.append(Rejected(number, unfit.code, f"{name}: {unfit}" if name else str(unfit), one))
        except UnicodeError:
            rejected.append(Rejected(number, "malformed", "It is no UTF-8", one))
    return fields, numbers


def _ends(rows: Sequence[Sequence[str]], begin: int, end: int) -> Sequence[int]:
    """The last line of each row, when they stand behind the line `begin`, and not behind `end`."""
    if end - begin == len(rows):
        return range(begin + 1, end + 1)
    lines = (1 + sum(len(_LINE_END.findall(field)) for field in row) for row in rows)
    return [min(line, end) for line in accumulate(lines, initial=begin)][
        1:
    ]  # a quote may be open at the end of the file


class _Order(NamedTuple):
    """Places of the columns in a row, where they are not in order, and the first row, where it is no heading."""

    places: list[int] | None
    first: list[str] | None

    def pick(self) -> Any:
        """What brings a row into order; None when there is nothing to do."""
        if self.places is None:
            return None
        picked = itemgetter(*self.places)
        return picked if len(self.places) == 5 else lambda row: (*picked(row), "")


def _converted(fields: Sequence[str]) -> _Fields:
    if len(fields) != len(COLUMNS):
        raise Unfit("columns", "", f"The row has {len(fields)} fields, not {len(COLUMNS)}")
    try:
        return msgspec.convert(fields, _Fields)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$[")
        name = COLUMNS[int(path[0])] if path[:1].isdigit() else ""
        raise Unfit("invalid", name, what[:_DETAIL_MAX]) from None


def _event(fields: Sequence[str]) -> Event:
    one = _converted(fields)
    text = one.properties_json
    try:
        properties = _PROPERTIES.decode(text) if text else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unfit("invalid", "properties_json", f"It is no JSON object: {str(error)[:_DETAIL_MAX]}") from None
    return Event(one.event_id, one.occurred_at, one.user_id, one.event_type, properties)
