"""Records that wait in a file: a record whose call has returned survives kill -9 of its process.

The folder has one file `<pid>-<random>.db` for each process, and beside it a `.lock` that is held while the process
lives. A file whose lock is free is an orphan: the next process that finds it sends what it holds, in place, and removes
it. A power cut may lose the last records (SQLite in WAL mode with synchronous=NORMAL), and the disk has to be local.

    item     what waits                          batch    what was cut: its bytes are here before they are sent

Cutting moves items into a batch in one transaction. `first_sent_ms` is committed before the socket is touched.
"""

import logging
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4

from tallybook_sdk.outbox.ids import random_id
from tallybook_sdk.sending.batch import (
    CLICKS,
    COUNT_MAX,
    ROUTES,
    Batch,
    Cell,
    Entry,
    Instant,
    Route,
    cell_items,
)
from tallybook_sdk.sending.queue import Bounds

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

T = TypeVar("T")

logger = logging.getLogger("tallybook_sdk")

#: A record writes one page: it has no index beside the table, and no row that counts ids.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    route TEXT NOT NULL, id INTEGER NOT NULL, n INTEGER NOT NULL,
    kind TEXT, banner INTEGER, minute INTEGER, is_given INTEGER, at REAL, body BLOB,
    PRIMARY KEY (route, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY, route TEXT NOT NULL, serial INTEGER NOT NULL, n INTEGER NOT NULL,
    items INTEGER NOT NULL, body BLOB NOT NULL, first_sent_ms INTEGER);
