"""The stack as its users run it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.harness.process import end, environ, free_port, is_alive
from tests.harness.wait import PATIENCE_S, wait_for
from tests.harness.workers import workers_of

TALLYBOOK = Path(sys.executable).parent / "tallybook"


def run(*arguments: object, **settings: object) -> "subprocess.CompletedProcess[str]":
    """A command of the command line, to its end."""
    command = [str(TALLYBOOK), *map(str, arguments)]
    return subprocess.run(
        command, env=environ(**settings), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


class Stack:
    """One `tallybook up`. Its output is in `<folder>.log`."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder, self.port, self.metrics_port = folder, free_port(), free_port()
        self.log = folder.with_name(f"{folder.name}.log")
        self.settings = {"metrics_port": self.metrics_port, "workers": 2, "log_format": "json"} | settings
        self.process: subprocess.Popen[bytes] | None = None
        self._began = 0

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it without waiting."""
        command = [str(TALLYBOOK), "up", "--port", str(self.port), "--data-dir", str(self.folder)]
        with self.log.open("ab") as output:
            self._began = output.tell()
            self.process = subprocess.Popen(command, env=environ(**self.settings), stdout=output, stderr=output)
        return self.process

    def is_ready(self) -> bool:
        """Whether it has said so."""
        assert self.process is not None
        assert self.process.poll() is None, self.printed()[-2000:]
        return '"event":"stack_ready"' in self.printed()

    def start(self) -> None:
        """Start it and wait for its ready line."""
        self.launch()
        wait_for(self.is_ready, "the ready line")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end. Answers its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def printed(self) -> str:
        """What it wrote since its last start."""
        return self.log.read_bytes()[self._began :].decode(errors="replace")

    def complaints(self) -> str:
        """The ends of the requests that broke, with their tracebacks."""
        return "\n".join([line for line in self.printed().splitlines() if "request_failed" in line][-3:])

    def note(self) -> dict[str, Any]:
        """Where its parts are, as it notes it itself."""
        noted: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return noted

    def tree(self) -> list[psutil.Process]:
        """All processes of it that live now, without the parent."""
        assert self.process is not None
        return [one for one in psutil.Process(self.process.pid).children(recursive=True) if is_alive(one)]

    def children(self, *words: str) -> list[psutil.Process]:
        """Direct children whose command line has these words."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                text = " ".join(child.cmdline())
            except psutil.NoSuchProcess:
                continue
            if is_alive(child) and "PR_SET_PDEATHSIG" not in text and all(word in text for word in words):
                found.append(child)
        return found

    def workers(self) -> list[psutil.Process]:
        """The ingest workers."""
        return [worker for main in self.children("-m ingest") for worker in workers_of(main.pid)]

    def end(self) -> None:
        """Leave nothing behind, however the test went."""
        if self.process is None:
            return
        if self.process.poll() is None:
            tree = self.tree()
            end(self.process)
            for process in tree:
                if is_alive(process):
                    process.kill()


@contextmanager
def running(folder: Path, **settings: object) -> Iterator[Stack]:
    """A stack that is ready."""
    stack = Stack(folder, **settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.end()
