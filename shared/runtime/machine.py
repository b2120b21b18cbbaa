"""What only Linux has, with a twin for macOS beside it. The twins have never run: the tests run on Linux.

Processes that die with their parent (`shared/runtime/process.py`, `tallybook/stack/launcher.py`) have no twin: there
they are found and ended by the next start.
"""

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Where everything has a way to work.
SUPPORTED = frozenset({"linux", "darwin"})
#: Bytes that are written at a time where nothing reserves them.
_PIECE = 1 << 20


def boot_id() -> tuple[int, int]:
    """Which start of the kernel this is, as two words."""
    text = _boot_session() if sys.platform == "darwin" else Path("/proc/sys/kernel/random/boot_id").read_text()
    return divmod(int(text.strip().replace("-", ""), 16), 1 << 64)


def _boot_session() -> str:
    """A UUID (xnu, bsd/kern/kern_sysctl.c, `kern.bootsessionuuid`)."""
    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(ctypes.sizeof(text))
    if ctypes.CDLL(None, use_errno=True).sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0):
        raise OSError(ctypes.get_errno(), "kern.bootsessionuuid cannot be read")
    return text.value.decode()


def cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "darwin":
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def reserve(descriptor: int, size: int) -> None:
    """Make an empty file that long, with a place on the disk for each byte. Raises OSError when there is none."""
    if sys.platform != "darwin":
        os.posix_fallocate(descriptor, 0, size)
        return
    for at in range(0, size, _PIECE):
        os.pwrite(descriptor, bytes(min(_PIECE, size - at)), at)


def sync_data(descriptor: int) -> None:
    """Return when what was written is on the disk."""
    if sys.platform == "darwin":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


@contextlib.contextmanager
def file_of(content: memoryview) -> Iterator[str]:
    """A path under which a library of this process can read the content; in memory, where the system has such files."""
    if sys.platform == "darwin":
        with tempfile.NamedTemporaryFile(buffering=0) as file:
            _write(file, content)
            yield file.name
    else:
        with os.fdopen(os.memfd_create("content"), "wb", buffering=0) as memory:
            _write(memory, content)
            yield f"/proc/self/fd/{memory.fileno()}"


def _write(file: Any, content: memoryview) -> None:
    while content:
        content = content[file.write(content) :]