"""
_ADD = "INSERT INTO item (route, id, n, kind, banner, minute, is_given, at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: Bytes on the disk of a record beside its body, about.
_RECORD_BYTES = 64
#: Clicks come a row each and are added up when they are cut: so many rows for an item.
_ROWS_PER_ITEM = 10
#: Milliseconds that a statement waits for the other connection of this process.
_BUSY_MS = 5_000

_BY_NAME = {route.name: route for route in ROUTES}


class _Waiting:
    """What waits of one route in one file."""

    __slots__ = ("bytes", "first_at", "rows", "sealed", "weight")

    def __init__(self) -> None:
        self.rows = self.bytes = 0
        #: Batches included.
        self.weight = 0
        self.first_at: float | None = None
        #: The id up to which rows are cut at once.
        self.sealed = 0


class _Adopted(NamedTuple):
    batches: list[Batch]
    weights: dict[Route, int]


class _File:
    """One file and its lock."""

    def __init__(self, path: Path, lock: int, bounds: Bounds) -> None:
        self.path, self._lock, self._bounds = path, lock, bounds
        self.waiting = {route: _Waiting() for route in ROUTES}
        #: Batches of this file by their id.
        self.batches: dict[int, Batch] = {}
        self.database = self._opened()
        self.database.executescript(_SCHEMA)
        #: The id of the last record of this process. Files of former ones get no more.
        self._last = 0
        #: Checkpoints, so that the first connection never waits for the disk.
        self.second: sqlite3.Connection | None = None

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=0")  # `tend` does it, so no caller waits for the disk
        return database

    def add(self, entry: Entry, mono: float) -> bool:
        """Write a record. Return True if the next batch is due at another moment than before."""
        cell = entry.cell
        columns = (None,) * 5 if cell is None else (cell.kind, cell.banner, cell.minute, cell.is_given, entry.at)
        self.database.execute(_ADD, (entry.route.name, self._last + 1, entry.weight, *columns, entry.body or None))
        self._last += 1
        waiting = self.waiting[entry.route]
        waiting.rows += 1
        waiting.bytes += len(entry.body) + _RECORD_BYTES
        waiting.weight += entry.weight
        if waiting.first_at is None:
            waiting.first_at = mono
            return True
        return waiting.rows == self._rows_most(entry.route) or self.is_large(waiting)

    def _rows_most(self, route: Route) -> int:
        return self._bounds.batch_items * (_ROWS_PER_ITEM if route is CLICKS else 1)

    def is_large(self, waiting: _Waiting) -> bool:
        return waiting.bytes > self._bounds.batch_bytes + waiting.rows * _RECORD_BYTES

    def due(self, route: Route) -> float | None:
        waiting = self.waiting[route]
        if not waiting.rows or waiting.first_at is None:
            return None
        is_whole = waiting.sealed or waiting.rows >= self._rows_most(route) or self.is_large(waiting)
        return 0.0 if is_whole else waiting.first_at + self._bounds.batch_age_s

    def cut(self, route: Route, offset_s: float, now: Instant) -> Batch | None:
        """Move the first items into a batch."""
        sql = "SELECT id, n, kind, banner, minute, is_given, at, body FROM item WHERE route = ? ORDER BY id LIMIT ?"
        cells: dict[Cell, tuple[int, float]] = {}
        items: list[bytes] = []
        sealed = self.waiting[route].sealed or sys.maxsize
        taken = weight = length = size = last = 0
        for id, n, kind, banner, minute, is_given, at, body in self.database.execute(
            sql, (route.name, self._rows_most(route))
        ):
            cell = None if body is not None else Cell(kind, banner, minute, bool(is_given))
            count, first_at = cells.get(cell, (0, at)) if cell else (0, at)
            if id > sealed or (count and count + n > COUNT_MAX):
                break
            if not count:
                grown = length + (160 if body is None else len(body) + 1)
                if taken and (len(items) + len(cells) >= self._bounds.batch_items or grown > self._bounds.batch_bytes):
                    break
                length = grown
            if cell:
                cells[cell] = (count + n, first_at)
            else:
                items.append(body)
            taken, weight, last = taken + 1, weight + n, id
            size += len(body or b"") + _RECORD_BYTES
        if not taken:
            return None
        items += cell_items([(cell, n, at) for cell, (n, at) in cells.items()], random_id().hex, offset_s)
        batch = Batch.of(route, last, items, weight, size)
        with _Transaction(self.database):
            self.database.execute("DELETE FROM item WHERE route = ? AND id <= ?", (route.name, last))
            self._insert(batch)
        waiting = self.waiting[route]
        waiting.rows -= taken
        waiting.bytes -= size
        waiting.first_at = now.mono if waiting.rows else None
        if not waiting.rows or last >= waiting.sealed:
            waiting.sealed = 0
        return batch

    def _insert(self, batch: Batch) -> None:
        sql = "INSERT INTO batch (route, serial, n, items, body, first_sent_ms) VALUES (?, ?, ?, ?, ?, ?)"
        sent_ms = None if batch.first_sent is None else int(batch.first_sent.wall * 1000)
        columns = (batch.route.name, batch.serial, batch.weight, batch.items, batch.body, sent_ms)
        batch.id = self.database.execute(sql, columns).lastrowid or 0
        batch.home = self
        self.batches[batch.id] = batch

    def mark(self, batch: Batch) -> None:
        sent_ms = None if batch.first_sent is None else int(batch.first_sent.wall * 1000)
        self.database.execute("UPDATE batch SET first_sent_ms = ? WHERE id = ?", (sent_ms, batch.id))

    def split(self, batch: Batch) -> Sequence[Batch]:
        halves = batch.halves()
        with _Transaction(self.database):
            self._delete(batch)
            for half in halves:
                self._insert(half)
        return halves

    def done(self, batch: Batch) -> None:
        self._delete(batch)
        self.waiting[batch.route].weight -= batch.weight

    def _delete(self, batch: Batch) -> None:
        self.database.execute("DELETE FROM batch WHERE id = ?", (batch.id,))
        del self.batches[batch.id]

    def seal(self, route: Route) -> int:
        found = self.database.execute("SELECT max(id) FROM item WHERE route = ?", (route.name,)).fetchone()[0]
        serial: int = found or 0
        self.waiting[route].sealed = serial
        cut = [batch.serial for batch in self.batches.values() if batch.route is route]
        return max([serial, *cut])

    def is_settled(self, route: Route, serial: int) -> bool:
        sql = "SELECT 1 FROM item WHERE route = ? AND id <= ? LIMIT 1"
        if any(batch.route is route and batch.serial <= serial for batch in self.batches.values()):
            return False
        return self.database.execute(sql, (route.name, serial)).fetchone() is None

    def load(self, now: Instant) -> _Adopted:
        """Take over what a former process left."""
        batches = []
        for id, name, serial, n, items, body, sent_ms in self.database.execute(
            "SELECT id, route, serial, n, items, body, first_sent_ms FROM batch ORDER BY id"
        ).fetchall():
            batch = Batch(_BY_NAME[name], serial, body, items, n)
            batch.id, batch.home = id, self
            if sent_ms is not None:
                batch.attempts = 1
                age_s = now.wall - sent_ms / 1000
                mono = now.mono - age_s if age_s >= 0 else float("-inf")  # a clock that went back says nothing
                batch.first_sent = Instant(mono, sent_ms / 1000)
            self.batches[id] = batch
            self.waiting[batch.route].weight += n
            batches.append(batch)
        sql = "SELECT route, count(*), sum(n), sum(length(body)), max(id) FROM item GROUP BY route"
        for name, rows, weight, length, last in self.database.execute(sql).fetchall():
            waiting = self.waiting[_BY_NAME[name]]
            waiting.rows, waiting.first_at, waiting.sealed = rows, now.mono, last
            waiting.bytes = (length or 0) + rows * _RECORD_BYTES
            waiting.weight += weight
        return _Adopted(batches, {route: one.weight for route, one in self.waiting.items()})

    def tend(self) -> None:
        """Move the log of SQLite into its file, over a connection of its own, while callers go on writing."""
        with suppress(sqlite3.DatabaseError):
            if self.second is None:
                self.second = self._opened()
            self.second.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @property
    def is_empty(self) -> bool:
        return not self.batches and not any(one.rows for one in self.waiting.values())

    def close(self, *, is_bad: bool = False) -> None:
        """Close it, and remove it if nothing is left."""
        is_empty = self.is_empty and not is_bad
        for connection in (self.second, self.database):
            with suppress(sqlite3.Error):
                if connection is not None:
                    connection.close()
        if is_bad:
            with suppress(OSError):
                self.path.rename(self.path.with_suffix(".bad"))
        if is_empty or is_bad:
            for ending in ("", "-wal", "-shm"):
                with suppress(OSError):
                    os.unlink(f"{self.path}{ending}")
            with suppress(OSError):
                os.unlink(_lock_of(self.path))
        os.close(self._lock)


class _Transaction:
    """All of it or nothing."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")


