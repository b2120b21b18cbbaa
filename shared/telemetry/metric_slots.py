"""Keep metric files of worker processes: one set per slot rather than per process.

`prometheus_client` shares metrics between processes through files named after a process id, so each respawn would leave
a set behind for ever. Here a process takes the lowest free slot of its role, `ingest-0`, `ingest-1`, and with it the
files of whoever held it before: counters go on where the dead one stopped, and there are never more files than there
were processes at the same time. A slot is held by flock(2) on `<folder>/<slot>.lock`, which ends with the process,
however it ends.
"""

import fcntl
import json
import os
import re
import struct
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

#: Slot names stand between `_` and `.db` in the names of the metric files.
_ROLE = re.compile(r"[a-z]+(-[a-z]+)*")


def use_slots(environ: Mapping[str, str]) -> None:
    """Keep the metrics made after this call in the files of a slot, when TALLYBOOK_METRICS_DIR names a folder; else in
    memory. Call it before the first metric is made."""
    folder = environ.get("TALLYBOOK_METRICS_DIR")
    if not folder:
        values.ValueClass = values.MutexValue
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the library looks each time it makes a value
    slot = Slot(Path(folder), environ.get("TALLYBOOK_METRICS_ROLE") or "process")
    values.ValueClass = values.MultiProcessValue(slot.name)  # type: ignore[no-untyped-call]


class Slot:
    """The slot of this process. After a fork the child has a slot of its own, taken when it first counts something."""

    def __init__(self, folder: Path, role: str) -> None:
        if not _ROLE.fullmatch(role):
            raise ValueError(f"TALLYBOOK_METRICS_ROLE={role}: small letters and hyphens only")
        self._folder = folder
        self._role = role
        self._name: str | None = None
        self._lock = -1
        os.register_at_fork(after_in_child=self._forget)

    def name(self) -> str:
        """Such as `ingest-0`. Takes the slot first if this process has none. Raises OSError if the folder cannot be
        written."""
        if self._name is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._name = next(name for n in count() if self._take(name := f"{self._role}-{n}"))
            self._remove_unreadable()
        return self._name

    def _take(self, name: str) -> bool:
        descriptor = locked(self._folder / f"{name}.lock")
        if descriptor is None:
            return False
        self._lock = descriptor
        return True

    def _forget(self) -> None:
        if self._name is not None:
            os.close(self._lock)  # the parent's lock stays with the parent
            self._name = None

    def _remove_unreadable(self) -> None:
        for path in self._folder.glob(f"*_{self._name}.db"):
            if not is_readable(path):
                path.unlink()  # or every process that gets this slot would fail at its start


def is_readable(path: Path) -> bool:
    """Return True if a metric file can be merged: it is whole, still there and undamaged."""
    try:
        with path.open("rb") as file:
            (used,) = struct.unpack("i", file.read(4))
        if not 0 <= used <= path.stat().st_size:
            return False
        for key, *_ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            _metric, _name, labels, _about = json.loads(key)
            labels.items()
    except Exception:  # whatever bytes lie there, they are the library's private format
        return False
    return True


def locked(path: Path) -> int | None:
    """Lock a file, which is made if it is missing; None while another process holds it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
