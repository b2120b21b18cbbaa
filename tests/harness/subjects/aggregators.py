"""Aggregators as processes, which tests kill in the middle of a batch."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.harness.process import environ, launched
from tests.harness.wait import PATIENCE_S, until


class Aggregators:
    """Those that run on one database, as they are run."""

    def __init__(
        self, pool: Any, folder: Path, after_kill: Callable[[], Awaitable[None]] | None = None, **settings: object
    ) -> None:
        self._pool, self._log, self._after_kill = pool, folder / "aggregator.log", after_kill
        self._environ = environ(**{"data_dir": folder, **settings})
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """One more."""
        self._running.append(launched("-m", "aggregator", log=self._log, env=self._environ))

    async def kill_oldest(self) -> None:
        """kill -9, and another one takes over."""
        one = self._running.pop(0)
        assert one.poll() is None, self._said()
        one.kill()
        one.wait()
        self.start()
        if self._after_kill is not None:
            await self._after_kill()

    async def kill_in_a_batch(self) -> None:
        """kill -9 of the oldest between the note of a batch and its end, and another one takes over."""
        await until(self._is_caught, f"the oldest has noted a batch: {self._said()}")
        await self.kill_oldest()

    async def replace_oldest(self) -> None:
        """Another one joins, and the oldest leaves in order: partitions move twice."""
        self.start()
        await until(self._has_joined, f"the new one has partitions: {self._said()}")
        await self._end(self._running.pop(0))

    async def stop(self) -> None:
        """Let each leave in order, which it can do once it has begun its work."""
        await until(self._has_joined, f"the youngest has partitions: {self._said()}")
        for one in self._running:
            await self._end(one)
        self._running.clear()

    def close(self) -> None:
        """Leave nothing behind, however the test went."""
        for one in self._running:
            one.kill()
            one.wait()

    async def _end(self, one: "subprocess.Popen[bytes]") -> None:
        one.terminate()
        assert await asyncio.to_thread(one.wait, PATIENCE_S) == 0, self._said()

    async def _is_caught(self) -> bool:
        """Whether the oldest, stopped now, has a batch on its way. If not, it goes on."""
        one = self._running[0]
        one.send_signal(signal.SIGSTOP)
        if await self._holds(one, "pending_rows IS NOT NULL"):
            return True
        one.send_signal(signal.SIGCONT)
        return False

    async def _has_joined(self) -> bool:
        return await self._holds(self._running[-1])

    async def _holds(self, process: "subprocess.Popen[bytes]", condition: str = "true") -> bool:
        """Whether the process holds a partition of which this is true."""
        sql = f"SELECT count(*) FROM sink_cursor WHERE owner LIKE $1 AND {condition}"
        return bool(await self._pool.fetchval(sql, f"{socket.gethostname()}-{process.pid}-%"))

    def _said(self) -> str:
        return self._log.read_text()[-3000:]
