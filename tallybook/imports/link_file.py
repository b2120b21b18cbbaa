"""Read a CSV file of redirect links, for `tallybook links import`. A fault ends the command and names the line."""

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Self

import click

from shared.collect.link import LinkRow
from shared.counting.lane import banner_id
from tallybook.imports.csv_file import CsvFile, shown
from tallybook.imports.list_file import READ_ERRORS

#: Columns that a file has to have, and those that it may have.
_NEEDED = ("slug", "banner", "url")
_MORE = ("query", "pass", "click_id", "expires", "max_clicks", "active")
#: Bytes of a row, about.
_ROW_MAX = 1 << 20
_WORDS = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}


class LinkFile:
    """Links of a file with a heading. Use it with `with`, and read it once."""

    def __init__(self, path: str) -> None:
        """Open the file. Raises BadParameter."""
        self._path, self._line = path, 0
        try:
            self._file = CsvFile(path, lambda row: len({"slug", "url"} & set(_names(row))))
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

    def __iter__(self) -> Iterator[LinkRow]:
        """Yield the links. Raises BadParameter."""
        if (first := self._file.first) is None:
            return
        self._line = first.line
        names = _names(first.row)
        if lacking := [name for name in _NEEDED if name not in names]:
            raise self.fault(f"the heading lacks {shown(lacking)}; it has {shown(first.row)}")
        if unknown := [name for name in names if name not in (*_NEEDED, *_MORE)]:
            raise self.fault(f"the heading has {shown(unknown)}; columns are {', '.join((*_NEEDED, *_MORE))}")
        lines = self._file.rows(first.line)
        while (row := self._next(lines, first.line)) is not None:
            if any(field.strip() for field in row):
                yield self._made(dict(zip(names, (field.strip() for field in row), strict=False)))

    def _next(self, lines: Any, begin: int) -> list[str] | None:
        self._file.bytes.allow(_ROW_MAX)
        try:
            row: list[str] | None = next(lines, None)
        except READ_ERRORS as error:
            self._line = begin + lines.line_num
            raise self.fault(str(error)) from None
        self._line = begin + lines.line_num
        return row

    def _made(self, given: dict[str, str]) -> LinkRow:
        try:
            return LinkRow(
                slug=given["slug"],
                banner_id=banner_id(given.get("banner", "")),
                url=given.get("url", ""),
                query=given.get("query") or "keep",
                pass_=tuple(name.strip() for name in given.get("pass", "").split(",") if name.strip()),
                click_id=_word(given.get("click_id") or "false"),
                expires_at=datetime.fromisoformat(text) if (text := given.get("expires")) else None,
                max_clicks=int(text) if (text := given.get("max_clicks")) else None,
                active=_word(given.get("active") or "true"),
            )
        except (ValueError, csv.Error) as error:
            raise self.fault(str(error) or "it cannot be read") from None


def _names(row: list[str]) -> list[str]:
    return [name.strip().lower() for name in row]


def _word(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"{text[:100]!r} is neither true nor false")
    return _WORDS[text.lower()]
