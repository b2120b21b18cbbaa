"""Small HTTP clients for services of this host: a connection of its own, and one request alone."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


def request(
    port: int, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request over a connection of its own. Raises OSError or HTTPException when it breaks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()})
    finally:
        connection.close()


def fetched(port: int, path: str, method: str = "GET") -> bytes:
    """The body of an answer. Raises OSError when the service refuses or breaks off."""
    try:
        answer = request(port, path, method)
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from None
    if not 200 <= answer.status < 300:
        raise OSError(f"{answer.status}: {answer.text}")
    return answer.body


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
        return Answer(status, await self._reader.readexactly(int(headers.get("content-length", "0"))), headers)

    def drop(self) -> None:
        """Let it go at once."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Let it go when all is sent."""
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
