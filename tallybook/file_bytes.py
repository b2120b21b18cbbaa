"""Bytes of a file, unpacked and counted, whose lines have a bounded length."""

import gzip
import io
import sys
from pathlib import Path
from typing import IO

#: Characters of one field that csv takes.
FIELD_MAX = 1 << 20
#: Bytes of a line, about. What is behind them is left out, and stands for itself as a field that is too long for csv.
_LINE_MAX = 4 << 20
_TOO_LONG = b"x" * (FIELD_MAX + 1)


class EndlessRow(Exception):
    """A few rows have more bytes than the memory should take: this is no file of events."""


class FileBytes(io.BufferedIOBase):
    """Of one file, `-` for stdin; .gz is unpacked. The file may be a pipe."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._raw: IO[bytes] = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115 - see close
        self._plain: io.BufferedIOBase = gzip.GzipFile(fileobj=self._raw) if path.endswith(".gz") else self._raw  # type: ignore[assignment]
        self._is_stdin = path == "-"
        self._is_seekable = not self._is_stdin and self._raw.seekable()
        #: Bytes that were given out.
        self.count = 0
        self._most = sys.maxsize
        #: Bytes of the line that is not over, and whether its rest is left out.
        self._line, self._is_cut = 0, False

    @property
    def position(self) -> int:
        """How far the file is read, as it lies on the disk; 0 of a pipe."""
        return self._raw.tell() if self._is_seekable else 0

    def allow(self, size: int) -> None:
        """Give out at most about so many bytes more."""
        self._most = self.count + size

    def readable(self) -> bool:
        """It is."""
        return True

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes, none at the end. Raises OSError, EOFError, zlib.error and EndlessRow."""
        if self.count > self._most:
            raise EndlessRow("a quote may be open")
        data = self._plain.read1(size)
        while self._is_cut and data:
            if (end := _first_end(data)) >= 0:
                self._is_cut, data = False, data[end:]
                break
            data = self._plain.read1(size)
        last = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._line = self._line + len(data) if last < 0 else len(data) - last - 1
        if self._line > _LINE_MAX:
            self._is_cut, self._line, data = True, 0, _TOO_LONG
        self.count += len(data)
        return data

    def close(self) -> None:
        """Let go of the file, unless it is stdin."""
        if not self._is_stdin:
            self._plain.close()
            self._raw.close()
        super().close()


def _first_end(data: bytes) -> int:
    """Where the first line ends; below 0 when it does not."""
    ends = [at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
    return min(ends, default=-1)
