"""Redis servers that a test starts, kills and starts again on their own files.

They listen on loopback ports, as the bus of a cluster and replication need it."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tallybook.exits import Stop
from tallybook.stack.binaries import find_redis
from tallybook.stack.launcher import launch
from tests.harness import services
from tests.harness.process import free_port
from tests.harness.wait import wait_for

#: What the promise asks of a Redis; `tallybook check` looks for the same.
_DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


class Node:
    """One server, with a folder and a port of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir()
        self.port = free_port()
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.redis = Redis(port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0), decode_responses=True)

    def start(self) -> None:
        """Start it and wait until it has read its files."""
        self.launch()
        wait_for(self._answers, f"the server of {self.folder} answers")

    def launch(self) -> None:
        """Start it without waiting."""
        try:
            binary = find_redis()
        except Stop as stop:
            services.missing("redis", str(stop))
        command = (binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, *_DURABLE)
        with (self.folder / "log").open("ab") as log:
            self._process = launch((*command, *self._options), log=log, death_signal=signal.SIGKILL)

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError):
            return bool(self.redis.ping())
        return False

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, which is waited for; or SIGSTOP and SIGCONT."""
        assert self._process
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait()

    def close(self) -> None:
        """It is gone when this returns."""
        self.redis.close()
        if self._process and self._process.poll() is None:
            self.signal(signal.SIGKILL)


@contextlib.contextmanager
def nodes(folder: Path, *options: Sequence[str]) -> Iterator[list[Node]]:
    """A server for each list of options, gone when the block ends."""
    made = [Node(folder / str(number), *one) for number, one in enumerate(options)]
    try:
        for node in made:
            node.start()
        yield made
    finally:
        for node in made:
            node.close()
