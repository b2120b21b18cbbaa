"""A small HTTP client on one kept-alive connection, for the questions that the load tests ask."""

import http.client
import json
import re
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

#: Seconds until an answer counts as missing.
_TIMEOUT_S = 30.0


class AnswerError(Exception):
    """The service answered something else than a success."""


class Client:
    """One connection to one service; use it in a `with` statement."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str, **query: object) -> Any:
        """The JSON answer of a GET. Raises AnswerError, or OSError when nobody answers."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: object) -> Any:
        """The JSON answer of a POST with a JSON body. Raises as `get` does."""
        return self._ask("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})

    def raw(self, path: str) -> bytes:
        """The body that answers a GET with 200, unread. For timing: it does as little as it can beside waiting.

        Raises AnswerError, also when the answer has no Content-Length.
        """
        if self._connection.sock is None:
            self._connection.connect()
        self._connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._connection.host}\r\n\r\n".encode())
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._received()
        head = bytes(received[:end]).lower()
        length = re.search(rb"\r\ncontent-length: *(\d+)", head)
        if not head.startswith(b"http/1.1 200 ") or length is None:
            raise AnswerError(f"GET {path} -> {bytes(received[:300])!r}")
        while len(received) < end + 4 + int(length[1]):
            received += self._received()
        return bytes(received[end + 4 :])

    def _received(self) -> bytes:
        part: bytes = self._connection.sock.recv(1 << 20)
        if not part:
            raise AnswerError("the service closed the connection in the middle of an answer")
        return part

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        content = answer.read()
        if not 200 <= answer.status < 300:
            raise AnswerError(f"{method} {path} -> {answer.status} {content[:300]!r}")
        return json.loads(content) if content else None
