"""Appends that wait on this host's disk for a log that is away. One file per worker, named after its producer.

    header   8 bytes   tallyjn1
    frame    length of the payload (u32), blake2b-64 of length and payload, payload: one append in MessagePack
    ...

A frame holds a whole append with its (producer, seq), so whoever sends it again sends the same append: what had been
under way when it was written counts once. Frames are added behind the others and synced before anybody is told; one
that a crash cut short was acknowledged to nobody and is cut off by the next owner. A frame that a disk has damaged in
the midst of others is stepped over and kept apart for a person: those behind it were acknowledged, too. The file is
emptied when the log has everything in it. The owner holds flock(2) on it; a file that nobody holds is of a dead worker,
and another one sends what is in it (`shared/record_log/orphaned_journals.py`).
"""

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Self

import msgspec
import structlog
from msgspec import Struct

from shared.errors import JournalFull
from shared.runtime.crash_points import crash_point
from shared.runtime.machine import sync_data

_MAGIC = b"tallyjn1"
#: Length of the payload, and the checksum of both.
_FRAME = struct.Struct("<I8s")
#: The longest payload: an append of half a megabyte, its last record, and what MessagePack adds.
_PAYLOAD_MAX = 2 << 20
#: The first byte of each payload: an array of the five fields of an append.
_FIRST = b"\x95"
#: Seconds after which a half-made file of a dead creator is removed.
_STALE_S = 60

log = structlog.get_logger()


class BadJournal(Exception):
    """The file is no journal of this version, so nothing in it can be sent."""


class Append(Struct, frozen=True, array_like=True, gc=False):
    """One append as it was or will be sent to the log."""

    topic: str
    partition: int
    producer: str
    seq: int
    records: list[tuple[bytes, bytes]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Append)