class Spool:
    """Keep records in a file of this process, and send those of processes that are gone."""

    is_durable = True

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self._folder, self._bounds = folder, bounds
        self._pid = os.getpid()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own = self._created()
        self._orphans: list[_File] = []
        #: Records of this process that a damaged file took along.
        self.lost: Counter[Route] = Counter()

    def _created(self) -> _File:
        while True:
            path = self._folder / f"{self._pid}-{uuid4().hex[:12]}.db"
            lock = _locked(path)
            if lock is not None:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                _mine.add((self._pid, path))
                return _File(path, lock, self._bounds)

    def add(self, entry: Entry, mono: float) -> bool | None:
        """Write a record. Return None if the spool or the disk is full."""
        used = sum(waiting.bytes for waiting in self._own.waiting.values())
        if used + len(entry.body) + _RECORD_BYTES > self._bounds.max_bytes:
            return None
        try:
            return self._own.add(entry, mono)
        except sqlite3.OperationalError:  # the disk is full, or cannot be written
            return None
        except sqlite3.DatabaseError:
            self._rescue()
            return self._own.add(entry, mono)

    def due(self, route: Route) -> float | None:
        """Return when the next batch may be cut; None without records."""
        return min((due for one in self._files() if (due := one.due(route)) is not None), default=None)

    def cut(self, route: Route, offset_s: float, now: Instant) -> Batch | None:
        """Move records into a batch, those of former processes first."""
        for one in self._files():
            try:
                if one.due(route) is not None and (batch := one.cut(route, offset_s, now)):
                    return batch
            except sqlite3.OperationalError as error:
                logger.error("the spool cannot be written: %s", error)
            except sqlite3.DatabaseError:
                self._rescue()
        return None

    def _files(self) -> list[_File]:
        return [*self._orphans, self._own]

    def mark(self, batch: Batch) -> None:
        """Note when the batch was first sent, before it is."""
        self._do(batch, _File.mark)

    def split(self, batch: Batch) -> Sequence[Batch]:
        """Put two batches in the place of one."""
        return self._do(batch, _File.split)

    def done(self, batch: Batch) -> None:
        """Forget a batch that is settled, and an orphan that has nothing more."""
        self._do(batch, _File.done)
        home: _File = batch.home
        if home is not self._own and home.is_empty:
            self._orphans.remove(home)
            home.close()

    def _do(self, batch: Batch, act: Callable[[_File, Batch], T]) -> T:
        """Do that in the file of a batch, and in a new file if it is damaged."""
        home: _File = batch.home
        try:
            return act(home, batch)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            if home is not self._own:
                raise
            self._rescue()
            return act(self._own, batch)

    def seal(self, route: Route) -> int:
        """Let what is here be cut at once. Return the serial number of the last of it."""
        return self._own.seal(route)

    def is_settled(self, route: Route, serial: int) -> bool:
        """Return whether nothing waits of what this process had recorded when `seal` returned this number."""
        return self._own.is_settled(route, serial)

    def drain(self, route: Route) -> int:
        """Drop nothing: the next process sends it."""
        return 0

    def weight(self, route: Route) -> int:
        """Return what waits, batches and orphans included."""
        return sum(one.waiting[route].weight for one in self._files())

    def oldest(self, route: Route) -> float | None:
        """Return since when records wait, as far as this process knows."""
        sent = [one.first_sent.mono for file in self._files() for one in file.batches.values() if one.first_sent]
        waiting = [one.waiting[route].first_at for one in self._files()]
        return min([at for at in (*waiting, *sent) if at is not None and at != float("-inf")], default=None)

    def has_orphans(self) -> bool:
        """Return whether there are files of other processes, living or gone."""
        return bool(self._foreign())

    def _foreign(self) -> list[Path]:
        return [path for path in sorted(self._folder.glob("*.db")) if (os.getpid(), path) not in _mine]

    def adopt(self, now: Instant) -> tuple[list[Batch], dict[Route, int]]:
        """Take over the files of processes that are gone. Return their batches, and what came in all."""
        batches: list[Batch] = []
        weights: dict[Route, int] = dict.fromkeys(ROUTES, 0)
        for path in self._foreign():
            lock = _locked(path)
            if lock is None:
                continue
            if not path.exists():  # its process has just ended in order
                _lock_of(path).unlink(missing_ok=True)
                os.close(lock)
                continue
            try:
                one = _File(path, lock, self._bounds)
                adopted = one.load(now)
            except sqlite3.DatabaseError as error:
                logger.error("a file of the spool is damaged and was renamed to .bad: %s", error)
                _renamed(path, lock)
                continue
            if one.is_empty:
                one.close()
                continue
            _mine.add((os.getpid(), path))
            self._orphans.append(one)
            batches += adopted.batches
            for route, weight in adopted.weights.items():
                weights[route] += weight
        return batches, weights

    def _rescue(self) -> None:
        """Begin a new file with the batches in flight when this one is damaged."""
        damaged = self._own
        flying = list(damaged.batches.values())
        for route, waiting in damaged.waiting.items():
            self.lost[route] += waiting.weight - sum(one.weight for one in flying if one.route is route)
        damaged.close(is_bad=True)
        logger.error("the file of the spool is damaged and was renamed to .bad")
        self._own = self._created()
        for batch in flying:
            self._own._insert(batch)
            self._own.waiting[batch.route].weight += batch.weight

    def tend(self) -> None:
        """Do what no caller should wait for."""
        self._own.tend()

    def forked(self) -> None:
        """Never touch the parent's handles: closing one here would write into the parent's file."""
        with suppress(Exception):  # no ctypes
            import ctypes

            for one in self._files():
                for connection in (one.database, one.second):
                    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # so that nothing ever closes it

    def close(self) -> None:
        """Close the files. What they hold waits for the next process."""
        for one in self._files():
            one.close()
            _mine.discard((self._pid, one.path))


#: Files of this process: a lock of the process itself would not keep it off them.
_mine: set[tuple[int, Path]] = set()


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _locked(path: Path) -> int | None:
    """Return the descriptor of a lock that is held now, or None if another process holds it.

    `lockf` and not `flock`: a forked child does not inherit it.
    """
    descriptor = os.open(_lock_of(path), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _renamed(path: Path, lock: int) -> None:
    with suppress(OSError):
        path.rename(path.with_suffix(".bad"))
    for ending in ("-wal", "-shm"):
        with suppress(OSError):
            os.unlink(f"{path}{ending}")
    with suppress(OSError):
        os.unlink(_lock_of(path))
    os.close(lock)
