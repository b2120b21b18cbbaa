"""One worker with real stores in this process: its front, Granian behind it, and what it has counted."""

import asyncio
import logging
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from redis.asyncio import Redis

from ingest.app import create_app
from ingest.front.folder import Folder
from ingest.front.listener import Front
from ingest.front.relayed_app import RelayedApp
from ingest.front.worker import granian, listens, stop
from ingest.state import State
from shared.collect.link import LinkRow
from shared.counting.cells import kind_of
from shared.runtime.tasks import end
from shared.settings import Settings
from tallybook.registries import links as link_table
from tests.harness.subjects.tracking import BROWSER

#: Seconds that anything here may take.
PATIENCE_S = 20.0
#: Headers that differ from answer to answer.
_CHANGING = frozenset({"date", "x-request-id", "server"})


class Led(NamedTuple):
    """An answer: its status, its headers without those that always differ, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Linking:
    """One worker, asked over its front, or behind it."""

    def __init__(self, front: Front, folder: Folder, state: State, redis: "Redis") -> None:
        self.front, self.state = front, state
        self._folder, self._redis = folder, redis

    async def ask(self, path: str = "/r/spring", *lines: str, method: str = "GET", inside: bool = False) -> Led:
        """One request of a browser. `inside` goes past the front."""
        if not any(line.lower().startswith("user-agent:") for line in lines):
            lines = (f"User-Agent: {BROWSER}", *lines)
        return await self.raw(f"{method} {path} HTTP/1.1\r\nHost: t\r\n".encode(), *lines, inside=inside)

    async def raw(self, begin: bytes, *lines: str, inside: bool = False) -> Led:
        """One request by its bytes, over a connection of its own."""
        loop = asyncio.get_running_loop()
        one = self._folder.connected("192.0.2.1", 5) if inside else socket.socket()
        with one:
            one.setblocking(False)
            async with asyncio.timeout(PATIENCE_S):
                if not inside:
                    await loop.sock_connect(one, self.front.address)
                await loop.sock_sendall(one, begin + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")
                answer = bytearray()
                while b"\r\n\r\n" not in answer:
                    answer += await loop.sock_recv(one, 65_536)
                head, _, body = bytes(answer).partition(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                while not begin.startswith(b"HEAD") and length and len(body) < int(length[1]):
                    body += await loop.sock_recv(one, 65_536)
        start, *rest = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        return Led(int(start[9:12]), {name: fields[name] for name in fields if name not in _CHANGING}, body)

    async def counted(self) -> Counter[tuple[int, int]]:
        """What was counted since the last call, by kind and banner."""
        await self.state.counter.durable()
        found = Counter[tuple[int, int]]()
        async for key in self._redis.scan_iter("tallybook:{*}:i:*"):
            for banner, count in (await self._redis.hgetall(key)).items():
                found[kind_of(key.decode().split(":i:")[1]), int(banner)] += int(count)
            await self._redis.delete(key)
        for key in [key async for key in self._redis.scan_iter("tallybook:{*}:cur")]:
            await self._redis.delete(key, key.replace(b":cur", b":live"))
        return found

    async def put(self, *rows: LinkRow) -> None:
        """Add or change links; the worker reads them at once."""
        async with self.state.pool.acquire() as connection:
            await link_table.put(connection, rows, ())  # type: ignore[arg-type]
        await self.state.links._refresh()


@asynccontextmanager
async def linking(folder: Path, settings: Settings) -> AsyncIterator[Linking]:
    """Serve as a worker does, until the block ends."""
    app, one = create_app(settings), Folder(folder)
    async with app.router.lifespan_context(app) as fields, Redis.from_url(settings.redis_url or "") as redis:
        state = State(**(fields or {}))
        front = Front(settings, state, one)
        server = granian(RelayedApp(app, fields or {}, front.address), one)
        serving = asyncio.create_task(server.serve())
        await listens(one, serving)
        await front.start()
        try:
            worker = Linking(front, one, state, redis)
            await worker.counted()  # what other tests have left
            yield worker
        finally:
            await stop(front, server, serving, 1)
            await end(serving)
            logging.getLogger("_granian").setLevel(logging.NOTSET)  # which Granian has set for the whole process
    one.close()


async def execute(database_url: str, sql: str, *arguments: Any) -> None:
    """Run a statement as somebody who writes past the commands."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(sql, *arguments)
    finally:
        await connection.close()
