"""Write the bytes of answers. The date is made once a second."""

import time
from collections.abc import Iterable

#: Phrases of what plain requests are answered with; any other status goes without one (RFC 9112, 4).
_PHRASES = {200: "OK", 204: "No Content", 302: "Found", 413: "Content Too Large", 503: "Service Unavailable"}


class Answers:
    """Answers of one worker. Call `tick` once a second."""

    #: A counted click.
    click: bytes

    def __init__(self) -> None:
        self.tick()

    def tick(self) -> None:
        """Take the date of this second."""
        date = time.strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n\r\n", time.gmtime()).encode()
        self._date = date
        self.click = b"HTTP/1.1 204 No Content\r\n" + date

    def made(self, status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
        """Return a whole answer. One without content says nothing of its length (RFC 9110, 8.6)."""
        length = [("content-length", str(len(body)))] if status != 204 else []
        return self.dated(begun(status, [*headers, *length])) + body

    def dated(self, begin: bytes) -> bytes:
        """Return the head of an answer that begins so, with the date as its last header."""
        return begin + self._date


def begun(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the begin of an answer, which may be kept: its status and headers without the date."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{lines}".encode("latin-1")
