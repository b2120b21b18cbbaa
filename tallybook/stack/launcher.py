"""Start a child that cannot outlive this process, under another user if the program refuses root.

A small interpreter (22 ms) does the work between fork and exec: Python code in a forked copy of a threaded parent can
deadlock. Call it from the main thread: the kernel sends the death signal when the *thread* that started a child ends.
"""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

from tallybook.exits import Exit, Stop

#: Arguments: mode, uid, gid, death signal, pid of the parent, then the command. PR_SET_PDEATHSIG (prctl(2)) comes
#: after the change of user, which would clear it; execve keeps it.
_PROGRAM = r"""
import ctypes, os, sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1

mode = sys.argv[1]
uid, gid, death_signal, parent = map(int, sys.argv[2:6])
command = sys.argv[6:]
libc = ctypes.CDLL(None, use_errno=True)

if mode == "drop":
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
elif mode == "userns":
    if libc.unshare(CLONE_NEWUSER):
        sys.exit("unshare(CLONE_NEWUSER): " + os.strerror(ctypes.get_errno()) + ": run as an ordinary user, or put the "
                 "data folder and the Python where an ordinary user can enter, because Postgres refuses root")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)

if sys.platform == "linux":
    libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before prctl
        os._exit(1)
os.execv(command[0], command)
"""

Mode = Literal["same", "drop", "userns"]


class Identity(NamedTuple):
    """The user of a child: this one, another one, or root under a mapped uid of its own user namespace."""

    mode: Mode
    uid: int
    gid: int


SAME = Identity("same", -1, -1)


def server_identity(reached: Sequence[Path], former: Mode | None, owned: Sequence[Path] = ()) -> Identity:
    """Return who runs servers that refuse root. Only the mode that made the files, `former`, can read them.

    As root: the owner of the `owned` folders; else an ordinary user who can reach the `reached` paths; else root mapped
    in a namespace. Raises Stop if root made the files and this process is not root, or the other way round.
    """
    is_root = os.geteuid() == 0
    if former is not None and is_root == (former == "same"):
        maker = "an ordinary user" if former == "same" else "root"
        raise Stop(
            Exit.FOLDER_UNWRITABLE,
            f"The servers' files in {reached[0].parent} were made by {maker}: run it as that user, "
            "or name another folder with --data-dir.",
        )
    if not is_root:
        return SAME
    if former in (None, "drop"):
        for status in (path.stat() for path in owned if path.exists()):
            if status.st_uid != 0:
                return Identity("drop", status.st_uid, status.st_gid)
    nobody = pwd.getpwnam("nobody")
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = nobody
    mode = former
    if mode not in ("drop", "userns"):
        mode = "drop" if all(can_walk_to(path, user.pw_uid, user.pw_gid) for path in reached) else "userns"
    return Identity(mode, user.pw_uid, user.pw_gid) if mode == "drop" else Identity(mode, nobody.pw_uid, nobody.pw_gid)


def can_walk_to(path: Path, uid: int, gid: int) -> bool:
    """Return whether that user may enter every folder above `path` (mode bits only, no ACLs)."""
    for folder in path.resolve().parents:
        status = folder.stat()
        bit = 0o100 if status.st_uid == uid else 0o010 if status.st_gid == gid else 0o001
        if not status.st_mode & bit:
            return False
    return True


def clean_environ() -> dict[str, str]:
    """Return the environment of a foreign program: paths of programs and temporary files, UTC, and the locale C.

    It holds no secret and no proxy."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "TZ": "UTC", "LC_ALL": "C"}


def command_line(identity: Identity, death_signal: signal.Signals, command: Sequence[str | Path]) -> list[str]:
    """Return the command that launches `command`, whose first word is an absolute path."""
    arguments = (*identity, int(death_signal), os.getpid(), *command)
    return [sys.executable, "-I", "-S", "-c", _PROGRAM, *map(str, arguments)]


def launch(
    command: Sequence[str | Path],
    *,
    log: IO[bytes] | None,
    cwd: Path | None = None,
    identity: Identity = SAME,
    death_signal: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start the child in a session of its own, so that a terminal's Ctrl-C reaches this process alone."""
    return subprocess.Popen(  # noqa: S603 - a fixed command
        command_line(identity, death_signal, command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env=env,
        start_new_session=True,
        pass_fds=pass_fds,
    )
