"""Where the files of tests lie that run side by side: in memory, where there is room for them.

Stores sync each commit, and a sync of a disk that others use takes 5 to 20 ms. What is killed with -9 loses nothing of
a folder in memory, so the promises of these tests are the same. Long tests that run alone stay on the disk. So does a
run whose TMPDIR names a folder.
"""

import os
import tempfile
from pathlib import Path

import psutil
import pytest

_MEMORY = Path("/dev/shm")
#: Bytes that have to be free in it, and of memory.
_ROOM = 4 << 30
#: Where a limit of memory of this process' container stands.
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def pytest_configure(config: pytest.Config) -> None:
    """Let such a run, and what it starts, make their temporary files in memory: a hook, which conftest.py has."""
    is_beside = config.option.markexpr == "not slow" or bool(getattr(config.option, "numprocesses", None))
    if is_beside and "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _has_room() -> bool:
    try:
        about = os.statvfs(_MEMORY)
    except OSError:
        return False
    if about.f_flag & os.ST_NOEXEC or about.f_bavail * about.f_frsize < _ROOM:
        return False
    return psutil.virtual_memory().available > _ROOM and (_limit() or _ROOM) >= _ROOM


def _limit() -> int | None:
    """The bytes that the container of this process may use; None where there is no limit."""
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return None
