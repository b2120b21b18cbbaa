"""Read a CSV file of ids and texts, for `tallybook banners import` and `trackers import`. A fault ends the command and
names the line."""

import csv
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import click

from tallybook.imports.csv_file import NOT_DOUBLED, CsvFile, shown
from tallybook.imports.file_bytes import NO_UTF8, EndlessRow, Foreign

#: What a file that cannot be read raises.
READ_ERRORS = (Foreign, EndlessRow, EOFError, OSError, csv.Error, zlib.error)
#: Bytes of a row, about.
_ROW_MAX = 8 << 20


class ListFile:
    """Rows of an id and an optional text. Use it with `with`, and read it once."""

    def __init__(self, path: str, names: tuple[Sequence[str], str], is_id: Callable[[str], bool]) -> None:
        """Open the file; `names` are those of the id in a heading, and the one of the text. Raises BadParameter."""
        self._path, self._line = path, 0
        self._ids, self._text = names
        self._is_id = is_id
        try:
            self._file = CsvFile(path, lambda row: self._is_heading(row) or is_id(row[0].strip()))
        except READ_ERRORS as error:
            raise self.fault(str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fault(self, what: str) -> click.BadParameter:
        """Return the error for a fault of the last row."""
        where = f"{self._path}, line {self._line}" if self._line else self._path
        return click.BadParameter(f"{where}: {what}")

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        """Yield id and text of each row; the text may be None. Raises BadParameter."""
        if (first := self._file.first) is None:
            return
        has_heading = self._is_heading(first.row)
        self._line = first.before + 1
        self._check_lines(first.row)
        begin = first.line if has_heading else first.before
        self._line = first.line
        places = self._places(first.row) if has_heading else None
        lines = self._file.rows(begin)
        self._line = begin
        while True:
            self._file.bytes.allow(_ROW_MAX)
            try:
                row = next(lines, None)
            except READ_ERRORS as error:
                self._line = begin + lines.line_num
                raise self.fault(str(error)) from None
            if row is None:
                return
            before, self._line = self._line, begin + lines.line_num
            if self._file.not_doubled:
                raise self.fault(NOT_DOUBLED)
            if self._line > before + 1:
                self._line = before + 1
                self._check_lines(row)
            if any(field.strip() for field in row):
                yield self._fields(row, places)

    def _check_lines(self, row: list[str]) -> None:
        if any("\n" in field or "\r" in field for field in row):
            raise self.fault("the row that begins here has a line end in a field; maybe a quote is open")

    def _fields(self, row: list[str], places: tuple[int, int] | None) -> tuple[str, str | None]:
        try:
            "".join(row).encode()
        except UnicodeEncodeError:
            raise self.fault(NO_UTF8) from None
        if places is None:
            if len(row) > 2:
                raise self.fault(f"it has {len(row)} columns; they are id and {self._text}, or as a heading says")
            places = (0, 1)
        identity, text = (row[at] if at < len(row) else None for at in places)
        return (identity or "").strip(), None if text == r"\N" else text

    def _is_heading(self, row: list[str]) -> bool:
        return any(name.strip().lower() in self._ids for name in row) and not self._is_id(row[0].strip())

    def _places(self, row: list[str]) -> tuple[int, int]:
        names = [name.strip().lower() for name in row]
        identity = next(at for at, name in enumerate(names) if name in self._ids)
        if self._text in names:
            text = names.index(self._text)
        elif len(row) <= 2:
            text = 1 - identity
        else:
            raise self.fault(f"the heading lacks {self._text}; it has {shown(row)}")
        if unused := [name for at, name in enumerate(row) if at not in (identity, text)]:
            click.echo(f"{self._path}: not used: {shown(unused)}", err=True)
        return identity, text
