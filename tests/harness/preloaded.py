"""Services that are forked from a process which has imported their libraries: a start takes a fifth of the processor.

What is imported beforehand is everything that the service imports, but for the packages of this project: they read
their environment while they are imported, so each service imports them itself. Whoever wants a start as users have it
takes `process.launched`, or `tallybook up`.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.harness.process import ROOT

_OURS = frozenset(("aggregator", "gateway", "generator", "ingest", "shared", "tallybook", "tallybook_sdk", "tests"))
#: Seconds in which a fork has to say so.
_FORK_S = 60.0


class Forked:
    """A service. It has what tests use of `subprocess.Popen`."""

    def __init__(self, nursery: "_Nursery", pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        with self._nursery.changed:
            return self._look()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired."""
        with self._nursery.changed:
            if not self._nursery.changed.wait_for(lambda: self._look() is not None, timeout):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _look(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.codes.pop(self.pid, None)
        return self.returncode


class _Nursery:
    """The process that forks them. It lives as long as that of the tests."""

    def __init__(self) -> None:
        #: Exit codes of those that have ended and were not asked since.
        self.codes: dict[int, int] = {}
        self.changed = threading.Condition()
        self._forked: list[int] = []
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        threading.Thread(target=self._read, daemon=True).start()
        atexit.register(self._end)

    def fork(self, log: Path, environ: dict[str, str]) -> Forked:
        """One more, whose output goes to the end of the log."""
        assert self._process.stdin is not None
        with self.changed:
            self._process.stdin.write(json.dumps({"log": str(log), "environ": environ}) + "\n")
            assert self.changed.wait_for(lambda: self._forked, _FORK_S), "nothing was forked"
            return Forked(self, self._forked.pop())

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, _, code = line.partition(" ")
            with self.changed:
                if code.strip():
                    self.codes[int(pid)] = int(code)
                else:
                    self._forked.append(int(pid))
                self.changed.notify_all()


@cache
def _nursery() -> _Nursery:
    return _Nursery()


def forked_service(log: Path, environ: dict[str, str]) -> Forked:
    """`python -m ingest` with this environment alone, whose output goes to the end of the log."""
    return _nursery().fork(log, environ)


# -- in the process that forks -----------------------------------------------------------------------------------------


def _load() -> None:
    """Import what the service will."""
    code = "import sys, ingest.__main__, ingest.app, ingest.front.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in done.stdout.split():
        if name.partition(".")[0] not in _OURS and name != "__main__":
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.freeze()
    [task] = os.listdir("/proc/self/task")  # a fork has no other thread
    assert int(task) == os.getpid()


def _wanted(requests: IO[str], answers: IO[str]) -> dict[str, Any] | None:
    """Fork for each request, and tell of each end. Return the request in the child; None at the end."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(answers)
        if requests in ready:
            line = requests.readline()
            if not line:
                return None
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wake)
                return dict(json.loads(line))
            print(pid, file=answers, flush=True)


def _tell_ends(answers: IO[str]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            print(ended[0], os.waitstatus_to_exitcode(ended[1]), file=answers, flush=True)


def _become(wanted: dict[str, Any]) -> None:
    """Take the environment and the output of a process of its own."""
    os.environ.clear()
    os.environ.update(wanted["environ"])
    output = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(nothing)


if __name__ == "__main__":
    _load()
    if wanted := _wanted(sys.stdin, sys.stdout):
        _become(wanted)
        runpy.run_module("ingest", run_name="__main__", alter_sys=True)
