"""A lane: the click buffer of ONE worker process, a memory-mapped file that outlives a kill -9 at any instruction.

    header   512 words   magic, version, id (2), generation, pages, entries, inode, boot id (2), clean, shards;
                         HEAD at word 64, TAIL at word 72
    ring     P pages of  (seq, used, base, 5 spare, C entries of (minute, banner, count));
                         the page of seq s is page s mod P

All words are little-endian u64. Pages TAIL..HEAD-1 are sealed and never change, page HEAD is being filled, the rest is
free; `seq` never repeats within a file. Every change of state is ONE aligned 8-byte store, and nothing before it needs
to be undone:

    a click in a known slot   count += n
    a click in a new slot     minute, banner and count are written first, then `used` is raised      (publish)
    seal                      page HEAD+1 is cleared and given its base first, then HEAD is raised   (commit)
    free                      TAIL is raised

`base` is the sum of all clicks in the pages before this one, so a lane knows what it ever accepted without a second
counter. The owner holds flock on the file and writes from one thread, that of its event loop: `count += n` is not
atomic across threads. Eight aligned bytes are stored and read whole on x86-64 and AArch64; only x86-64 also shows the
stores in order to other processes.
"""

import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from shared.runtime.crash_points import crash_point
from shared.runtime.machine import boot_id, reserve
from shared.settings import SettingsError

MAGIC = 0x3245_4E41_4C4B_4C43
VERSION = 2

#: Word offsets of the header. HEAD and TAIL stand on cache lines of their own (64 bytes = 8 words).
_ID, _GENERATION, _PAGES, _ENTRIES, _INODE, _BOOT, _CLEAN, _SHARDS, _HEAD, _TAIL, _RING = (
    2,
    4,
    5,
    6,
    7,
    8,
    10,
    11,
    64,
    72,
    512,
)
#: Word offsets in a page.
_SEQ, _USED, _BASE, _FIRST = 0, 1, 2, 8
#: Words of one entry: minute, banner, count.
_ENTRY = 3

#: Largest banner id: the largest integer that JSON and Lua numbers (IEEE 754 doubles) hold exactly.
BANNER_MAX = 2**53 - 1
#: Seconds after which a half-made lane file of a dead creator is removed.
_STALE_S = 60

log = structlog.get_logger()


class BadLane(Exception):
    """The file cannot be trusted as a lane, so it must not be drained."""


class Page(NamedTuple):
    """The entries of one page: three lists of equal length."""

    minutes: list[int]
    banners: list[int]
    counts: list[int]


def banner_id(text: str) -> int:
    """The id that `text` writes in canonical decimal. Raises ValueError for anything else, other scripts' digits
    included."""
    if not (text.isascii() and text.isdigit()) or text[0] == "0" or len(text) > 16 or int(text) > BANNER_MAX:
        raise ValueError(text[:40])
    return int(text)


