"""A proxy in front of a server: delays, holds, cuts, and above all: forwards a request and swallows the reply."""

import asyncio
import contextlib
import random
from pathlib import Path

#: Bytes that travel at a time.
_CHUNK = 1 << 16


class Proxy:
    """Listens on one unix socket and forwards to another. Its attributes may be changed at any moment."""

    def __init__(self, listen: Path, target: Path, chance: random.Random) -> None:
        self._listen, self._target, self._chance = listen, target, chance
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        #: Seconds by which every chunk is late.
        self.delay_s = 0.0
        #: Nothing is forwarded while this is clear; connections are accepted all the same.
        self.is_forwarding = asyncio.Event()
        self.is_forwarding.set()
        #: Requests that hold one of these texts lose their reply with that chance, and their connection with it.
        self.swallow: dict[bytes, float] = {}
        #: Replies that were swallowed so far.
        self.swallowed = 0

    async def start(self) -> None:
        """Begin to listen."""
        self._listen.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._listen)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def calm(self) -> None:
        """Forward faithfully again."""
        self.delay_s, self.swallow = 0.0, {}
        self.is_forwarding.set()

    def cut(self) -> int:
        """Break all connections; answers how many there were."""
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def is_swallowed(self, request: bytes) -> bool:
        """Whether the reply to this request is to be lost."""
        return any(text in request and self._chance.random() < chance for text, chance in self.swallow.items())

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._target)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, writer, far_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(link.requests(reader))
                group.create_task(link.replies(far_reader))
        except* (OSError, EOFError):
            pass
        finally:
            self._links.discard(link)
            link.cut()


class _Link:
    """One client's connection and the one to the server behind it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._is_doomed = False

    def cut(self) -> None:
        for writer in (self._client, self._server):
            with contextlib.suppress(OSError):
                writer.transport.abort()

    async def requests(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._wait()
            self._is_doomed = self._is_doomed or self._proxy.is_swallowed(chunk)
            self._server.write(chunk)
            await self._server.drain()
        raise EOFError

    async def replies(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._wait()
            if self._is_doomed:  # the server has done it, and nobody will know
                self._proxy.swallowed += 1
                break
            self._client.write(chunk)
            await self._client.drain()
        raise EOFError

    async def _wait(self) -> None:
        if self._proxy.delay_s:
            await asyncio.sleep(self._proxy.delay_s)
        await self._proxy.is_forwarding.wait()
