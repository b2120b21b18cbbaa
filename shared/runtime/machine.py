"""Offer what only Linux has, each with a twin for macOS. The tests run on Linux and never run the twins.

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
    """Return which start of the kernel this is, as two words."""
    text = _boot_session() if sys.platform == "darwin" else Path("/proc/sys/kernel/random/boot_id").read_text()
    return divmod(int(text.strip().replace("-", ""), 16), 1 << 64)


def _boot_session() -> str:
    """Return a UUID (xnu, bsd/kern/kern_sysctl.c, `kern.bootsessionuuid`)."""
    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(ctypes.sizeof(text))
    if ctypes.CDLL(None, use_errno=True).sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0):
        raise OSError(ctypes.get_errno(), "kern.bootsessionuuid cannot be read")
    return text.value.decode()


def cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "darwin":
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def reserve(descriptor: int, size: int) -> None:
    """Give an empty file this size, with disk space for each byte. Raises OSError if there is none."""
    if sys.platform != "darwin":
        os.posix_fallocate(descriptor, 0, size)
        return
    for at in range(0, size, _PIECE):
        os.pwrite(descriptor, bytes(min(_PIECE, size - at)), at)


def sync_data(descriptor: int) -> None:
    """Return once written data is on disk."""
    if sys.platform == "darwin":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


@contextlib.contextmanager
def file_of(content: memoryview) -> Iterator[str]:
    """Yield a path that a library of this process can read the content from. It lies in memory where possible."""
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
