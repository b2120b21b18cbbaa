"""Ask the kernel about the life of this process and of others on this host."""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import secrets
import signal
import socket
import sys
from pathlib import Path

#: prctl(2), PR_SET_PDEATHSIG: the signal that this process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have this process killed when its parent ends, so that no worker keeps the port. Does nothing outside Linux."""
    if sys.platform != "linux":
        return
    creator = multiprocessing.parent_process()
    # Not getppid(): a parent that ended before this line has been replaced already, and its end would never be seen.
    parent = os.getppid() if creator is None else creator.pid
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request was made
        os.kill(os.getpid(), signal.SIGKILL)


def raise_descriptor_limit() -> None:
    """Allow as many open files as the machine lets this user have: a connection is one, and the default of 1,024 on
    many machines is for programs that use select(2). Where the machine does not, the limit stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS answers "infinity", and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def forget_signal_handlers_in_children() -> None:
    """Let SIGTERM and SIGINT end a process that is forked from this one, until it installs handlers of its own.

    A fork inherits handlers that set flags which only the parent reads, so a stop that met a worker at its start would
    be forgotten.
    """

    def obey() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    os.register_at_fork(after_in_child=obey)


# -- names of lives ----------------------------------------------------------------------------------------------------


def new_owner() -> str:
    """Return a name for this process that no other one ever had, and by which `is_gone` knows its end."""
    return f"{socket.gethostname()}-{os.getpid()}-{_life(os.getpid())}-{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Return True if the process of this name ran here and has ended. Returns False where that is uncertain: on
    another host, in another container, before a reboot, outside Linux, where /proc hides it (`hidepid`)."""
    _, number, life, _ = ["", "", "", *owner.rsplit("-", 3)][-4:]
    start, *where = life.split(".")
    if not where or not number.isdecimal() or where != _where():
        return False
    pid = int(number)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is somebody else's, or a later process of that number
        pass
    try:
        state, began = _stat(pid)
    except OSError:  # hidden, or ended since `kill`, which the next look sees
        return False
    return began != start or state in "ZX"


def _life(pid: int) -> str:
    """Return what tells this process from others of its number; empty if the kernel does not say."""
    where = _where()
    return ".".join((_stat(pid)[1], *where)) if where else ""


def _where() -> list[str]:
    """Return the namespace of process numbers, and the boot, that a number belongs to."""
    if sys.platform != "linux":
        return []
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    return [str(os.stat("/proc/self/ns/pid").st_ino), boot]


def _stat(pid: int) -> tuple[str, str]:
    """Return state and start of a process, in ticks since the boot (proc(5), fields 3 and 22)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
