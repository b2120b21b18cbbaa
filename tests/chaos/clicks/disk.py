"""A small disk of its own for a run, which can be filled to the last byte."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Bytes: room for an empty Postgres, its log and the lanes. They are memory of the machine, as far as they are used.
_SIZE = 768 << 20
#: Why there may be none.
NO_DISK = f"to mount a disk of {_SIZE >> 20} MB in memory takes root and the right to mount"


class SmallDisk:
    """A tmpfs on a folder."""

    def __init__(self, folder: Path, *, is_wanted: bool = True) -> None:
        self._folder = folder
        options = f"size={_SIZE},mode=0755"
        command = ["mount", "-t", "tmpfs", "-o", options, "tallybook-chaos", str(folder)]
        #: Whether there is one: it takes the right to mount.
        self.is_there = (
            is_wanted
            and os.geteuid() == 0
            and subprocess.run(command, capture_output=True, check=False).returncode == 0
        )

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not one byte is free in this block."""
        filler = self._folder / "filler"
        try:
            with filler.open("wb") as file:
                while free := self._free():
                    with suppress(OSError):  # somebody has just taken some of it
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
            yield
        finally:
            filler.unlink()

    def _free(self) -> int:
        space = os.statvfs(self._folder)
        return space.f_bavail * space.f_frsize

    def remove(self) -> None:
        """Unmount it, with all that is on it."""
        if self.is_there:
            subprocess.run(["umount", "-l", str(self._folder)], check=False)
