"""Import batches of a file into the table, behind the insert gate, each id once.

An import can be stopped or killed anywhere and run again. A note beside the file holds its position, and the table
tells what came after the note.
"""

import asyncio
import csv
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from msgspec import Struct

from shared.events.columns import PLACED_COLUMNS, Columns, Place, native
from shared.events.insert_gate import IMPORTED, ImportGate
from shared.events.known_ids import Range, content, contents, known
from shared.events.rows import DAY_MS
from shared.events.table import TABLE
from shared.runtime.backoff import Backoff
from shared.runtime.crash_points import crash_point
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse, classify
from shared.stores.postgres import POSTGRES_ERRORS, Pool
from tallybook.imports.event_file import FileBatch, Reading
from tallybook.imports.event_layout import COLUMNS, REJECTED_COLUMNS

#: Seconds of the first and of the longest wait before a step is repeated, and after which a wait is spoken of.
_WAIT_S, _GATE_S, _SAID_S = (0.02, 2.0), (0.02, 0.1), 3.0
#: The table refused an insert that began too late (VIOLATED_CONSTRAINT): take the gate again.
_LATE = 469

log = structlog.get_logger()


class ImportFailed(Exception):
    """The import cannot continue. Run it again once the cause is gone."""


class Counts(Struct):
    """The rows of a file by outcome."""

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    #: Rows that say other things than the event of their id, which is there and counts.
    conflicts: int = 0
    rejected: int = 0
    #: Of the rows that were rejected. Many more than those are what an open quote has hidden.
    rejected_lines: int = 0


class Stored(NamedTuple):
    """The outcome of a batch's events: the others are duplicates."""

    rows: int
    conflicts: int


class Note(Struct):
    """The progress of an import: the file and its options, the lines that are done, and the size of the rejects."""

    size: int
    changed_ns: int
    reading: Reading = Reading()
    lines: int = 0
    rejected_bytes: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)


#: How the names of files with rejected rows end.
REJECTED = ".rejected.csv"


class Beside(NamedTuple):
    """The files beside a file during and after its import."""

    note: Path
    rejected: Path


def beside(path: str) -> Beside:
    """Return the files beside a file; for stdin and devices, those in the working folder."""
    name = "stdin" if path == "-" else Path(path).name if _is_device(path) else path
    return Beside(Path(f"{name}.import.json"), Path(f"{name}{REJECTED}"))


def can_be_resumed(path: str) -> bool:
    """Return whether the path is a file that can be read from the middle, and no pipe."""
    return path != "-" and not _is_device(path) and Path(path).is_file()


def _is_device(path: str) -> bool:
    """Return whether the path names a device, such as /dev/stdin or /dev/fd/3; /dev/shm holds files."""
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")  # noqa: S108 - nothing is put there


class Progress:
    """The note of a file and its rejects, on the disk."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Continue where an earlier import of the same file with the same options ended."""
        self._at = beside(path)
        self._is_kept = can_be_resumed(path)
        stat = Path(path).stat() if self._is_kept else None
        self.note = Note(stat.st_size, stat.st_mtime_ns, reading) if stat else Note(0, 0)
        with suppress(OSError, msgspec.DecodeError):
            former = msgspec.json.decode(self._at.note.read_bytes(), type=Note) if self._is_kept else self.note
            of_file = (self.note.size, self.note.changed_ns, reading)
            if (former.size, former.changed_ns, former.reading) == of_file:
                self.note = former
        if not self.note.rejected_bytes:
            self._at.rejected.unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError), self._at.rejected.open("r+b") as file:
            file.truncate(self.note.rejected_bytes)

    def done(self, batch: FileBatch, stored: Stored) -> None:
        """Note that a batch is in the table, after writing its rejects."""
        note, rejected = self.note, batch.rejected
        if rejected:
            note.rejected_bytes = self._reject(batch)
        counts = note.counts
        counts.read += batch.read
        counts.stored, counts.rejected = counts.stored + stored.rows, counts.rejected + len(rejected)
        counts.rejected_lines += sum(one.lines for one in rejected)
        counts.conflicts += stored.conflicts
        counts.duplicates += len(batch.numbers) - stored.rows - stored.conflicts
        note.lines = batch.lines
        if self._is_kept:
            half = self._at.note.with_name(self._at.note.name + ".new")
            half.write_bytes(msgspec.json.encode(note))
            half.replace(self._at.note)

    def finish(self) -> None:
        """Remove the note, so that the next import reads the whole file."""
        if self._is_kept:
            self._at.note.unlink(missing_ok=True)

    def _reject(self, batch: FileBatch) -> int:
        text = io.StringIO(newline="")
        write = csv.writer(text)
        if not self.note.rejected_bytes:
            write.writerow((*REJECTED_COLUMNS, *COLUMNS))
        for one in batch.rejected:
            write.writerow((one.line, one.code, one.detail, *one.fields))
        with self._at.rejected.open("ab") as file:
            file.write(text.getvalue().encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())  # the note, which says how long it is, comes later
            return file.tell()


