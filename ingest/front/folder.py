"""The private folder of a worker's unix socket.

Whoever connects there says which client it speaks for, so nobody else may enter it: mode 0700. It lies in the data
folder, where no cleaner of temporary files looks; a path too long for a socket moves it to the system's temporary
folder. A lock on it shows that its worker lives; the next worker removes those of dead ones.
"""

import fcntl
import itertools
import os
import shutil
import socket
import tempfile
from pathlib import Path

#: Bytes of the longest path of a unix socket (unix(7): 108 with the closing zero).
_PATH_MAX = 107
_PREFIX = "front-"
#: Where a process finds what a descriptor of its own means.
_DESCRIPTORS = Path("/proc/self/fd")


class Folder:
    """One worker's folder. `close` removes it."""

    def __init__(self, parent: Path) -> None:
        parent = parent.resolve()
        if len(os.fsencode(parent)) + len(_PREFIX) + 16 > _PATH_MAX:
            parent = Path(tempfile.gettempdir())
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(parent)
        self.path, self._descriptor = _made(parent)
        #: The socket on which Granian listens.
        self.socket = self.path / "s"
        short = _DESCRIPTORS / str(self._descriptor)
        # The name of a client's end may be longer than what the folder's path leaves of 107 bytes.
        self._names = str(short if short.is_dir() else self.path)
        self._count = itertools.count()

    def connected(self, host: str, port: int) -> socket.socket:
        """Return a connection to Granian whose own name says the client. Raises OSError."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name = f"{self._names}/{next(self._count)}@{host}@{port}"
        try:
            end.setblocking(False)
            end.bind(name)
            try:
                end.connect(f"{self._names}/s")
            finally:
                os.unlink(name)
        except OSError:
            end.close()
            raise
        return end

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def client_of(name: str) -> tuple[str, int] | None:
    """Return the client's address in the name of a relayed connection; None for any other name."""
    parts = name.rpartition("/")[2].split("@")
    return (parts[1], int(parts[2])) if len(parts) == 3 and parts[2].isdigit() else None


def _made(parent: Path) -> tuple[Path, int]:
    """Make a folder and lock it. Another worker that starts may take it for a dead one's until it is locked."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _remove_stale(parent: Path) -> None:
    """Remove the folders of dead workers."""
    for path in parent.glob(_PREFIX + "*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # gone meanwhile, or not ours
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.geteuid():
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
