"""Processes of tests: the real command line as a child, and who lives."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

import psutil

from shared.settings import variable
from tests.harness.wait import PATIENCE_S

ROOT = Path(__file__).parents[2]


def environ(**settings: object) -> dict[str, str]:
    """This environment with no settings but these."""
    values = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOOK_")}
    return values | {variable(name): str(value) for name, value in settings.items()}


def free_ports(count: int) -> list[int]:
    """Different ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    """A port that nobody uses now."""
    return free_ports(1)[0]


def launched(*arguments: str, log: Path, cwd: Path = ROOT, **options: Any) -> "subprocess.Popen[bytes]":
    """`python <arguments>`, whose output goes to the end of the log."""
    with log.open("ab") as output:
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=cwd, stdout=output, stderr=output, **options)


def end(process: Any, patience_s: float = PATIENCE_S) -> int:
    """Tell it to stop, and kill it when it does not. Return its exit code."""
    process.terminate()
    try:
        return process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: a process that only waits to be reaped is dead."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def lives(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> dict[int, list[str]]:
    """Every process below that one, with its command line."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[process.pid] = process.cmdline()
    return found


class Program:
    """A child whose standard output is read line by line, and that is gone when the test is."""

    def __init__(self, command: Sequence[str], environ: dict[str, str], log: Path, cwd: Path = ROOT) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd
            )
        #: What it printed; None is the end of it.
        self._lines: Queue[str | None] = Queue()
        assert self.process.stdout
        Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the child itself."""
        return self.process.pid

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, patience_s: float = PATIENCE_S) -> str:
        """The next line that it prints, or printed before its end."""
        try:
            line = self._lines.get(timeout=patience_s)
        except Empty:
            raise AssertionError(f"it printed nothing: {self.errors()}") from None
        assert line is not None, f"it ended with {self.process.wait(PATIENCE_S)}: {self.errors()}"
        return line

    def errors(self) -> str:
        """What it wrote to standard error."""
        return self.log.read_text(errors="replace")[-4000:]

    def signal(self, number: signal.Signals) -> int | None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """End it, and all that it may have left."""
        if self.process.poll() is None:
            below = list(descendants(self.pid))
            end(self.process, 30)
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def program(*arguments: str, log: Path, cwd: Path = ROOT, **environ: str) -> Iterator[Program]:
    """`python <arguments>` with these variables beside those of the test."""
    one = Program([sys.executable, *arguments], {**os.environ, **environ}, log, cwd)
    try:
        yield one
    finally:
        one.close()
