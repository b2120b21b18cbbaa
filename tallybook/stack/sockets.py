"""The folder of the embedded servers' sockets, and a path under which every client can name it.

A URL, a list of libpq and sun_path each have characters or lengths that they cannot take. So a data folder whose path
is long or unusual is reached through a symbolic link with a short, plain name; the sockets themselves stay in the data
folder. Cleaners of temporary folders may remove the link: `keep` makes it anew.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from tallybook.exits import Exit, Stop
from tallybook.stack.launcher import Identity, can_walk_to

#: The longest name of a socket in it.
_LONGEST = ".s.PGSQL.5432"
#: sun_path holds 107 bytes and a terminating zero on Linux, 103 on macOS (unix(7)).
_SOCKET_PATH_MAX = 100
#: Paths that mean themselves in a URL, in a comma list of libpq, and on a command line.
_PLAIN = re.compile(r"/[A-Za-z0-9_./-]*")


class Sockets:
    """Sockets of the servers of one data folder. `path` is what servers and clients are told."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._folder = folder
        if _can_be_named(folder):
            self.path = folder
            return
        digest = hashlib.sha256(bytes(folder)).hexdigest()[:12]
        self.path = _base(identity) / f"tallybook-{os.getuid()}-{digest}-run"
        self.keep()

    def keep(self) -> None:
        """Make the link if it is not there. Raises Stop when somebody else has its name."""
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
        """Take the link away; nobody needs it after a stop."""
        if self.path != self._folder:
            self.path.unlink(missing_ok=True)


def _can_be_named(folder: Path) -> bool:
    path = os.fsencode(folder / _LONGEST)
    return len(path) <= _SOCKET_PATH_MAX and _PLAIN.fullmatch(os.fsdecode(path)) is not None


def _base(identity: Identity) -> Path:
    """A folder for the link that a log-out does not remove, as it removes XDG_RUNTIME_DIR."""
    for base in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 - the link's owner is checked
        link = base / "tallybook-0000000000-000000000000-run"
        may_enter = identity.mode != "drop" or can_walk_to(link, identity.uid, identity.gid)
        if may_enter and _can_be_named(link) and os.access(base, os.W_OK | os.X_OK):
            return base
    raise Stop(Exit.FOLDER_UNWRITABLE, "No folder for temporary files can be used: name a short, plain --data-dir.")
