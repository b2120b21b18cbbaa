"""Read a file as UTF-8 bytes: unpacked, counted, with lines of bounded length.

The first bytes of a file tell its format, not its name. So a pipe is read like a file.
"""

import codecs
import gzip
import io
import sys
from pathlib import Path
from typing import IO

#: Characters of one field that csv takes.
FIELD_MAX = 1 << 20
#: Bytes of a line, about. What is behind them is left out, and a field that is too long for csv stands for it, with
#: a quote if it had an odd number of them.
_LINE_MAX = 4 << 20
_TOO_LONG = b"x" * (FIELD_MAX + 1)
#: Bytes that are looked at first.
_HEAD = 64
_GZIP = b"\x1f\x8b"
#: What other files begin with, and how to make one of them that can be read.
_FOREIGN = (
    (_GZIP, "gzip within gzip", "unpack it once"),
    (b"\x28\xb5\x2f\xfd", "zstd", "pipe it: zstd -dc FILE | ... -"),
    (b"BZh", "bzip2", "pipe it: bzip2 -dc FILE | ... -"),
    (b"\xfd7zXZ\x00", "xz", "pipe it: xz -dc FILE | ... -"),
    (b"\x04\x22\x4d\x18", "lz4", "pipe it: lz4 -dc FILE | ... -"),
    (b"PK\x03\x04", "a zip file or a spreadsheet (xlsx)", "unzip it, or save it as CSV in UTF-8"),
    (b"PK\x05\x06", "an empty zip file", "name the file that was meant"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (xls)", "save it as CSV in UTF-8"),
    (b"PAR1", "Parquet", "export it as CSV"),
    (b"Obj\x01", "Avro", "export it as CSV"),
    (b"ORC", "ORC", "export it as CSV"),
    (b"PGCOPY\n", "a binary COPY of Postgres", "use COPY ... TO ... (FORMAT csv, HEADER)"),
    (b"PGDMP", "a dump of Postgres", "use COPY ... TO ... (FORMAT csv, HEADER)"),
    (b"SQLite format 3", "a database of SQLite", "export the table as CSV"),
    (b"%PDF", "PDF", "export the table as CSV"),
    (b"\xff\xfe\x00\x00", "UTF-32", "save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32", "save it as UTF-8"),
)
#: What to do with a text in another encoding.
NO_UTF8 = "It is no UTF-8; write the file anew: iconv -f WINDOWS-1252 -t UTF-8, or whatever it is in"
_UTF16 = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class EndlessRow(Exception):
    """A few rows have more bytes than memory allows: this is no file of events."""


class Foreign(Exception):
    """The file has another format. The message says which, and what to do."""


class FileBytes(io.BufferedIOBase):
    """The bytes of a file, a pipe, or stdin (`-`): gzip is unpacked, UTF-16 becomes UTF-8."""

    def __init__(self, path: str) -> None:
        """Open the file. Raises Foreign, OSError, EOFError and zlib.error."""
        self._is_stdin = path == "-"
        self._raw: IO[bytes] = sys.stdin.buffer if self._is_stdin else Path(path).open("rb")  # noqa: SIM115 - see close
        self._is_seekable = not self._is_stdin and self._raw.seekable()
        #: Bytes that were given out.
        self.count = 0
        self._most = sys.maxsize
        #: Bytes of the line that is not over, and whether its rest is left out.
        self._line, self._is_cut, self._quotes = 0, False, 0
        try:
            self._plain, head = _begun(self._raw)
            if head.startswith(_GZIP):
                unpacked = gzip.GzipFile(fileobj=self._plain)
                self._plain, head = _begun(unpacked)
            _refuse_foreign(head)
        except BaseException:
            self.close()
            raise
        if encoding := _utf16(head):
            self._plain = _Utf8(self._plain, encoding)

    @property
    def position(self) -> int:
        """Return the position in the file as it lies on the disk, or 0 for a pipe."""
        return self._raw.tell() if self._is_seekable else 0

    def allow(self, size: int) -> None:
        """Allow about so many more bytes before EndlessRow."""
        self._most = self.count + size

    def readable(self) -> bool:
        """Return True: the text layer asks."""
        return True

    def read1(self, size: int = -1, /) -> bytes:
        """Return some bytes, or b"" at the end. Raises OSError, EOFError, zlib.error and EndlessRow."""
        if self.count > self._most:
            raise EndlessRow("a quote may be open")
        data = self._plain.read1(size)
        while self._is_cut and data:
            end = _first_end(data)
            self._quotes += data.count(b'"', 0, end if end >= 0 else len(data))
            if end >= 0:
                self._is_cut, data = False, b'"' * (self._quotes % 2) + data[end:]
                break
            data = self._plain.read1(size)
        last = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._line = self._line + len(data) if last < 0 else len(data) - last - 1
        if self._line > _LINE_MAX:
            self._is_cut, self._line, self._quotes, data = True, 0, data.count(b'"'), _TOO_LONG
        self.count += len(data)
        return data

    def close(self) -> None:
        """Close the file, unless it is stdin."""
        if not self._is_stdin:
            self._raw.close()
        super().close()


class _Ahead(io.BufferedIOBase):
    """A stream whose first bytes have been read."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        if self._head:
            end = len(self._head) if size < 0 else size
            data, self._head = self._head[:end], self._head[end:]
            return data
        return self._rest.read1(size)  # type: ignore[attr-defined,no-any-return]

    def read(self, size: int | None = -1, /) -> bytes:
        return self.read1(-1 if size is None else size)  # as gzip reads: fewer bytes are not the end


class _Utf8(io.BufferedIOBase):
    """Convert a stream from UTF-16 to UTF-8. Lone surrogates stay, and their rows are rejected."""

    def __init__(self, plain: io.BufferedIOBase, encoding: str) -> None:
        self._plain = plain
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")

    def read1(self, size: int = -1, /) -> bytes:
        while data := self._plain.read1(size):
            if text := self._decoder.decode(data):
                return text.encode(errors="surrogatepass")
        try:
            return self._decoder.decode(b"", final=True).encode(errors="surrogatepass")
        except UnicodeDecodeError:
            raise EOFError("it ends within a character of UTF-16") from None


def _begun(stream: IO[bytes] | gzip.GzipFile) -> tuple[io.BufferedIOBase, bytes]:
    """Return the stream from its beginning, and its first bytes."""
    head = stream.read(_HEAD)
    return _Ahead(head, stream), head  # type: ignore[arg-type]


def _refuse_foreign(head: bytes) -> None:
    """Raise Foreign for known formats that are no text."""
    for magic, what, remedy in _FOREIGN:
        if head.startswith(magic):
            raise Foreign(f"this is {what}; {remedy}")


def _utf16(head: bytes) -> str | None:
    """Return the encoding of a text in UTF-16. Without a mark, ASCII has a NUL at every other byte."""
    for mark, encoding in _UTF16:
        if head.startswith(mark):
            return encoding
    even, odd = head[:8:2], head[1:8:2]
    if len(head) >= 8 and all(even) and not any(odd):
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 8 and all(odd) and not any(even) else None


def text_bytes(file: IO[bytes], most: int) -> bytes:
    """Return a small text file in UTF-8 without a mark. Raises Foreign, also if it is too large."""
    data = file.read(2 * most + 4)
    _refuse_foreign(data)
    if encoding := _utf16(data):
        try:
            data = data.decode(encoding).encode()
        except UnicodeError:
            raise Foreign("this begins as UTF-16 and is none; save it as UTF-8") from None
    data = data.removeprefix(codecs.BOM_UTF8)
    if len(data) > most:
        raise Foreign(f"it has more than {most:,} bytes")
    return data


def _first_end(data: bytes) -> int:
    """Return where the first line ends, or -1."""
    ends = [at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
    return min(ends, default=-1)
