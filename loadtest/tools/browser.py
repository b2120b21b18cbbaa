"""A browser as the tracker sees one: an address, a user agent, perhaps a cookie, and one kept-alive connection."""

import asyncio
import time
from typing import NamedTuple
from uuid import UUID

#: Seconds until an answer counts as missing.
_TIMEOUT_S = 30.0
NIL = str(UUID(int=0))


class Answer(NamedTuple):
    """What came back, and when the request was sent and answered, in Unix milliseconds."""

    status: int
    headers: dict[str, str]
    sent_ms: int
    answered_ms: int
    took_s: float


class Browser:
    """Sends one request at a time from its own address: on Linux all of 127/8 is this host."""

    def __init__(self, port: int, address: str, user_agent: str, *, keeps_cookies: bool, opts_out: bool) -> None:
        self.address, self.user_agent = address, user_agent
        self.keeps_cookies, self.opts_out = keeps_cookies, opts_out
        self.cookie = ""
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, target: str, headers: dict[str, str]) -> Answer:
        """One exchange. Raises OSError or TimeoutError when nobody knows what became of it."""
        lines = {"host": f"127.0.0.1:{self._port}", "user-agent": self.user_agent, **headers}
        if self.opts_out:
            lines["sec-gpc"] = "1"
        if self.cookie:
            lines["cookie"] = f"theme=dark; user_id={self.cookie}"
        if method == "POST":
            lines["content-length"] = "0"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        sent_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status, found = await self._exchange(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode(), method)
        except BaseException:
            self.close()
            raise
        took_s = time.perf_counter() - began
        answered_ms = time.time_ns() // 1_000_000
        if self.keeps_cookies and "set-cookie" in found:
            self.cookie = user_of(found)
        if found.get("connection") == "close":
            self.close()
        return Answer(status, found, sent_ms, answered_ms, took_s)

    async def _exchange(self, request: bytes, method: str) -> tuple[int, dict[str, str]]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self.address, 0))
        reader, writer = self._streams
        writer.write(request)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            if method != "HEAD":
                await reader.readexactly(int(headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the connection ended in the middle of an answer") from error
        return int(head[0].split()[1]), headers

    def close(self) -> None:
        """Drop the connection; the next request makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def user_of(headers: dict[str, str]) -> str:
    """The id in the cookie that an answer sets; the nil UUID when it sets none."""
    name, _, rest = headers.get("set-cookie", "").partition("=")
    return rest.partition(";")[0] if name == "user_id" else NIL
