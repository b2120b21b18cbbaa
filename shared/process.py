"""What a process asks of the kernel about its own life."""

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys

#: prctl(2), PR_SET_PDEATHSIG: the signal that this process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends, so that no worker is left holding the port. Linux only; else
    nothing."""
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
