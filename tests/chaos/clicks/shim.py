"""A preloaded library that steps the wall clock and slows the disk of one process, on orders from a file."""

import mmap
import struct
import subprocess
from pathlib import Path

from tests.harness.services import require

_SOURCE = Path(__file__).with_name("shim.c")
_ORDERS = struct.Struct("2d")


class Shim:
    """The orders of one group of processes."""

    def __init__(self, library: Path, orders: Path) -> None:
        self._library, self._path = library, orders
        orders.write_bytes(bytes(_ORDERS.size))
        orders.chmod(0o644)
        with orders.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _ORDERS.size)
        self.clock_s, self.fsync_s = 0.0, 0.0

    @property
    def environ(self) -> dict[str, str]:
        """What makes a process obey."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_SHIM": str(self._path)}

    def order(self, *, clock_s: float | None = None, fsync_s: float | None = None) -> None:
        """Set the step of the wall clock, or the duration of an fsync; the other stays."""
        self.clock_s = self.clock_s if clock_s is None else clock_s
        self.fsync_s = self.fsync_s if fsync_s is None else fsync_s
        _ORDERS.pack_into(self._map, 0, self.clock_s, self.fsync_s)


def build(folder: Path) -> Path:
    """Compile the library into the folder. Skips or fails where there is no C compiler."""
    library = folder / "shim.so"
    command = [require("cc"), "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl", "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    library.chmod(0o755)
    return library