class Journal:
    """A journal that this process owns. All methods block: those that write wait for the disk."""

    def __init__(self, path: Path, descriptor: int, bytes_max: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._bytes_max = bytes_max
        self._is_broken = False
        if os.pread(descriptor, len(_MAGIC), 0) != _MAGIC:
            raise BadJournal("not a journal of this version")
        #: Bytes up to the end of the last whole frame.
        self.size = len(_MAGIC)
        self._places: list[int] = []
        self._look_through()

    def is_empty(self) -> bool:
        """Return whether nothing waits in it."""
        return self.size == len(_MAGIC)

    def write(self, appends: Sequence[Append]) -> list[int]:
        """Add the appends in order and answer where each lies. They are on the disk when it returns.

        Raises JournalFull, with none of them in the file, when it has no room or the disk fails.
        """
        frames = [_framed(append) for append in appends]
        if self._is_broken or self.size + sum(map(len, frames)) > self._bytes_max:
            raise JournalFull
        places, at = [], self.size
        for frame in frames:
            places.append(at)
            at += len(frame)
        try:
            if os.fstat(self._descriptor).st_nlink == 0:
                raise OSError(errno.ENOENT, "somebody removed the journal")
            _write_at(self._descriptor, b"".join(frames), self.size)
            crash_point("journal_written")
            sync_data(self._descriptor)
        except OSError as error:
            self._take_back()
            raise JournalFull from error
        crash_point("journal_synced")
        self.size = at
        self._places += places
        return places

    def read(self, at: int) -> Append:
        """Return the append that lies there. Raises BadJournal if it is not whole."""
        append, _ = _frame_at(self._descriptor, at)
        return append

    def appends(self) -> Iterator[Append]:
        """Everything in it, in the order in which it was written."""
        for at in self._places:
            yield self.read(at)

    def clear(self) -> None:
        """Forget everything. Call it when the log has all of it, never before."""
        os.ftruncate(self._descriptor, len(_MAGIC))
        self.size = len(_MAGIC)
        self._places.clear()

    def close(self) -> None:
        """Let go of the file. What waits in it is for another worker; an empty one is removed."""
        if self.is_empty():
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _take_back(self) -> None:
        """Undo a write that failed, so that what was refused is never sent."""
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            self._is_broken = True

    def _look_through(self) -> None:
        """Find the whole frames, keep what is damaged between them apart, and cut off what is torn behind them."""
        end = os.fstat(self._descriptor).st_size
        while self.size < end:
            try:
                _, behind = _frame_at(self._descriptor, self.size)
            except BadJournal:
                following = self._next_whole(self.size + 1, end)
                if following is None:
                    log.warning("journal_cut", file=self.path.name, bytes=end - self.size)
                    os.ftruncate(self._descriptor, self.size)
                    return
                self._keep_apart(self.size, following)
                self.size = following
            else:
                self._places.append(self.size)
                self.size = behind

    def _next_whole(self, at: int, end: int) -> int | None:
        """Where the next whole frame begins. No record can pass for one: a length has a byte of zero, which texts have
        not, and whatever else a client chooses is too short for an append (`shared/hit.py`)."""
        with mmap.mmap(self._descriptor, end, access=mmap.ACCESS_READ) as content:
            first = content.find(_FIRST, at + _FRAME.size)
            while first >= 0:
                try:
                    _frame_at(self._descriptor, first - _FRAME.size)
                except BadJournal:
                    first = content.find(_FIRST, first + 1)
                else:
                    return first - _FRAME.size
        return None

    def _keep_apart(self, start: int, end: int) -> None:
        target = self.path.with_name(f"{self.path.name}.bad-{time.time_ns()}")
        target.write_bytes(os.pread(self._descriptor, end - start, start))
        log.error("journal_damaged", file=target.name, bytes=end - start)

    # -- files -----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, name: str, bytes_max: int) -> Self:
        """Create a journal, which appears under its name complete and locked. Raises OSError when the disk refuses."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale_drafts(folder)
        draft, path = folder / f".{os.getpid()}-{secrets.token_hex(4)}.tmp", folder / f"{name}.journal"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write_at(descriptor, _MAGIC, 0)
            os.fsync(descriptor)
            os.rename(draft, path)
            _sync_folder(folder)
            return cls(path, descriptor, bytes_max)
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Take over a journal that nobody holds; None if somebody does. A file that is none is put aside."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # the name still means what we locked
                return cls(path, descriptor, bytes_max=0)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BadJournal as error:
            put_aside(path, str(error))
        os.close(descriptor)
        return None


def paths(folder: Path) -> list[Path]:
    """Return the journals of a folder, oldest name first."""
    return (
        [folder / name for name in sorted(os.listdir(folder)) if name.endswith(".journal")] if folder.is_dir() else []
    )


def records_in(folder: Path) -> Counter[str]:
    """Records of each topic that lie in the journals of a folder now, whoever holds them."""
    found = Counter[str]()
    for path in paths(folder):
        with contextlib.suppress(OSError), path.open("rb") as file:
            at = len(_MAGIC)
            with contextlib.suppress(BadJournal):  # the end of what is whole
                while True:
                    append, at = _frame_at(file.fileno(), at)
                    found[append.topic] += len(append.records)
    return found


def put_aside(path: Path, reason: str) -> None:
    """Keep a file that cannot be sent for a person to look at, out of everybody's way."""
    target = path.with_name(f"{path.name}.bad-{time.time_ns()}")
    try:
        path.rename(target)
    except FileNotFoundError:
        return  # another worker was quicker
    log.error("journal_put_aside", file=target.name, reason=reason)


def _framed(append: Append) -> bytes:
    payload = _ENCODER.encode(append)
    return _FRAME.pack(len(payload), _checksum(payload)) + payload


def _frame_at(descriptor: int, at: int) -> tuple[Append, int]:
    """Return the append at this place and the place behind it. Raises BadJournal if it is not whole."""
    head = os.pread(descriptor, _FRAME.size, at)
    if len(head) < _FRAME.size:
        raise BadJournal("torn")
    length, checksum = _FRAME.unpack(head)
    at += _FRAME.size
    if length > min(_PAYLOAD_MAX, os.fstat(descriptor).st_size - at):  # or garbage would ask for gigabytes
        raise BadJournal("torn")
    payload = os.pread(descriptor, length, at)
    if checksum != _checksum(payload):
        raise BadJournal("damaged")
    try:
        return _DECODER.decode(payload), at + length
    except msgspec.DecodeError as error:
        raise BadJournal("of another version") from error


def _checksum(payload: bytes) -> bytes:
    return blake2b(len(payload).to_bytes(4, "little") + payload, digest_size=8).digest()


def _write_at(descriptor: int, content: bytes, at: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, at)
        rest, at = rest[written:], at + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale_drafts(folder: Path) -> None:
    for draft in folder.glob(".*.tmp"):
        try:
            if time.time() - draft.stat().st_mtime > _STALE_S:
                draft.unlink()
        except FileNotFoundError:
            pass
