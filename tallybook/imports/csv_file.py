"""Read a CSV file: its beginning shows the delimiter, the escapes, and the first row."""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from tallybook.imports.file_bytes import FIELD_MAX, FileBytes

#: Known delimiters. A line `sep=;`, which spreadsheets write, names another one.
_DELIMITERS = ",;\t|"
_SEP = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE | re.DOTALL)
#: Characters of a blank line, even of a spreadsheet.
_BLANK = ' \t\r\n,;|"'
#: Bytes within which the first row has to end; lines and bytes behind it that show the escapes.
_HEAD_MAX, _SAMPLE, _SAMPLE_BYTES = 32 << 20, 20, 64 << 10
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
#: A backslash of JSON that is not doubled. Programs that escape write none before a `u`.
_SINGLE = re.compile(r"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")
NOT_DOUBLED = r"Its backslashes are not doubled, as in \u00fc; write the file as CSV"
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}


class First(NamedTuple):
    """The first row that is not blank, the line in which it ends, and the number of lines before it."""

    row: list[str]
    line: int
    before: int


class CsvFile:
    """A CSV file; `-` is stdin. Close it."""

    def __init__(self, path: str, rank: Callable[[list[str]], int]) -> None:
        """Open the file with the delimiter under which the first row has the highest rank.

        Raises Foreign, OSError, EOFError, zlib.error, EndlessRow and csv.Error."""
        self.bytes = FileBytes(path)
        plain: Any = self.bytes
        # Bytes that are no UTF-8 become lone surrogates. No event may hold one, so the row is rejected unchanged.
        self._text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._kept = list[str]()
        self.delimiter, self._way = ",", dict[str, Any]()
        self._last = ""
        #: Lines with backslashes that should be doubled; the reader removes them.
        self.not_doubled = list[int]()
        csv.field_size_limit(FIELD_MAX)
        try:
            #: None if the file has no rows.
            self.first = self._begin(rank)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    @property
    def is_escaped(self) -> bool:
        """Return whether fields have to go through `unescaped`."""
        return "quoting" in self._way

    def rows(self, skip: int) -> Any:
        """Return a csv.reader of the lines behind the first `skip`. Call it once."""
        source = chain(self._kept, self._text)
        for _ in islice(source, skip):
            pass
        return csv.reader(self._looked_at(source, skip), delimiter=self.delimiter, **self._way)

    @property
    def is_open(self) -> bool:
        """Return whether a refused field may still be open behind the last line."""
        if "escapechar" in self._way or self._last.count('"') % 2:
            return True
        most = csv.field_size_limit(sys.maxsize)
        try:
            *_, field = next(csv.reader([self._last], delimiter=self.delimiter, **self._way), None) or [""]
        finally:
            csv.field_size_limit(most)
        return field.endswith(("\r", "\n"))

    def _looked_at(self, lines: Iterable[str], number: int) -> Iterator[str]:
        r"""Yield lines for csv. Beside fields in quotes \N stands for nothing, and csv would make N of it."""
        nothing = None
        if "escapechar" in self._way:
            end = re.escape(self.delimiter)
            nothing = re.compile(rf"(?:^|(?<={end}))\\N(?=[\r\n]|{end}|$)")
        for self._last in lines:
            if self._way:
                number += 1
                if r"\u" in self._last and _SINGLE.search(self._last):
                    self.not_doubled.append(number)
                if nothing and r"\N" in self._last:
                    yield nothing.sub("", self._last)
                    continue
            yield self._last

    def _begin(self, rank: Callable[[list[str]], int]) -> First | None:
        self.bytes.allow(_HEAD_MAX)
        delimiters, before = _DELIMITERS, 0
        for line in self._text:
            self._kept.append(line)
            if named := _SEP.fullmatch(line):
                delimiters = named[1]
            elif line.strip(_BLANK):
                break
            before += 1
        else:
            return None
        end = self.bytes.count + _SAMPLE_BYTES
        for line in islice(self._text, _SAMPLE):
            self._kept.append(line)
            if self.bytes.count > end:
                break
        best, best_rank, fault, sample = None, -1, None, "".join(self._kept[before:])
        for delimiter in delimiters:
            way = _way(sample, delimiter)
            reader = csv.reader(self._again(before), delimiter=delimiter, **way)
            try:
                row = next(reader)
            except csv.Error as error:
                fault = fault or error
                continue
            if (found := rank(row)) > best_rank:
                best, best_rank = First(row, before + reader.line_num, before), found
                self.delimiter, self._way = delimiter, way
        if best is None:
            raise fault or csv.Error("it has no row")
        return best

    def _again(self, at: int) -> Iterator[str]:
        """Yield the lines from `at` on, and keep them."""
        while True:
            while at < len(self._kept):
                yield self._kept[at]
                at += 1
            self._kept += islice(self._text, 1)
            if at == len(self._kept):
                return


def _way(sample: str, delimiter: str) -> dict[str, Any]:
    """Return the options of csv, as JSON in the sample shows.

    CSV doubles quotes. The text format of COPY (TSV) and INTO OUTFILE of MySQL use backslashes."""
    if delimiter == "\t" and re.search(r'(?m)(?:^|\t)\{"', sample):
        return {"quoting": csv.QUOTE_NONE}
    if re.search(rf'(?m)(?:^|{re.escape(delimiter)})"\{{\\"', sample):
        return {"escapechar": "\\", "doublequote": False}
    return {}


def unescaped(field: str) -> str:
    r"""Return a field of the text format without its escapes; \N is nothing."""
    return "" if field == r"\N" else _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), field)


def shown(texts: list[str], most: int = 20) -> str:
    """Return some texts of a file as one line for a terminal."""
    cut = ["".join(one if one.isprintable() else "?" for one in text[:60]) or "(no name)" for text in texts[:most]]
    return ", ".join(cut) + (f" and {len(texts) - most} more" if len(texts) > most else "")
