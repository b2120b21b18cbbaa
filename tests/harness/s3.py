"""S3 at the edge: as much of its HTTP interface as ClickHouse uses, with the objects in memory. It can be away, and it
can be silent."""

import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.harness.process import free_port

KEY_ID, SECRET = "tallybook-key", "s3cret-of-the-bucket"


class S3:
    """The objects of one server by their paths, and how it is asked."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        #: Parts of uploads that are not complete: by upload, by number.
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.connections: list[socket.socket] = []
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None
        #: Requests wait while it is not set.
        self.is_there = threading.Event()
        self.is_there.set()

    @property
    def url(self) -> str:
        """Of a prefix in a bucket."""
        return f"http://127.0.0.1:{self.port}/bucket/events"

    def start(self) -> None:
        """Listen from now on."""
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections; the objects stay."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self.connections:
            with contextlib.suppress(OSError):  # gone already
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: S3

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def setup(self) -> None:
        """A connection that says nothing ends."""
        self.timeout = 30
        super().setup()
        self.store.connections.append(self.connection)

    def _begin(self) -> tuple[str, dict[str, str], bytes] | None:
        parts = urlsplit(self.path)
        body = self._body()
        self.store.is_there.wait()
        if f"Credential={KEY_ID}/" not in self.headers.get("Authorization", ""):
            self._answer(403, b"<Error><Code>InvalidAccessKeyId</Code></Error>")
            return None
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path), query, body

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return body
        whole = b""
        while body:  # size;chunk-signature=...\r\n bytes \r\n
            head, _, body = body.partition(b"\r\n")
            size = int(head.split(b";")[0], 16)
            whole, body = whole + body[:size], body[size + 2 :]
            if size == 0:
                break
        return whole

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.get("length", str(len(body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        if (asked := self._begin()) is None:
            return
        path, query, body = asked
        if "uploadId" in query:
            self.store.uploads[query["uploadId"]][int(query["partNumber"])] = body
        elif source := self.headers.get("x-amz-copy-source"):
            self.store.objects[path] = self.store.objects["/" + unquote(source).lstrip("/")]
            self._answer(200, b"<CopyObjectResult><ETag>copied</ETag></CopyObjectResult>")
            return
        else:
            self.store.objects[path] = body
        self._answer(200, ETag=f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')

    def do_POST(self) -> None:
        if (asked := self._begin()) is None:
            return
        path, query, body = asked
        if "uploads" in query:
            name = f"upload-{len(self.store.uploads)}"
            self.store.uploads[name] = {}
            self._answer(
                200, f"<R><UploadId>{name}</UploadId></R>".replace("R>", "InitiateMultipartUploadResult>").encode()
            )
        elif "uploadId" in query:
            made = self.store.uploads.pop(query["uploadId"])
            self.store.objects[path] = b"".join(made[number] for number in sorted(made))
            self._answer(200, b"<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>")
        else:  # ?delete
            for key in re.findall(rb"<Key>([^<]+)</Key>", body):
                self.store.objects.pop(f"{path.rstrip('/')}/{key.decode()}", None)
            self._answer(200, b"<DeleteResult></DeleteResult>")

    def do_DELETE(self) -> None:
        if (asked := self._begin()) is not None:
            self.store.objects.pop(asked[0], None)
            self._answer(204)

    def do_GET(self) -> None:
        if (asked := self._begin()) is None:
            return
        found = self.store.objects.get(asked[0])
        if found is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        status, headers = 200, {}
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(found), len(found))
            headers = {"Content_Range": f"bytes {first}-{end - 1}/{len(found)}"}
            status, found = 206, found[int(first) : end]
        self._answer(status, found, ETag='"x"', Last_Modified="Sat, 21 Nov 2026 00:00:00 GMT", **headers)

    do_HEAD = do_GET


@contextmanager
def s3() -> Iterator[S3]:
    """One of a test alone."""
    one = S3()
    one.start()
    try:
        yield one
    finally:
        one.is_there.set()
        one.stop()
