"""The reader of imports on files that nobody should have made: it says what is wrong, and its memory stays small."""

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings
from tallybook.imports import event_file
from tallybook.imports.event_file import EventFile, FileBatch
from tallybook.imports.file_bytes import FIELD_MAX, EndlessRow
from tests.harness.process import ROOT
from tests.harness.subjects.events import event

MB = 1 << 20
#: Reads a file as an import does, and says how many rows there were and what the memory was at most.
_READ = """
import json, resource, sys
from shared.settings import Settings
from tallybook.imports.event_file import EventFile
file, read, rejects = EventFile(Settings(), sys.argv[1]), 0, []
for batch in file.batches(0):
    read += len(batch.numbers)
    rejects += [(one.line, one.code, one.detail, sum(map(len, one.fields))) for one in batch.rejected]
print(json.dumps([read, rejects, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def batches(path: Path) -> list[FileBatch]:
    file = EventFile(Settings(), str(path))
    try:
        return list(file.batches(0))
    finally:
        file.close()


def read_apart(path: Path) -> tuple[int, list[tuple[int, str, str, int]], int]:
    """Rows, rejects with their length, and the highest memory of a process that reads the file and no more."""
    command = [sys.executable, "-c", _READ, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    read, rejects, memory = json.loads(done.stdout)
    return read, rejects, memory


def line(**wishes: Any) -> bytes:
    one = event(**wishes)
    return ",".join([*list(one.values())[:4], ""]).encode() + b"\n"


def written(path: Path, parts: Iterable[bytes]) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)
    return path


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The memory for a file of two rows."""
    path = written(tmp_path_factory.mktemp("usual") / "a.csv.gz", [line(), line()])
    read, rejects, memory = read_apart(path)
    assert (read, rejects) == (2, [])
    return memory


def wide() -> Iterable[bytes]:
    """400 MB in rows whose user has 100 kB, between two good ones."""
    user = "u" * 100_000
    yield line()
    for _ in range(4000):
        yield line(user_id=user)
    yield line()


def endless() -> Iterable[bytes]:
    """400 MB in one line of small fields, between two good ones."""
    yield line()
    for _ in range(400):
        yield b"abc," * (MB // 4)
    yield b"\n" + line()


def endless_field() -> Iterable[bytes]:
    """400 MB in one field of one line, without an end."""
    yield line()
    for _ in range(400):
        yield b"x" * MB


@pytest.mark.parametrize(
    ("parts", "read", "rejected", "last"), [(wide, 2, 4000, 4001), (endless, 2, 1, 2), (endless_field, 1, 1, 2)]
)
def test_the_memory_is_small_whatever_the_file(
    tmp_path: Path, usual: int, parts: Callable[[], Iterable[bytes]], read: int, rejected: int, last: int
) -> None:
    found, rejects, memory = read_apart(written(tmp_path / "a.csv.gz", parts()))
    assert (found, len(rejects), rejects[-1][0]) == (read, rejected, last)
    assert max(size for _, _, _, size in rejects) < 2000
    assert memory - usual < 150 * MB


def test_a_row_of_many_lines_without_an_end_ends_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fields are short, so csv would take it."""
    monkeypatch.setattr(event_file, "_STEP_BYTES_MAX", 4 * MB)
    path = written(tmp_path / "a.csv.gz", [line(), b'"a', *([b'\nb","a' * 1000] * 1000)])
    with pytest.raises(EndlessRow, match="line 2 has no end; a quote may be open"):
        batches(path)


def test_a_rejected_row_is_cut_and_says_how_long_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv.gz", [line(user_id="u" * 5000), b"a," * 5000 + b"\n", line()])
    [batch] = batches(path)
    first, second = batch.rejected
    assert first.fields[2] == "u" * 1000 + "... (5,000 characters)"
    assert len(second.fields) == 20
    assert len(batch.numbers) == 1


def test_a_reason_without_a_column_begins_with_itself(tmp_path: Path) -> None:
    [batch] = batches(written(tmp_path / "a.csv.gz", [line(), b"a,b\n"]))
    assert batch.rejected[0].detail == "The row has 2 fields, not 5"


def test_a_rejected_row_of_some_lines_says_which(tmp_path: Path) -> None:
    open_quote = b'\n\nx,"' + line() + b"\n" + line()
    [batch] = batches(written(tmp_path / "a.csv.gz", [line(), line(), open_quote]))
    [one] = batch.rejected
    assert (one.line, one.lines) == (7, 3)
    assert one.detail.startswith("lines 5 to 7 are one row, maybe by an open quote: ")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_what_is_behind_a_line_that_is_too_long_is_read(tmp_path: Path, end: str) -> None:
    lines = [line(), b"y" * 5 * MB + b"," + b"z" * MB + b"\n", line(), b"z," * 4 * MB + b"\n", line()]
    parts = [one.replace(b"\n", end.encode()) for one in lines]
    found = batches(written(tmp_path / "a.csv.gz", parts))
    assert [number for batch in found for number in batch.numbers] == [1, 3, 5]
    assert [(one.line, one.code, one.lines) for batch in found for one in batch.rejected] == [
        (2, "malformed", 1),
        (4, "malformed", 1),
    ]


def test_a_heading_that_is_no_row_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(csv.Error):
        batches(written(tmp_path / "a.csv.gz", [b"x" * (FIELD_MAX + 1)]))


@pytest.mark.parametrize("parts", [(b"\n",), (b"\n" + b"y" * 5 * MB + b"\n",), ()])
def test_rows_within_a_field_that_is_too_long_are_no_events(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    """Where its quotes end is not known, so nothing behind it is read."""
    hidden = b'x,"{""note"": ""' + b"y" * MB + b"".join(parts) + b"\n" + line() + line() + b'""}"\n'
    path = written(tmp_path / "a.csv.gz", [line(), hidden, line()])
    with pytest.raises(EndlessRow, match=r"line 2 has a field of more than 1,048,576 characters, .*; take it out"):
        batches(path)


def test_a_field_in_quotes_that_is_too_long_rejects_its_line_alone(tmp_path: Path) -> None:
    long = [b'x,"{""note"": ""' + b"y" * size + b'""}"\n' for size in (MB, 5 * MB)]
    found = batches(written(tmp_path / "a.csv.gz", [line(), long[0], line(), long[1], line()]))
    assert [number for batch in found for number in batch.numbers] == [1, 3, 5]
    assert [one.line for batch in found for one in batch.rejected] == [2, 4]
