"""A proxy between a client and a real server that can be told to fail, in the ways networks do."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
#: Bytes that travel at a time.
_CHUNK = 1 << 16


class Proxy:
    """Forwards to what `connect` opens. That, and its faults, may be changed at any moment."""

    def __init__(self, connect: Connect | None = None, chance: random.Random | None = None) -> None:
        self.connect = connect
        self.port = 0
        self._chance = chance or random.Random(0)
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        #: Replies that were swallowed so far.
        self.swallowed = 0
        self.is_forwarding = asyncio.Event()
        self.calm()

    def calm(self) -> None:
        """Forward faithfully again."""
        #: Cut every connection at once, new ones too.
        self.away = False
        #: Forward what clients send, and swallow all replies: done, but unknown.
        self.deaf = False
        #: Seconds by which every chunk is late.
        self.delay_s = 0.0
        #: Requests that hold one of these texts lose their reply with that chance, and their connection with it.
        self.swallow: dict[bytes, float] = {}
        #: While this is clear nothing is forwarded; connections are accepted all the same.
        self.is_forwarding.set()

    def fail(self, *, away: bool = False, deaf: bool = False) -> None:
        """Be away, which cuts what is connected, or deaf, from now on."""
        self.away, self.deaf = away, deaf
        if away:
            self.cut()

    def heal(self) -> None:
        """Work again. Cut the connections that missed a reply, as they would never be in step again."""
        self.calm()
        self.cut()

    def cut(self) -> int:
        """Reset every connection; return how many there were."""
        for link in self._links:
            link.cut()
        return len(self._links)

    async def start(self, listen: Path | int = 0) -> None:
        """Listen on a unix socket, or on a port of the loopback interface; 0 is a free one."""
        if isinstance(listen, Path):
            listen.unlink(missing_ok=True)  # noqa: ASYNC240 - at once
            self._server = await asyncio.start_unix_server(self._accept, listen)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", listen)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut all, and wait until nothing of it runs."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def is_swallowed(self, request: bytes) -> bool:
        """Whether the reply to this request is to be lost."""
        return any(text in request and self._chance.random() < chance for text, chance in self.swallow.items())

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away or self.connect is None:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self.connect()
        except BaseException as error:
            writer.transport.abort()
            if isinstance(error, OSError):
                return
            raise
        link = _Link(self, writer, far_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(link.requests(reader))
                group.create_task(link.replies(far_reader))
        except* EOFError:
            link.close()
        except* OSError:
            link.cut()
        finally:
            self._links.discard(link)
            if (task := asyncio.current_task()) and task.cancelling():
                link.cut()


class _Link:
    """One client's connection and the one to the server behind it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._is_doomed = False

    def cut(self) -> None:
        for writer in (self._client, self._server):
            writer.transport.abort()

    def close(self) -> None:
        """Close when all is sent."""
        for writer in (self._client, self._server):
            writer.close()

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
                self.cut()
                break
            if not self._proxy.deaf:
                self._client.write(chunk)
                await self._client.drain()
        raise EOFError

    async def _wait(self) -> None:
        if self._proxy.delay_s:
            await asyncio.sleep(self._proxy.delay_s)
        await self._proxy.is_forwarding.wait()


@asynccontextmanager
async def proxy(connect: Connect | None = None) -> AsyncIterator[Proxy]:
    """A proxy on a free port. Without `connect`, set it before the first client comes."""
    one = Proxy(connect)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def to_port(port: int) -> Connect:
    """A connection to a port of the loopback interface."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


def to_socket(path: Path | str) -> Connect:
    """A connection to a unix socket."""
    return lambda: asyncio.open_unix_connection(path)


def to_url(url: str, default: int = 6379) -> Connect:
    """A connection to the server of a URL."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return to_socket(parts.path)
    if parts.query.startswith("host="):
        return to_socket(f"{parts.query[5:]}/.s.PGSQL.5432")
    return lambda: asyncio.open_connection(parts.hostname, parts.port or default)


@asynccontextmanager
async def behind(url: str, default: int = 6379) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the server of a URL, and the URL of the proxy."""
    parts = urlsplit(url)
    async with proxy(to_url(url, default)) as between:
        if parts.scheme == "unix":
            yield between, f"redis://127.0.0.1:{between.port}"
            return
        login = parts.netloc.rpartition("@")[0]
        yield between, parts._replace(netloc=f"{login}@127.0.0.1:{between.port}", query="").geturl()


async def trouble(between: Proxy, send: Callable[[], Awaitable[object]]) -> None:
    """Send while the server does what it is asked and its replies are lost, and while it is away, again and again."""
    for _ in range(4):
        for _ in range(3):
            await send()
        await asyncio.sleep(0.1)
        between.fail(deaf=True)
        await asyncio.sleep(0.5)
        between.fail(away=True)
        await asyncio.sleep(0.2)
        between.heal()
