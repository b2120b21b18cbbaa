"""Write the bytes of answers. The date is made once a second."""

import time
from collections.abc import Iterable

#: Phrases of what plain requests are answered with; any other status goes without one (RFC 9112, 4).
_PHRASES = {200: "OK", 204: "No Content", 413: "Content Too Large", 503: "Service Unavailable"}


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
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        length = f"content-length: {len(body)}\r\n" if status != 204 else ""
        start = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{lines}{length}"
        return start.encode("latin-1") + self._date + body
