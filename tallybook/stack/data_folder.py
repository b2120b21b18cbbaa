"""Own the data folder: one stack at a time, and only builds that can open its files.

lock            flock of the owner; its text names the holder. Processes without embedded servers share it, and each of
                them owns a folder `replica-<n>` with all of the below
lock.servers    flock that the servers inherit: free once the last of them is gone
embedded.json   which builds wrote the servers' files, and as whom
stack.json      the addresses of the stack that runs now
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from tallybook.exits import Exit, Stop

#: Seconds after which servers of an earlier run are killed, and after which a start gives up.
_ORPHANS_KILLED_AFTER_S, _ORPHANS_GIVEN_UP_AFTER_S = 5.0, 15.0
#: Seconds to wait for a lock that `is_taken` of another process holds for a moment.
_LOOK_OF_OTHERS_S = 0.1
#: Programs that may be killed as orphans. A shell in such a folder stays.
_PROGRAMS = frozenset({"postgres", "valkey-server", "redis-server"})

log = structlog.get_logger()


class DataFolder:
    """The folder of one stack, or of several without servers (`is_shared`). `take` it first, `release` it last."""

    def __init__(self, path: str | os.PathLike[str], *, is_shared: bool = False) -> None:
        #: Folder of lanes and journals.
        self.common = Path(path).absolute()
        #: Folder of everything with one owner; in a shared folder it is known after `take`.
        self.path = self.common
        self._is_shared = is_shared
        self._locks: list[int] = []
        #: Descriptor that servers inherit.
        self.servers_lock = -1

    def take(self, check: Callable[[], None] = lambda: None) -> None:
        """Become the owner, and wait until the servers of an earlier run are gone. It calls `check` while it waits.

        Raises Stop if somebody else owns the folder, or if it cannot be written.
        """
        try:
            self._make()
            owner, self.servers_lock = self._open("lock"), self._open("lock.servers")
        except OSError as error:
            self.release()
            message = f"The data folder {self.path} cannot be written ({error.strerror}): name another with --data-dir."
            raise Stop(Exit.FOLDER_UNWRITABLE, message) from None
        if not _try_flock(owner, _LOOK_OF_OTHERS_S, fcntl.LOCK_SH if self._is_shared else fcntl.LOCK_EX):
            holder = os.pread(owner, 200, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            message = f"The data folder {self.path} is in use ({holder}): stop that copy, or name another folder."
            raise Stop(Exit.FOLDER_IN_USE, message)
        if self._is_shared:
            owner = self._take_replica()
        os.ftruncate(owner, 0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(owner, f"pid {os.getpid()} on {os.uname().nodename} since {now}\n".encode(), 0)
        self._wait_for_former_servers(check)

    def _take_replica(self) -> int:
        """Own the first replica folder that is free, and return the descriptor of its lock."""
        for number in count():
            self.path = self.common / f"replica-{number}"
            self.path.mkdir(mode=0o700, exist_ok=True)
            if _try_flock(owner := self._open("lock")):
                return owner
            os.close(self._locks.pop())
        raise AssertionError("unreachable")

    @property
    def is_ours(self) -> bool:
        """Return whether this process is the owner."""
        return bool(self._locks)

    def release(self) -> None:
        """Let the next owner in."""
        while self._locks:
            os.close(self._locks.pop())

    def _make(self) -> None:
        """Make the folder and close it: nobody else lists it, and only the servers' users enter it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        if self.path.stat().st_uid == os.geteuid():
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def _open(self, name: str) -> int:
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._locks.append(descriptor)
        return descriptor

    def _wait_for_former_servers(self, check: Callable[[], None]) -> None:
        began, is_killed = time.monotonic(), False
        # Processes of a shared folder embed no servers and hold it together.
        kind = fcntl.LOCK_SH if self._is_shared else fcntl.LOCK_EX
        while not _try_flock(self.servers_lock, kind=kind):
            check()
            waited = time.monotonic() - began
            if waited > _ORPHANS_KILLED_AFTER_S and not is_killed:
                self.kill_orphans("redis", "pg")
                is_killed = True
            if waited > _ORPHANS_GIVEN_UP_AFTER_S:
                raise Stop(
                    Exit.FOLDER_IN_USE, f"Servers of a former run still hold {self.path}: end them, then repeat."
                )
            time.sleep(0.02)

    def kill_orphans(self, *names: str) -> None:
        """Send SIGKILL to server processes that work in these folders.

        A busy backend outlives its postmaster and keeps the next one from starting."""
        ours = [self.path.resolve() / name for name in names]
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                program = Path(os.readlink(process / "exe")).name.removesuffix(" (deleted)")
                if program in _PROGRAMS and Path(os.readlink(process / "cwd")) in ours:
                    log.warning("orphan_killed", pid=int(process.name))
                    os.kill(int(process.name), signal.SIGKILL)

    # -- notes -----------------------------------------------------------------------------------------------------

    def read(self, name: str) -> dict[str, Any]:
        """Return a note in JSON, or {} if there is none."""
        try:
            noted: dict[str, Any] = json.loads((self.path / name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return noted

    def write(self, name: str, note: dict[str, Any]) -> None:
        """Replace a note atomically. Only this user can read it: addresses may hold passwords."""
        draft = self.path / f"{name}.new"
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(note, file, indent=1)
        draft.replace(self.path / name)

    def remove(self, name: str) -> None:
        """Remove a note, if it exists."""
        with contextlib.suppress(OSError):
            (self.path / name).unlink()

    def taken(self) -> Iterator["DataFolder"]:
        """Yield the folders that somebody owns now: this one, and those of replicas in it."""
        if self.is_taken():
            yield self
        for path in sorted(self.path.glob("replica-*")):
            if (replica := DataFolder(path)).is_taken():
                yield replica

    def is_taken(self) -> bool:
        """Return whether a process owns the folder now."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _try_flock(descriptor: int, patience_s: float = 0.0, kind: int = fcntl.LOCK_EX) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True
