"""A proxy between a client and a real server that can be told to fail, in the ways networks do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Proxy:
    """Listens on a loopback port for as long as it lives; `away` and `deaf` say what happens to what comes."""

    def __init__(self) -> None:
        self.port = 0
        self.connect: Connect | None = None
        #: Cut every connection at once, new ones too.
        self.away = False
        #: Hand on what clients send, and swallow what they are answered: done, but unknown.
        self.deaf = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def fail(self, *, away: bool = False, deaf: bool = False) -> None:
        """From now on; being away cuts what is connected."""
        self.away, self.deaf = away, deaf
        if away:
            self.cut()

    def heal(self) -> None:
        """Work again. Connections that missed an answer are cut, as they would never be in step again."""
        self.fail()
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """Cut all and wait until nothing of it runs."""
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.away or self.connect is None:
            writer.transport.abort()
            return
        server_reader, server_writer = await self.connect()
        self._writers |= {writer, server_writer}
        try:
            await asyncio.gather(
                self._hand_on(reader, server_writer, is_answer=False),
                self._hand_on(server_reader, writer, is_answer=True),
            )
        finally:
            self._writers -= {writer, server_writer}

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                if self.deaf and is_answer:
                    continue
                writer.write(piece)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy on a free port. Set `connect` before the first client comes."""
    one = Proxy()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await one.close()


@asynccontextmanager
async def behind(address: str, default: int) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the server of a URL, and the URL of the proxy."""
    parts = urlsplit(address)
    async with proxy() as between:
        if parts.scheme == "unix":
            between.connect = lambda: asyncio.open_unix_connection(parts.path)
            yield between, f"redis://127.0.0.1:{between.port}"
            return
        if parts.query.startswith("host="):
            between.connect = lambda: asyncio.open_unix_connection(f"{parts.query[5:]}/.s.PGSQL.5432")
        else:
            between.connect = lambda: asyncio.open_connection(parts.hostname, parts.port or default)
        login = parts.netloc.rpartition("@")[0]
        yield between, parts._replace(netloc=f"{login}@127.0.0.1:{between.port}", query="").geturl()
