"""Give the folder of the embedded servers' sockets a path that every client can name.

URLs, lists of libpq and sun_path restrict characters and lengths. So a symbolic link with a short, plain name leads to
a data folder whose path is long or unusual; the sockets stay in the data folder. `keep` renews the link when a cleaner
of temporary folders has removed it.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from tallybook.exits import Exit, Stop
from tallybook.stack.launcher import Identity, can_walk_to

#: The longest name of a socket.
_LONGEST = ".s.PGSQL.5432"
#: sun_path holds 107 bytes and a terminating zero on Linux, 103 on macOS (unix(7)).
_SOCKET_PATH_MAX = 100
#: Paths that need no quoting in a URL, in a list of libpq, or on a command line.
_PLAIN = re.compile(r"/[A-Za-z0-9_./-]*")


class Sockets:
    """The socket folder of one data folder. Servers and clients use `path`."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._folder = folder
        if _can_be_named(folder):
            self.path = folder
            return
        digest = hashlib.sha256(bytes(folder)).hexdigest()[:12]
        self.path = _base(identity) / f"tallybook-{os.getuid()}-{digest}-run"
        self.keep()

    def keep(self) -> None:
        """Make the link if it is missing. Raises Stop if somebody else has its name."""
        if self.path == self._folder:
            return
        with contextlib.suppress(FileExistsError):
            self.path.symlink_to(self._folder)
            return
        if not self.path.is_symlink() or self.path.lstat().st_uid != os.getuid():
            raise Stop(
                Exit.FOLDER_UNWRITABLE,
                f"{self.path} belongs to somebody else: remove it, or name a shorter --data-dir.",
            )

    def remove(self) -> None:
        """Remove the link."""
        if self.path != self._folder:
            self.path.unlink(missing_ok=True)


def _can_be_named(folder: Path) -> bool:
    path = os.fsencode(folder / _LONGEST)
    return len(path) <= _SOCKET_PATH_MAX and _PLAIN.fullmatch(os.fsdecode(path)) is not None


def _base(identity: Identity) -> Path:
    """Return a folder for the link that outlives a log-out, unlike XDG_RUNTIME_DIR. Raises Stop."""
    for base in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 - the link's owner is checked
        link = base / "tallybook-0000000000-000000000000-run"
        may_enter = identity.mode != "drop" or can_walk_to(link, identity.uid, identity.gid)
        if may_enter and _can_be_named(link) and os.access(base, os.W_OK | os.X_OK):
            return base
    raise Stop(Exit.FOLDER_UNWRITABLE, "No folder for temporary files can be used: name a short, plain --data-dir.")
