"""Send one request within a deadline, over connections that are kept.

Any object with `send` can take the place of `HttpTransport`: `Client(transport=...)`. It sends each request once,
follows no redirect and raises when there is no answer: NotSent if the request cannot have reached the service.
"""

import io
import select
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from time import monotonic
from typing import Any, Protocol, cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct

from tallybook_sdk.sending.answers import Answer

#: Bytes of an answer. More is no answer.
_ANSWER_MAX = 64 << 20
#: Bytes that are written at a time.
_CHUNK = 1 << 16
#: Connections that are kept.
_IDLE_MAX = 8


class NotSent(OSError):
    """The request cannot have reached the service: no address, no connection, no TLS."""


class Request(Struct, frozen=True):
    """One request, complete: the address and all headers but those of HTTP itself."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:
        """Leave out headers and body: they hold the key and data of users."""
        return f"Request({self.method} {self.url})"


class Deadline:
    """The end of an attempt, which another thread may bring forward."""

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + seconds
        self._is_cut = False
        self._on_cut: Callable[[], object] = lambda: None

    def remaining(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        left = self._at - monotonic()
        if left <= 0 or self._is_cut:
            raise TimeoutError("cut short" if self._is_cut else "no answer in time")
        return left

    def on_cut(self, act: Callable[[], object]) -> None:
        """Do this when the deadline is brought forward, also if it was already."""
        self._on_cut = act
        if self._is_cut:
            act()

    def cut(self) -> None:
        """End the attempt now."""
        self._is_cut = True
        self._on_cut()


class Transport(Protocol):
    """What sends requests."""

    def send(self, request: Request, deadline: Deadline) -> Answer:
        """Return the answer. Raises NotSent, or any other exception if nobody knows."""


class HttpTransport:
    """Send over HTTP/1.1 with http.client. Threads may share it."""

    def __init__(self) -> None:
        self._idle: list[_Connection] = []
        self._tls: ssl.SSLContext | None = None

    def send(self, request: Request, deadline: Deadline) -> Answer:
        """Return the answer. Raises NotSent, OSError or HTTPException."""
        url = urlsplit(request.url)
        connection = self._connection(url, deadline)
        deadline.on_cut(connection.shut)
        try:
            answer, is_kept = connection.ask(request, url, deadline)
        except BaseException:
            connection.drop()
            raise
        finally:
            deadline.on_cut(lambda: None)
        if is_kept and len(self._idle) < _IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.drop()
        return answer

    def drop(self) -> None:
        """Let idle connections go. After a fork they belong to the parent, so nothing is written to them."""
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().drop()

    def _connection(self, url: SplitResult, deadline: Deadline) -> "_Connection":
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                break
            if connection.origin == (url.scheme, url.netloc) and connection.is_fresh():
                return connection
            connection.drop()
        if url.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        connection = _Connection(url)
        try:
            connection.open(self._tls, deadline)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a name that is none
            connection.drop()
            raise NotSent(f"{url.netloc}: {error}") from error
        return connection


class _Connection(HTTPConnection):
    """One connection, straight or by a proxy."""

    def __init__(self, url: SplitResult) -> None:
        self.origin = (url.scheme, url.netloc)
        self._is_tls = url.scheme == "https"
        host, port = url.hostname or "", url.port or (443 if self._is_tls else 80)
        proxy = None if proxy_bypass(host) else getproxies().get(url.scheme)
        #: Headers for a proxy that reads the request itself.
        self._more: dict[str, str] = {}
        self._is_forwarded = bool(proxy) and not self._is_tls
        if proxy:
            by = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            login = f"{unquote(by.username or '')}:{unquote(by.password or '')}"
            pass_on = {"Proxy-Authorization": "Basic " + b64encode(login.encode()).decode()} if by.username else {}
            super().__init__(by.hostname or "", by.port or 80)
            if self._is_tls:
                self.set_tunnel(host, port, pass_on)
            else:
                self._more = pass_on
        else:
            super().__init__(host, port)
        self._name = host
        self.socket: socket.socket | None = None

    def open(self, tls: ssl.SSLContext | None, deadline: Deadline) -> None:
        """Connect. Raises OSError."""
        self.socket = _opened(self.host, self.port, deadline)
        deadline.on_cut(self.shut)
        tunnel = cast(Any, self)
        if tunnel._tunnel_host:
            self.sock = _Timed(self.socket, deadline)
            tunnel._tunnel()
        if self._is_tls and tls is not None:
            self.socket.settimeout(deadline.remaining())
            self.socket = tls.wrap_socket(self.socket, server_hostname=self._name)

    def ask(self, request: Request, url: SplitResult, deadline: Deadline) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection may be used again."""
        assert self.socket is not None  # noqa: S101 - for the type checker
        self.sock = _Timed(self.socket, deadline)
        target = request.url if self._is_forwarded else (url.path or "/") + (f"?{url.query}" if url.query else "")
        is_whole = True
        try:
            self.request(request.method, target, request.body, {**request.headers, **self._more})
        except (BrokenPipeError, ConnectionResetError):  # the service answers early and closes
            is_whole = False
        response = self.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.length is None:
            body = response.read(_ANSWER_MAX + 1)
        elif response.length <= _ANSWER_MAX:
            body = response.read()
        else:
            raise HTTPException(f"an answer of {response.length:,} bytes")
        if len(body) > _ANSWER_MAX:
            raise HTTPException(f"an answer of more than {_ANSWER_MAX:,} bytes")
        is_kept = is_whole and not response.will_close and response.isclosed()
        return Answer(response.status, headers, body), is_kept

    def is_fresh(self) -> bool:
        """Return whether nothing came since the last answer: neither its end nor bytes that nobody asked for."""
        if self.socket is None:
            return False
        poll = select.poll() if hasattr(select, "poll") else None
        if poll is None:
            return not select.select([self.socket], [], [], 0)[0]
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def shut(self) -> None:
        """Wake a thread that waits for this connection."""
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Close this process's end without a word."""
        self.close()
        if self.socket is not None:
            self.socket.close()


def _opened(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Return a socket that is connected to one of the addresses of a host. Raises OSError."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        one = socket.socket(family, kind, protocol)
        try:
            one.settimeout(deadline.remaining())
            one.connect(address)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return one
        except OSError as error:
            one.close()
            failure = error
    raise failure


class _Timed:
    """A socket as http.client uses it, whose every step ends at the deadline: also against one byte a second."""

    def __init__(self, of: socket.socket, deadline: Deadline) -> None:
        self._socket, self._deadline = of, deadline

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._deadline.remaining())
            view = view[self._socket.send(view[:_CHUNK]) :]

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._socket, self._deadline))

    def close(self) -> None:
        """Leave the socket to its connection: http.client closes before it has read an answer without a length."""


class _Reading(io.RawIOBase):
    def __init__(self, of: socket.socket, deadline: Deadline) -> None:
        self._socket, self._deadline = of, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.remaining())
        return self._socket.recv_into(buffer)
