"""Read a CSV file of events in batches that are ready for the table. It holds two batches in memory."""

import csv
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

from shared.events.columns import UNFIT, Columns, columns
from shared.events.rows import Event, EventId, EventType, OccurredAt, Packer, Unfit, UserId, sized
from shared.settings import Settings
from tallybook.imports.csv_file import NOT_DOUBLED, CsvFile, unescaped
from tallybook.imports.event_layout import COLUMNS as COLUMNS
from tallybook.imports.event_layout import NotEvents, layout, rank
from tallybook.imports.file_bytes import FIELD_MAX, NO_UTF8, EndlessRow, Foreign
from tallybook.imports.foreign_values import NOBODY, ForeignValues

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
#: First rows that end an import when all of them are rejected for one reason, and reasons that are of single rows.
_ALIKE, _OF_ITS_TIME = 100, frozenset({"too_old", "in_future"})

_NOBODY = frozenset(sized(text.encode()) for text in NOBODY)
_PROPERTIES = msgspec.json.Decoder(dict[str, Any])


class Rejected(NamedTuple):
    """A rejected row: the line in which it ends, the reason, its fields, and its number of lines."""

    line: int
    code: str
    detail: str
    fields: Sequence[str]
    lines: int = 1


class FileBatch(NamedTuple):
    """Events, the line of each, the time of reading, and the rejected rows among them.

    `lines` of the file have been read so far, and `position` bytes of it as it lies on the disk."""

    events: Columns
    numbers: list[int]
    received_ms: int
    rejected: list[Rejected]
    lines: int = 0
    position: int = 0

    @property
    def read(self) -> int:
        """Return the number of rows that were read."""
        return len(self.numbers) + len(self.rejected)


#: The errors of a file that cannot be read, or is none of events.
READ_ERRORS = (NotEvents, Foreign, EndlessRow, EOFError, OSError, csv.Error, zlib.error)