class View:
    """Read-only access to any lane file, also while its owner writes. Raises BadLane when it is no lane of this
    version."""

    _access = mmap.ACCESS_READ

    def __init__(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size < _RING * 8:
            raise BadLane("too short")
        self._map = mmap.mmap(descriptor, size, access=self._access)
        self._bytes = memoryview(self._map)
        self._words = words = self._bytes.cast("Q")
        self.pages, self.entries = words[_PAGES], words[_ENTRIES]
        self._page_words = _FIRST + _ENTRY * self.entries
        if (words[0], words[1]) != (MAGIC, VERSION) or len(words) != _RING + self.pages * self._page_words:
            self.close()
            raise BadLane("not a lane of this version")
        self.id = f"{words[_ID]:016x}{words[_ID + 1]:016x}"
        self.inode = words[_INODE]

    @property
    def head(self) -> int:
        """Sequence number of the page that is being filled."""
        return self._words[_HEAD]

    @property
    def shards(self) -> int:
        """Number of shards among which the lane found its own, for ever; 0 in a file that no owner has noted it in."""
        return self._words[_SHARDS]

    @property
    def tail(self) -> int:
        """Sequence number of the oldest page that is not yet known to be in Redis."""
        return self._words[_TAIL]

    def page(self, seq: int) -> Page:
        """Return what page `seq` holds now."""
        at = self._at(seq)
        used = min(self._words[at + _USED], self.entries)
        entries = self._words[at + _FIRST : at + _FIRST + _ENTRY * used].tolist()
        return Page(entries[0::3], entries[1::3], entries[2::3])

    def waiting(self) -> Iterator[tuple[int, Page]]:
        """(seq, page) of everything that is not yet known to be in Redis, oldest first."""
        for seq in range(self.tail, self.head + 1):
            yield seq, self.page(seq)

    def accepted(self) -> int:
        """Clicks this lane ever took."""
        while True:  # the page may be sealed between the two reads
            head = self.head
            total = self._words[self._at(head) + _BASE] + sum(self.page(head).counts)
            if self.head == head:
                return total

    def drained(self) -> int:
        """Clicks of this lane that are known to be in Redis."""
        while True:
            tail = self.tail
            total = self._words[self._at(tail) + _BASE]
            if self.tail == tail:
                return total

    def pending(self) -> int:
        """Clicks that are not yet known to be in Redis."""
        return max(0, self.accepted() - self.drained())

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._bytes.release()
        self._map.close()

    def _at(self, seq: int) -> int:
        return _RING + seq % self.pages * self._page_words


class Lane(View):
    """A lane that this process owns and writes. `gate` is asked before a banner gets its first slot in a page and
    refuses by raising."""

    _access = mmap.ACCESS_WRITE

    def __init__(self, path: Path, descriptor: int, minute_s: int, shards: int) -> None:
        super().__init__(descriptor)
        self.path = path
        self.gate: Callable[[int, int], None] | None = None
        #: Called when an empty page gets its first entry: there is something to drain again.
        self.stirred: Callable[[], None] | None = None
        self._descriptor = descriptor
        self._minute_s = minute_s
        try:
            self._check()
            check_shards(path.parent, self.shards, shards)
        except (BadLane, SettingsError):
            View.close(self)
            raise
        words = self._words
        words[_CLEAN] = 0
        words[_BOOT], words[_BOOT + 1] = boot_id()
        words[_GENERATION] += 1
        words[_SHARDS] = words[_SHARDS] or shards
        self._open()
        self.seal()  # what a former owner left goes first, under a seq of its own
        self._roll()

    def _check(self) -> None:
        words = self._words
        if words[_INODE] != os.fstat(self._descriptor).st_ino:
            raise BadLane("a copy of another lane")  # two writers under one id would hide each other's pages
        if (words[_BOOT], words[_BOOT + 1]) != boot_id() and not words[_CLEAN]:
            raise BadLane("the host went down with it")  # its pages may be of different ages
        if not 0 <= self.head - self.tail < self.pages:
            raise BadLane("inconsistent")
        if any(words[self._at(seq)] != seq for seq in range(self.tail, self.head + 1)):
            raise BadLane("inconsistent")

    # -- clicks ----------------------------------------------------------------------------------------------------

    def add(self, banner: str, n: int = 1) -> bool:
        """Count n clicks of the banner, written in canonical decimal, in the current minute.

        True: kept for good. False: the ring is full and nothing was counted. Raises ValueError when it is no id, and
        what `gate` raises.
        """
        if not self._starts <= time.time() < self._ends:
            self._roll()
        slot = self._slots.get(banner)
        if slot is None:
            return self._add_new(banner, n)
        self._words[slot] += n
        return True

    def _add_new(self, banner: str, n: int) -> bool:
        number = banner_id(banner)
        if self.gate is not None:
            self.gate(self._minute, number)
        if self._used == self.entries and not self.seal():
            return False
        self._slots[banner] = self._publish(self._minute, number, n)
        return True

    def add_all(self, clicks: Mapping[tuple[int, int], int]) -> bool:
        """Count {(minute, banner): n} of valid ids in any minutes. False: they do not all fit, and nothing was counted.

        `gate` is asked for each banner, with the current minute; what it raises leaves nothing counted either.
        """
        if len(clicks) > self._room():
            return False
        if self.gate is not None:
            now = int(time.time()) // self._minute_s
            for _, banner in clicks:
                self.gate(now, banner)
        for (minute, banner), n in clicks.items():
            self._add_at(minute, banner, n)
        return True

    def _add_at(self, minute: int, banner: int, n: int) -> None:
        slot = self._slots_at.get((minute, banner))
        if slot is not None:
            self._words[slot] += n
            return
        if self._used == self.entries:
            self.seal()  # there is a free page: the caller has looked
        self._slots_at[minute, banner] = self._publish(minute, banner, n)

    def _room(self) -> int:
        """New entries that fit before the ring is full."""
        free_pages = self.pages - 1 - (self.head - self.tail)
        return self.entries - self._used + free_pages * self.entries

    def _publish(self, minute: int, banner: int, n: int) -> int:
        words, slot = self._words, self._page_at + _FIRST + _ENTRY * self._used
        words[slot] = minute
        words[slot + 1] = banner
        words[slot + 2] = n
        crash_point("written")
        self._used += 1
        words[self._page_at + _USED] = self._used
        if self._used == 1 and self.stirred is not None:
            self.stirred()
        return slot + 2

    def _roll(self) -> None:
        self._minute = int(time.time()) // self._minute_s
        self._starts = self._minute * self._minute_s
        self._ends = self._starts + self._minute_s
        self._slots: dict[str, int] = {}

    # -- pages -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._page_at = self._at(self.head)
        self._used = self._words[self._page_at + _USED]
        self._slots = {}
        self._slots_at: dict[tuple[int, int], int] = {}

    def seal(self) -> bool:
        """Close the page that is being filled. False: it is empty, or no page is free."""
        words, seq = self._words, self.head + 1
        if not self._used or seq - self.tail >= self.pages:
            return False
        at = self._at(seq)
        words[at + _USED] = 0
        words[at + _BASE] = self.total(seq - 1)
        words[at + _SEQ] = seq
        words[_HEAD] = seq
        self._open()
        return True

    def is_empty(self) -> bool:
        """Return whether the page that is being filled is empty."""
        return self._used == 0

    def total(self, seq: int) -> int:
        """Clicks in all pages up to and with `seq`."""
        return self._words[self._at(seq) + _BASE] + sum(self.page(seq).counts)

    def blob(self, seq: int) -> bytes:
        """The entries of a sealed page as they travel to Redis: little-endian u64 (minute, banner, count), one after
        the other."""
        at = self._at(seq)
        return bytes(self._bytes[8 * (at + _FIRST) : 8 * (at + _FIRST + _ENTRY * self._words[at + _USED])])

    def free(self, seq: int) -> None:
        """Give the oldest sealed page back. Call it when Redis is known to have applied it, never before."""
        if seq != self.tail or seq >= self.head:
            raise AssertionError(f"page {seq} is not the oldest sealed page")
        self._words[_TAIL] = seq + 1

    # -- the file --------------------------------------------------------------------------------------------------

    def is_linked(self) -> bool:
        """False once somebody deleted or replaced the file under its name."""
        try:
            return os.stat(self.path).st_ino == self.inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Write everything to disk, mark the file as closed cleanly, and let go of the lock."""
        self._map.flush()
        self._words[_CLEAN] = 1
        self._map.flush()
        super().close()
        os.close(self._descriptor)

    @classmethod
    def create(cls, folder: Path, *, minute_s: int, pages: int, entries: int, shards: int = 1) -> Self:
        """Create a lane. The file appears under its name complete and locked. Raises OSError when the disk is full."""
        draft = folder / f".{os.getpid()}-{secrets.token_hex(4)}.tmp"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _format(descriptor, pages, entries)
            return cls(_link(draft, folder), descriptor, minute_s, shards)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            draft.unlink()

    @classmethod
    def adopt(cls, path: Path, *, minute_s: int, shards: int = 1) -> Self | None:
        """Take over a lane that nobody holds; None if somebody does. A file that cannot be trusted is put aside.

        Raises SettingsError for one that began with more shards than are set.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # the name still means what we locked
                return cls(path, descriptor, minute_s, shards)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BadLane as error:
            put_aside(path, str(error))
        except SettingsError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @classmethod
    def acquire(cls, folder: Path, *, minute_s: int, pages: int, entries: int, shards: int = 1) -> Self:
        """Return a lane for a starting worker: one that nobody holds, or a new one. Raises SettingsError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale_drafts(folder)
        for path in paths(folder):
            if (lane := cls.adopt(path, minute_s=minute_s, shards=shards)) is not None:
                return lane
        return cls.create(folder, minute_s=minute_s, pages=pages, entries=entries, shards=shards)


def _format(descriptor: int, pages: int, entries: int) -> None:
    page_words = _FIRST + _ENTRY * entries
    size = 8 * (_RING + pages * page_words)
    reserve(descriptor, size)  # a full disk must be an error now, not SIGBUS at a click
    with mmap.mmap(descriptor, size) as mapping, memoryview(mapping) as raw, raw.cast("Q") as words:
        words[0], words[1], words[_PAGES], words[_ENTRIES] = MAGIC, VERSION, pages, entries
        words[_ID], words[_ID + 1] = secrets.randbits(64), secrets.randbits(64)
        words[_INODE] = os.fstat(descriptor).st_ino
        words[_BOOT], words[_BOOT + 1] = boot_id()
        words[_HEAD] = words[_TAIL] = words[_RING + page_words + _SEQ] = 1


def _link(draft: Path, folder: Path) -> Path:
    number = 0
    while True:
        try:
            os.link(draft, path := folder / f"{number}.lane")
        except FileExistsError:
            number += 1
        else:
            return path


def _remove_stale_drafts(folder: Path) -> None:
    for draft in folder.glob(".*.tmp"):
        try:
            if time.time() - draft.stat().st_mtime > _STALE_S:
                draft.unlink()
        except FileNotFoundError:
            pass


def put_aside(path: Path, reason: str) -> None:
    """Keep an untrusted file for a person to look at, out of everybody's way."""
    target = path.with_name(f"{path.name}.bad-{time.time_ns()}")
    try:
        path.rename(target)
    except FileNotFoundError:
        return  # another worker was quicker
    log.error("lane_put_aside", file=target.name, reason=reason)


def check_shards(folder: Path, began_with: int, shards: int) -> None:
    """Raise SettingsError where fewer shards are set than lanes began with: nobody would flush those above."""
    if began_with > shards:
        raise SettingsError(
            f"TALLYBOOK_SHARDS={shards} is less than the {began_with} that lanes in {folder} began with: set it to "
            f"{began_with} or more, and never lower it."
        )


def paths(folder: Path) -> list[Path]:
    """Return the lane files of a folder, in a stable order."""
    return [folder / name for name in sorted(os.listdir(folder)) if name.endswith(".lane")] if folder.is_dir() else []
