"""The stack as its users run it, and a small HTTP client with a connection of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from tests.harness.processes import PATIENCE_S, free_port, is_alive, wait_for

TALLYBOOK = Path(sys.executable).parent / "tallybook"


def environ(**settings: object) -> dict[str, str]:
    """This environment with no settings but these."""
    values = {name: value for name, value in os.environ.items() if not name.startswith("TALLYBOOK_")}
    return values | {f"TALLYBOOK_{name.upper()}": str(value) for name, value in settings.items()}


def run(*arguments: object, **settings: object) -> "subprocess.CompletedProcess[str]":
    """A command of the command line, to its end."""
    command = [str(TALLYBOOK), *map(str, arguments)]
    return subprocess.run(
        command, env=environ(**settings), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


async def until_async(is_so: Callable[[], bool], what: str) -> None:
    """`wait_for`, while other tasks run."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not happen"
        await asyncio.sleep(0.02)


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
        return [
            child
            for main in self.children("-m ingest")
            for child in main.children()
            if is_alive(child) and "resource_tracker" not in " ".join(child.cmdline())
        ]

    def end(self) -> None:
        """Leave nothing behind, however the test went."""
        if self.process is None:
            return
        if self.process.poll() is None:
            tree = self.tree()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
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


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Connection:
    """One keep-alive connection. Any OSError, IncompleteReadError or ValueError means that it is of no use any more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Raises OSError when nobody listens."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request, and its answer."""
        fields = {"host": "localhost", "content-length": str(len(body)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        fields = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        return Answer(status, await self._reader.readexactly(int(headers.get("content-length", "0"))))

    async def close(self) -> None:
        """Let it go."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


#: What a connection raises when the other end died.
BROKEN = (OSError, asyncio.IncompleteReadError)


async def ask(port: int, method: str, path: str) -> Answer:
    """One request over a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.ask(method, path)
    finally:
        await connection.close()
