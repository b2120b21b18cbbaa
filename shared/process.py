"""What a process asks of the kernel about its own life."""

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
    many machines is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
