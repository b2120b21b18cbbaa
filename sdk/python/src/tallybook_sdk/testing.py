"""Test what an application records: the pytest fixture `tally`, and `FakeServer` for tests over HTTP.

def test_a_purchase_is_recorded(tally):
    shop = Shop(tally)
    shop.buy(user_id=17, price=12.5)
    assert tally.events.one("purchase")["properties"] == {"price": 12.5}
    assert tally.clicks == {42: 1}
"""

import gzip
import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from tallybook_sdk.client import Client
from tallybook_sdk.records import Click, event_entry
from tallybook_sdk.sending.answers import Answer
from tallybook_sdk.sending.batch import CLICKS, EVENTS, CellKey, Entry, Route
from tallybook_sdk.sending.courier import Rejected
from tallybook_sdk.sending.report import Books, Report, total


class Events(list[dict[str, Any]]):
    """Recorded events, as they would be sent."""

    def of(self, event_type: str) -> list[dict[str, Any]]:
        """Return the events of a type."""
        return [event for event in self if event["event_type"] == event_type]

    def one(self, event_type: str) -> dict[str, Any]:
        """Return the only event of a type. Raises AssertionError."""
        found = self.of(event_type)
        assert len(found) == 1, f"{len(found)} events of the type {event_type!r}"  # noqa: S101 - the purpose
        return found[0]


class Counts(Counter[int]):
    """Recorded clicks by banner. Called, it records, as `Client.clicks` does."""

    def __init__(self, tally: "Tally") -> None:
        super().__init__()
        self._tally = tally

    def __call__(self, clicks: Mapping[int, int] | Iterable[Click]) -> None:
        """Record clicks of several banners."""
        Client.clicks(self._tally, clicks)


class _Kept:
    """Take the place of the worker: keep everything, without a thread."""

    offset_s = 0.0
    bytes_max: Mapping[Route, int] = {CLICKS: 1 << 20, EVENTS: 5 << 20}

    def __init__(self, tally: "Tally") -> None:
        self._tally = tally
        self._books = {"clicks": Books(), "events": Books()}

    def put_clicks(self, cell: CellKey, count: int) -> bool:
        return False

    def put_event(self, body: bytes) -> None:
        self.put(event_entry(body))

    def put(self, entry: Entry) -> None:
        tally, books = self._tally, self._books[entry.route.name]
        books.recorded += entry.weight
        books.stored += entry.weight
        if entry.cell is not None:
            counts = tally.impressions[entry.cell.kind] if entry.cell.kind else tally.clicks
            counts[entry.cell.banner] += entry.weight
        elif entry.route is CLICKS:
            item = json.loads(entry.body)
            counts = tally.impressions[item["kind"]] if "kind" in item else tally.clicks
            counts[item["bannerId"]] += entry.weight
        else:
            tally.events.append(json.loads(entry.body))

    def refuse(self, route: Route, weight: int, rejected: Rejected) -> None:
        books = self._books[route.name]
        books.recorded += weight
        books.rejected[rejected.code] += weight
        self._tally.rejected.append(rejected)

    def report(self) -> Report:
        return total({name: books.snapshot(0, 0.0, "ok") for name, books in self._books.items()}, 0.0)

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self, timeout_s: float) -> None:
        """Do nothing."""


class Tally(Client):
    """A client that keeps what is recorded, with the checks of the real one, and sends nothing."""

    clicks: Counts  # called, it does what the method does

    def __init__(self) -> None:
        super().__init__("http://tally.invalid")
        self.events = Events()
        self.clicks = Counts(self)
        #: By kind (`served`, `viewable`), then by banner.
        self.impressions: dict[str, Counter[int]] = {"served": Counter(), "viewable": Counter()}
        self.rejected: list[Rejected] = []
        self._kept = _Kept(self)

    def _mine(self) -> Any:
        return self._kept


@pytest.fixture
def tally() -> Tally:
    """A client that keeps what is recorded and sends nothing."""
    return Tally()


# -- a service ---------------------------------------------------------------------------------------------------------


class Received(NamedTuple):
    """A request as it came. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, unpacked."""
        is_packed = self.headers.get("content-encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if is_packed else self.body)


#: What a scripted request gets: an answer, no answer (`reset`), or the work done and no answer (`lost`).
Scripted = Answer | str


class FakeServer:
    """A service on loopback that counts each id once, and answers what a test told it to.

    with FakeServer() as server:
        server.script(Answer(503, {"retry-after": "1"}, b""), "lost")
        client = Client(server.url)
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        #: By id: what would be rows and counts.
        self.events: dict[str, dict[str, Any]] = {}
        self.counted: dict[tuple[int, str], int] = {}
        #: What `GET /limits` answers; None is an older service.
        self.limits: dict[str, Any] | None = None
        self._script: deque[Scripted] = deque()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of this service."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def clicks(self) -> Counter[int]:
        """Clicks by banner."""
        found: Counter[int] = Counter()
        for (banner, _), count in self.counted.items():
            found[banner] += count
        return found

    def script(self, *outcomes: Scripted) -> None:
        """Let the next requests that carry records end like this."""
        self._script.extend(outcomes)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "FakeServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, request: Received) -> Answer | None:
        """Do what a request asks, and return its answer; None is no answer."""
        with self._lock:
            self.received.append(request)
            if request.method == "GET":
                if request.path == "/limits" and self.limits is not None:
                    return Answer(200, {}, json.dumps(self.limits).encode())
                return Answer(404, {}, b'{"code":"not_found","detail":"nothing here"}')
            outcome = self._script.popleft() if self._script else None
            if isinstance(outcome, Answer):
                return outcome
            if outcome == "reset":
                return None
            answer = self._take_clicks(request) if request.path == "/stats" else self._take_events(request)
            return None if outcome == "lost" else answer

    def _take_clicks(self, request: Received) -> Answer:
        items = request.json()
        duplicates = []
        for index, item in enumerate(items):
            name = (item["bannerId"], item["id"])
            if name in self.counted:
                duplicates.append(index)
            self.counted.setdefault(name, item.get("count", 1))
        taken = {"items": len(items), "accepted": len(items) - len(duplicates), "duplicate": len(duplicates)}
        return Answer(200, {}, json.dumps({**taken, "duplicates": duplicates}).encode())

    def _take_events(self, request: Received) -> Answer:
        counts = dict.fromkeys(("accepted", "duplicate", "conflict", "rejected"), 0)
        results = []
        for item in request.json():
            status = "duplicate" if item["event_id"] in self.events else "accepted"
            self.events.setdefault(item["event_id"], item)
            counts[status] += 1
            results.append({"status": status})
        return Answer(202, {}, json.dumps({**counts, "results": results}).encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def handle(self) -> None:
                with suppress(ConnectionError):  # a client that did not wait
                    super().handle()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = server._answer(Received(self.command, self.path, headers, body))
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = _serve

        return Handler


@pytest.fixture
def tally_server() -> Iterator[FakeServer]:
    """A service on loopback."""
    with FakeServer() as server:
        yield server
