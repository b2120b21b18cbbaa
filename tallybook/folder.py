"""The data folder: one copy of the stack at a time, and only the builds that may open what lies in it.

lock            flock of the process that owns the folder; its text names the holder
lock.servers    flock that the servers inherit: free only when the last of them is gone
embedded.json   which builds wrote the servers' files, and as whom
stack.json      the addresses of the stack that runs now
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from tallybook.exits import Exit, Stop

#: Seconds that servers of a former run may take to go by themselves, and after which a start gives up on them.
_ORPHANS_KILLED_AFTER_S, _ORPHANS_GIVEN_UP_AFTER_S = 5.0, 15.0

log = structlog.get_logger()


class DataFolder:
    """The folder of one stack. `take` it before anything else and `release` it last."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._locks: list[int] = []
        #: Descriptor that servers inherit.
        self.servers_lock = -1

    def take(self) -> None:
        """Become the owner, and wait until no server of a former run is left. Raises Stop when somebody else owns
        it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            owner = self._open("lock")
        except OSError as error:
            message = f"The data folder {self.path} cannot be written ({error.strerror}): name another with --data-dir."
            raise Stop(Exit.FOLDER_UNWRITABLE, message) from None
        if not _try_flock(owner):
            holder = os.pread(owner, 200, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            message = f"The data folder {self.path} is in use ({holder}): stop that copy, or name another folder."
            raise Stop(Exit.FOLDER_IN_USE, message)
        os.ftruncate(owner, 0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(owner, f"pid {os.getpid()} on {os.uname().nodename} since {now}\n".encode(), 0)
        self.servers_lock = self._open("lock.servers")
        self._wait_for_former_servers()

    def release(self) -> None:
        """Let the next owner in."""
        while self._locks:
            os.close(self._locks.pop())

    def _open(self, name: str) -> int:
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600)
        self._locks.append(descriptor)
        return descriptor

    def _wait_for_former_servers(self) -> None:
        began, is_killed = time.monotonic(), False
        while not _try_flock(self.servers_lock):
            waited = time.monotonic() - began
            if waited > _ORPHANS_KILLED_AFTER_S and not is_killed:
                self._kill_orphans()
                is_killed = True
            if waited > _ORPHANS_GIVEN_UP_AFTER_S:
                raise Stop(
                    Exit.FOLDER_IN_USE, f"Servers of a former run still hold {self.path}: end them, then repeat."
                )
            time.sleep(0.02)

    def _kill_orphans(self) -> None:
        """SIGKILL what works inside our folders: a busy backend outlives its parent and its postmaster."""
        ours = [self.path.resolve() / name for name in ("pg", "redis")]
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look at
                if Path(os.readlink(process / "cwd")) in ours:
                    log.warning("orphan_killed", pid=int(process.name))
                    os.kill(int(process.name), signal.SIGKILL)

    # -- notes -----------------------------------------------------------------------------------------------------

    def read(self, name: str) -> dict[str, Any]:
        """A note in JSON; empty when there is none."""
        try:
            noted: dict[str, Any] = json.loads((self.path / name).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return noted

    def write(self, name: str, note: dict[str, Any]) -> None:
        """Replace a note, whole or not at all."""
        draft = self.path / f"{name}.new"
        draft.write_text(json.dumps(note, indent=1))
        draft.replace(self.path / name)

    def is_taken(self) -> bool:
        """Whether somebody owns the folder now."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