class EventImport:
    """Bring the batches of one run into the table."""

    def __init__(self, pool: Pool, clickhouse: ClickHouse, insert_s: float, check: Callable[[], None]) -> None:
        """Import with a `check` that raises when the run has to stop."""
        self._clickhouse = clickhouse
        self._gate = ImportGate(pool, insert_s)
        self._check = check
        self._run = secrets.randbits(63)

    async def all(self, batches: Iterator[FileBatch], progress: Progress, shown: Callable[[FileBatch], None]) -> None:
        """Import all batches. The next one is read while a batch goes into the table."""
        ahead: asyncio.Future[FileBatch | None] = self._read(batches)
        try:
            while (batch := await ahead) is not None:
                ahead = self._read(batches)
                self._check()
                progress.done(batch, await self.store(batch) if batch.numbers else Stored(0, 0))
                crash_point("import_noted")
                shown(batch)
            self._check()
        finally:
            await asyncio.gather(ahead, return_exceptions=True)

    def _read(self, batches: Iterator[FileBatch]) -> "asyncio.Future[FileBatch | None]":
        return asyncio.ensure_future(asyncio.to_thread(next, batches, None))

    async def store(self, batch: FileBatch) -> Stored:
        """Insert the events of a batch that the table does not have. Raises ImportFailed."""
        # The first row of an id counts, so it enters the dictionary last.
        ids = batch.events.ids
        first = dict(zip(reversed(ids), range(len(ids) - 1, -1, -1), strict=True))
        own = Range(IMPORTED, self._run, batch.numbers[0], self._run, batch.numbers[-1] + 1)
        backoff = Backoff(*_WAIT_S)
        while True:
            try:
                before = await self._entered()
                there = await known(self._clickhouse, list(first), own)
                fresh = sorted(at for identity, at in first.items() if identity not in there)
                crash_point("import_sifted")
                if fresh:
                    await self._insert(batch, fresh, before)
                crash_point("import_inserted")
                await self._gate.leave()
                break
            except (*CLICKHOUSE_ERRORS, *POSTGRES_ERRORS) as error:
                if classify(error) in ("setup", "data") and getattr(error, "code", None) != _LATE:
                    raise ImportFailed(f"the table does not take rows: {str(error)[:300]}") from error
                log.warning("import_waits", reason=str(error)[:200] or type(error).__name__)
            self._check()
            await asyncio.sleep(backoff.next_s())
        return Stored(len(fresh), await self._conflicts(batch.events, first, there))

    async def _conflicts(self, events: Columns, first: dict[bytes, int], there: set[bytes]) -> int:
        """Return how many rows differ from the event of their id: the table's, or else the first one of the batch.

        While ClickHouse is away, rows of ids in the table are not compared."""
        repeats = [(at, one) for at, one in enumerate(events.ids) if one in there or first[one] != at]
        stored, is_known = dict[bytes, bytes](), False
        with suppress(*CLICKHOUSE_ERRORS):
            named = {(events.moments[at] // DAY_MS, one) for at, one in repeats if one in there}
            stored, is_known = await contents(self._clickhouse, named), True

        def is_conflict(at: int, one: bytes) -> bool:
            if one in there:
                return is_known and stored.get(one) != content(events, at)
            return content(events, first[one]) != content(events, at)

        return sum(starmap(is_conflict, repeats))

    async def _insert(self, batch: FileBatch, fresh: list[int], before: int) -> None:
        """Insert rows, each with its line as its place, and the time before which the insert has to begin."""
        events, numbers, run = batch.events, batch.numbers, self._run
        token = f"import-{run}-{numbers[0]}-{numbers[-1]}"
        if len(fresh) < len(numbers):
            events, numbers = events.at(fresh), [numbers[at] for at in fresh]
        block = native(events, Place(batch.received_ms, IMPORTED, run, numbers, before))
        await self._clickhouse.insert(TABLE, block, token, "Native", PLACED_COLUMNS)

    async def _entered(self) -> int:
        waited_s, backoff = 0.0, Backoff(*_GATE_S)
        while (before := await self._gate.enter()) is None:
            self._check()
            await asyncio.sleep(wait_s := backoff.next_s())
            if waited_s < _SAID_S <= waited_s + wait_s:
                log.warning("import_waits", reason=f"{await self._gate.holder()} writes into the table")
            waited_s += wait_s
        return before