class _Fields(Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    event_id: EventId
    occurred_at: OccurredAt
    user_id: UserId
    event_type: EventType
    properties_json: str


class Reading(Struct, frozen=True):
    """Options of reading: names of columns, the zone of times without one, and the owner of ids that are no UUIDs."""

    columns: dict[str, str] = {}
    zone: str | None = None
    foreign_ids: str | None = None


_AS_IT_IS = Reading()


class EventFile:
    """A file of events; `-` is stdin. Its content tells its format. Close it."""

    def __init__(self, settings: Settings, path: str, reading: Reading = _AS_IT_IS) -> None:
        """Open the file and find its layout. Raises READ_ERRORS."""
        self._settings = settings
        self._foreign = ForeignValues(reading.zone, reading.foreign_ids)
        self._csv = CsvFile(path, lambda row: rank(self._foreign, reading.columns, row))
        self._bytes = self._csv.bytes
        try:
            self._layout = layout(self._csv, self._foreign, reading.columns)
        except NotEvents:
            self.close()
            raise
        self._pick = _pick(self._layout.places)

    @property
    def said(self) -> str:
        """Return a remark on the columns for the person who imports the file, or ""."""
        return self._layout.said

    @property
    def renamed(self) -> dict[str, str]:
        """Return the event types that were renamed so far."""
        return self._foreign.renamed

    def close(self) -> None:
        """Let go of it."""
        self._csv.close()

    def batches(self, skip: int) -> Iterator[FileBatch]:
        """Yield batches of what stands behind the first `skip` lines. Raises READ_ERRORS."""
        begin = max(skip, self._layout.begin)
        lines = self._csv.rows(begin)
        is_known = skip > 0 or self._layout.is_of_rejects
        is_over = False
        while not is_over:
            batch, size = FileBatch(Columns([], [], [], [], []), [], time.time_ns() // 1_000_000, []), 0
            packer = Packer(self._settings, batch.received_ms)
            while not is_over and size < BATCH_BYTES and (room := BATCH_ROWS - batch.read) > 0:
                piece = self._cut(lines, begin, min(room, _AT_ONCE))
                had = len(batch.rejected)
                batch.rejected.extend(piece.rejected)
                self._pack(packer, piece.fields, piece.numbers, batch)
                most = self._settings.event_properties_bytes_max
                batch.rejected[had:] = [piece.told(one, most) for one in batch.rejected[had:]]
                size, is_over = size + piece.size, piece.is_over
                is_known = is_known or bool(batch.numbers)
                if not is_known and len(batch.rejected) >= _ALIKE:
                    _refuse_alike(batch.rejected)
                    is_known = True
            batch.rejected.sort()
            yield batch._replace(lines=begin + lines.line_num, position=self._bytes.position)

    def _cut(self, lines: Any, begin: int, most: int) -> "_Piece":
        """Return the next rows."""
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
        ends, pick = _ends(rows, before, begin + lines.line_num), self._pick
        if broken and self._csv.is_open:
            first = 1 + (ends[-1] if ends else before)
            what = f"a field of more than {FIELD_MAX:,} characters, maybe of many lines"
            raise EndlessRow(f"the row that begins in line {first} has {what}; take it out")
        size = 60 * len(rows) + self._bytes.count - count
        if self._csv.is_escaped:
            rows = [[unescaped(field) if "\\" in field else field for field in row] for row in rows]
        whole = ends
        if self._csv.not_doubled:
            rows, ends = self._doubled(rows, ends, broken)
        if pick is None and min(map(len, rows), default=2) > 1:
            return _Piece(rows, ends, broken, size, before, whole, is_over)
        fields, numbers = list[Sequence[str]](), list[int]()
        for row, number in zip(rows, ends, strict=True):
            if len(row) < 2 and not "".join(row).strip():
                continue
            width, places = self._layout.width, self._layout.places or ()
            if pick is not None and len(row) > width and any(row[width:]):  # a delimiter that nobody has quoted
                told = f"The row has {len(row)} fields, and the heading {width}"
                placed = [row[at] for at in places] + [""] * (len(COLUMNS) - len(places))
                broken.append(Rejected(number, "columns", told, placed + row[width:]))
                continue
            try:
                fields.append(row if pick is None else pick(row))
                numbers.append(number)
            except IndexError:
                placed = [row[at] if at < len(row) else "" for at in places]
                broken.append(Rejected(number, "columns", "The row is too short", placed))
        return _Piece(fields, numbers, broken, size, before, whole, is_over)

    def _doubled(
        self, rows: list[list[str]], ends: Sequence[int], broken: list[Rejected]
    ) -> tuple[list[list[str]], Sequence[int]]:
        """Return rows and their last lines, and move rows that would lose backslashes to `broken`."""
        bad = {bisect_left(ends, line) for line in self._csv.not_doubled}
        self._csv.not_doubled.clear()
        broken += [Rejected(ends[at], "malformed", NOT_DOUBLED, rows[at]) for at in sorted(bad) if at < len(rows)]
        left = [at for at in range(len(rows)) if at not in bad]
        return [rows[at] for at in left], [ends[at] for at in left]

    def _fill(self, rows: list[list[str]], lines: Any, most: int) -> bool:
        """Append the next rows to `rows`, few if they are long. Return whether the file ends."""
        enough = self._bytes.count + _STEP_BYTES
        while len(rows) < most and self._bytes.count < enough:
            wanted = min(len(rows) + _STEP, most)
            self._bytes.allow(_STEP_BYTES_MAX)
            rows.extend(islice(lines, wanted - len(rows)))
            if len(rows) < wanted:
                return True
        return False

    def _pack(self, packer: Packer, fields: Sequence[Sequence[str]], numbers: Sequence[int], batch: FileBatch) -> None:
        """Pack rows into a batch, all at once if they are valid."""
        try:
            events = columns(packer, fields)
            if not _NOBODY.isdisjoint(events.users):
                raise ValueError("one has no user")
        except UNFIT:
            try:
                events = columns(packer, list(map(self._foreign.row, fields)))
            except UNFIT:
                if len(fields) > _FEW:
                    size = -(-len(fields) // _PARTS)
                    for at in range(0, len(fields), size):
                        self._pack(packer, fields[at : at + size], numbers[at : at + size], batch)
                    return
                fields, numbers = self._fit(packer, fields, numbers, batch.rejected)
                events = columns(packer, fields)
        batch.events.extend(events)
        batch.numbers.extend(numbers)

    def _fit(
        self, packer: Packer, given: Sequence[Sequence[str]], lines: Sequence[int], rejected: list[Rejected]
    ) -> tuple[Sequence[Sequence[str]], Sequence[int]]:
        """Return the valid rows as events, and their lines. The others go to the rejected rows."""
        fields, numbers = list[Sequence[str]](), list[int]()
        for one, number in zip(given, lines, strict=True):
            made = self._foreign.row(one)
            try:
                packer.row(self._event(made))
                fields.append(made)
                numbers.append(number)
            except Unfit as unfit:
                name = unfit.pointer.lstrip("/")
                rejected.append(Rejected(number, unfit.code, f"{name}: {unfit}" if name else str(unfit), one))
            except UnicodeError:
                rejected.append(Rejected(number, "malformed", NO_UTF8, one))
        return fields, numbers

    def _event(self, fields: Sequence[str]) -> Event:
        if len(fields) != len(COLUMNS):
            raise Unfit("columns", "", f"The row has {len(fields)} fields, not {len(COLUMNS)}")
        try:
            one = msgspec.convert(fields, _Fields)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$[")
            name = COLUMNS[int(path[0])] if path[:1].isdigit() else ""
            better = self._foreign.why(name, fields[int(path[0])]) if name else None
            raise Unfit("invalid", name, better or what[:_DETAIL_MAX]) from None
        text = one.properties_json
        try:
            properties = _PROPERTIES.decode(text) if text else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unfit("invalid", "properties_json", f"It is no JSON object: {str(error)[:_DETAIL_MAX]}") from None
        return Event(one.event_id, one.occurred_at, one.user_id, one.event_type, properties)


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

    def told(self, one: Rejected, properties_max: int) -> Rejected:
        """Return a rejected row as the file gets it: with its lines, and cut to a length that people can mend."""
        at = bisect_left(self.ends, one.line)
        begin = self.ends[at - 1] if at else self.before
        lines, detail = one.line - begin, one.detail
        if lines > 1:
            detail = f"lines {begin + 1} to {one.line} are one row, maybe by an open quote: {detail}"
        kept = [_shortened(text, _FIELD_KEPT) for text in one.fields[:_FIELDS_KEPT]]
        if len(one.fields) == len(COLUMNS):
            kept[-1] = _shortened(one.fields[-1], max(_FIELD_KEPT, properties_max))
        return Rejected(one.line, one.code, detail, kept, lines)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:_FIELD_KEPT]}... ({len(text):,} characters)"


def _ends(rows: Sequence[Sequence[str]], begin: int, end: int) -> Sequence[int]:
    """Return the last line of each row; the rows stand between the lines `begin` and `end`."""
    if end - begin == len(rows):
        return range(begin + 1, end + 1)
    lines = (1 + sum(len(_LINE_END.findall(field)) for field in row) for row in rows)
    return [min(line, end) for line in accumulate(lines, initial=begin)][
        1:
    ]  # a quote may be open at the end of the file


def _pick(places: list[int] | None) -> Any:
    """Return a function that orders the fields of a row, or None if they are in order."""
    if places is None:
        return None
    picked = itemgetter(*places)
    return picked if len(places) == len(COLUMNS) else lambda row: (*picked(row), "")


def _refuse_alike(rejected: list[Rejected]) -> None:
    """Raise NotEvents if all these first rows were rejected for one reason: the format of the file."""
    first = min(rejected)
    reasons = {(one.code, one.detail.partition(":")[0]) for one in rejected}
    if len(reasons) == 1 and first.code not in _OF_ITS_TIME:
        raise NotEvents(
            f"its first {len(rejected):,} rows would all be rejected for the same reason, so none was imported. "
            f"Line {first.line}: {first.detail}"
        )
