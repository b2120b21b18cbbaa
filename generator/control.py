"""Serve the control endpoint: the load profile of the running generator, to read and to change, and its metrics.

    GET   /control    {"profile": {...}, "status": {...}}
    PATCH /control    {"mode": "bursts", "faulty_ratio": 0.2}: only what is to change; the answer is that of GET
    GET   /metrics    for Prometheus

Everybody who reaches it may use it, so it binds loopback by default. It refuses pages in a browser of this machine:
their requests have an Origin, or a foreign Host (DNS rebinding).
"""

import math
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from generator.traffic.profile import Profile, changed
from shared.errors import Malformed, MethodNotAllowed, NotFound, TallybookError, TooLarge, UnsupportedMediaType
from shared.telemetry import metrics

#: Seconds after which a silent client is disconnected.
_CLIENT_TIMEOUT_S = 5.0
#: Bytes of a change.
_BODY_MAX = 16_384
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_METHODS = {"/control": "GET, PATCH", "/metrics": "GET"}


class Controlled:
    """The run that the endpoint controls."""

    def __init__(
        self, profile: Callable[[], Profile], want: Callable[[Profile], None], status: Callable[[], dict[str, Any]]
    ) -> None:
        self.profile, self.want, self.status = profile, want, status
        #: One change at a time: of two concurrent ones, one would be lost.
        self.lock = Lock()

    def change(self, body: bytes) -> None:
        """Check and apply the change of a request. Raises Malformed or Invalid."""
        try:
            wishes = msgspec.json.decode(body, type=dict[str, Any])
        except (ValueError, RecursionError) as error:
            raise Malformed("The body has to be a JSON object of profile fields.") from error
        with self.lock:
            self.want(changed(self.profile(), wishes))


class Endpoint:
    """A running endpoint, in threads of its own, until `close`. Port 0 takes a free one. Raises OSError."""

    def __init__(self, host: str, port: int, controlled: Controlled) -> None:
        self._server = _Server((host, port), controlled)
        #: The port that was bound.
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], controlled: Controlled) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.controlled = controlled
        self.is_local = address[0] in _LOOPBACK
        self.registry = CollectorRegistry(auto_describe=False)
        for name, metric in vars(metrics).items():
            if name.startswith("GENERATOR_"):
                self.registry.register(metric)
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that has left."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_TIMEOUT_S
    server_version, sys_version = "tallybook", ""

    def _route(self) -> None:
        try:
            self._check()
            path = self.path.partition("?")[0]
            if path not in _METHODS:
                raise NotFound("There are /control and /metrics.")
            if self.command not in _METHODS[path].split(", "):
                raise MethodNotAllowed(headers={"allow": _METHODS[path]})
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.server.registry))
                return
            if self.command == "PATCH":
                self.server.controlled.change(self._body())
            told = {"profile": self.server.controlled.profile(), "status": self.server.controlled.status()}
            self._answer(200, "application/json", msgspec.json.encode(told) + b"\n")
        except TallybookError as error:
            self._refuse(error)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Route every method, so that `_route` refuses the unknown ones."""
        if name.startswith("do_"):
            return self._route
        raise AttributeError(name)

    def _check(self) -> None:
        """Refuse pages of a browser."""
        if "Origin" in self.headers:
            raise Malformed("This endpoint is not for pages in a browser.")
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if self.server.is_local and host.strip("[]") not in _LOOPBACK:
            raise Malformed("The Host header has to name this machine: 127.0.0.1, localhost or [::1].")

    def _body(self) -> bytes:
        if self.headers.get_content_type() != "application/json":
            raise UnsupportedMediaType("Send application/json.")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Malformed("A Content-Length is needed.")
        if int(length) > _BODY_MAX:
            self.close_connection = True
            raise TooLarge(f"A change has at most {_BODY_MAX} bytes.")
        return self.rfile.read(int(length))

    def _refuse(self, error: TallybookError) -> None:
        headers = dict(error.headers)
        if error.retry_after_s is not None:
            headers["retry-after"] = str(math.ceil(error.retry_after_s))
        self._answer(error.status, "application/problem+json", msgspec.json.encode(error.problem()), headers)

    def _answer(self, status: int, media: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing per request."""
