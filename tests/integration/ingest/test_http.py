"""The HTTP service as it is run: `python -m ingest` with two workers, asked by real clients and by hostile ones."""

import functools
import gzip
import itertools
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from redis import Redis

from shared.counting import keys
from shared.counting.fleet import Fleet
from shared.runtime.process import raise_descriptor_limit
from shared.settings import Settings
from tests.harness.process import ROOT, end, environ, free_port, launched
from tests.harness.services import missing
from tests.harness.wait import wait_for

DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
PROBLEM = "application/problem+json"
ROUTE = "/stats/{bannerId}"
#: Seconds that anything here may take.
PATIENCE_S = 30.0

_banners = itertools.count(1000)


class Service:
    """One running service. `counted` is exact at any moment: the lanes' files, and the script's own total."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, folder: Path, redis: "Redis") -> None:
        self.process, self.port, self.folder, self.redis = process, port, folder, redis
        self.log_path = folder / "log"

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE_S)

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Over a connection of its own."""
        with self.client() as http:
            return http.request(method, path, **more)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def counted(self) -> int:
        in_lanes = sum(view.accepted() for view in Fleet(self.folder / "lanes").views())
        return in_lanes + int(self.redis.hget(keys.prefix(0) + "keyed", "total") or 0)

    def in_redis(self) -> int:
        """Clicks of lanes that Redis has applied."""
        names = self.redis.keys(keys.prefix(0) + "lane:*")
        return sum(int(self.redis.hget(name, "total") or 0) for name in names)

    def total(self, banner: int) -> int:
        total: int = self.ask("GET", f"/stats/{banner}").raise_for_status().json()["total"]
        return total

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines of the log."""
        *lines, _ = self.log_path.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def requests(self) -> dict[str, dict[str, Any]]:
        """The access lines by their request ids."""
        return {line["request_id"]: line for line in self.lines() if line["event"] == "request"}


@contextmanager
def serving(folder: Path, redis_url: str, database_url: str, **settings: object) -> Iterator[Service]:
    port = free_port()
    values = {"redis_url": redis_url, "database_url": database_url, "data_dir": folder, "port": port, "workers": 2}
    values |= {"log_format": "json"} | settings
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        process = launched("-m", "ingest", log=folder / "log", env=environ(**values))
        service = Service(process, port, folder, redis)
        try:
            wait_for(lambda: is_live(service), "the start of the service")
            yield service
        finally:
            end(process, PATIENCE_S)


def is_live(service: Service) -> bool:
    assert service.process.poll() is None, service.log_path.read_text()
    try:
        return service.ask("GET", "/health/live").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def running(
    redis_url: str, module_database: str, module_clickhouse: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with serving(
        folder, redis_url, module_database, clickhouse_url=module_clickhouse.clickhouse_url, live_s=0.1
    ) as service:
        yield service


@pytest.fixture
def service(running: Service) -> Iterator[Service]:
    """The service, which has to be well after the test: no worker died, nothing broke unseen."""
    before = len(running.lines())
    yield running
    assert running.process.poll() is None
    events = [line["event"] for line in running.lines()[before:]]
    assert not [event for event in events if "Unexpected exit" in event or event.endswith(("_broke", "_failed"))]


@pytest.fixture
def banner() -> int:
    """An id that no other test has."""
    return next(_banners)


def assert_problem(answer: httpx2.Response, *statuses: int) -> None:
    assert answer.status_code in statuses
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["status"] == answer.status_code
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


# -- clicks ------------------------------------------------------------------------------------------------------------


def test_a_click_is_counted_and_can_be_read_back(service: Service, banner: int) -> None:
    before = service.counted()
    answer = service.ask("POST", f"/stats/{banner}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert service.counted() == before + 1
    wait_for(lambda: service.total(banner) == 1, "the click is read")


def test_plain_clicks_are_answered_inline_and_only_those(service: Service, banner: int) -> None:
    with service.client() as http:
        for number in range(20):
            assert http.post(f"/stats/{banner}", headers={"x-request-id": f"plain-{number}"}).status_code == 204
        assert http.post(f"/stats/{banner}", content=b"{}", headers={"x-request-id": "body"}).status_code == 204
    wait_for(lambda: "body" in service.requests(), "the access line")
    requests = service.requests()
    assert (requests["body"]["route"], requests["body"]["status"]) == (ROUTE, 204)
    assert not [name for name in requests if name.startswith("plain-")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW"])
def test_only_post_counts(service: Service, banner: int, method: str) -> None:
    before = service.counted()
    answer = service.ask(method, f"/stats/{banner}")
    assert answer.status_code == {"GET": 200, "HEAD": 200, "OPTIONS": 204}.get(method, 405)
    assert service.counted() == before


@pytest.mark.parametrize("is_chunked", [False, True])
def test_l2_a_click_with_a_small_body_counts_and_with_a_large_one_does_not(
    service: Service, banner: int, is_chunked: bool
) -> None:
    def content(size: int) -> Any:
        return iter([b"x" * size]) if is_chunked else b"x" * size

    before = service.counted()
    assert service.ask("POST", f"/stats/{banner}", content=content(100)).status_code == 204
    assert service.counted() == before + 1
    packed = {"content-encoding": "gzip"}  # of a body that nobody reads
    assert service.ask("POST", f"/stats/{banner}", content=content(65_536), headers=packed).status_code == 204
    assert service.counted() == before + 2
    assert_problem(service.ask("POST", f"/stats/{banner}", content=content(70_000)), 413)
    assert service.counted() == before + 2


def test_l2_a_hundred_megabytes_are_refused_unread(service: Service, banner: int) -> None:
    before = service.counted()
    with service.connect() as one:
        one.sendall(request(banner, b"Content-Length: 104857600") + b"x" * 1000)
        assert b" 413 " in one.recv(65536)
    assert service.counted() == before


LARGE = os.urandom(6_000_000)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "encoding", "status"),
    [
        ("/events", LARGE, "identity", 413),
        ("/events", gzip.compress(LARGE), "gzip", 413),
        ("/events", gzip.compress(b" " * 50_000_000), "gzip", 413),
        ("/events", LARGE, "br", 415),
        ("/stats", LARGE, "identity", 413),
        ("/stats/7", LARGE, "identity", 413),
    ],
    ids=["events", "events packed", "events unpacked", "events of another coding", "bulk", "click"],
)
def test_l2_whoever_sends_too_much_reads_why(
    service: Service, path: str, body: bytes, encoding: str, status: int, is_chunked: bool
) -> None:
    """And finds no connection reset: such a client writes all of it before it reads."""
    with service.client() as http:
        for _ in range(5):
            content = iter([body[at : at + 65536] for at in range(0, len(body), 65536)]) if is_chunked else body
            answer = http.post(path, content=content, headers={"content-encoding": encoding})
            assert_problem(answer, status)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b'GET /stats/<"> HTTP/1.1\r\nHost: t', 400),
        (b"GET /stats/\xff HTTP/1.1\r\nHost: t", 400),
        (b"GET /stats/1 2 HTTP/1.1\r\nHost: t", 400),
        (b"GARBAGE", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: t", 414),
        (b"GET /stats/1 HTTP/1.1\r\nHost: t" + b"\r\na: b" * 300, 431),
    ],
    ids=["marks", "bytes", "blank", "garbage", "long address", "many headers"],
)
def test_what_the_server_refuses_by_itself_is_as_the_interface_says(service: Service, head: bytes, status: int) -> None:
    with service.connect() as one:
        one.sendall(head + b"\r\n\r\n")
        answer = one.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"\r\n\r\n")  # no body
    assert f"| {status} | " in (ROOT / "docs/api.md").read_text()


@pytest.mark.parametrize(
    "path",
    [
        "/stats/dau?from=2026-03-01&to=2026-03-01",
        "/stats/top-events?from=2026-03-01&to=2026-03-01",
        "/stats/retention?start_date=2026-03-01&windows=1&window=day",
        "/stats/pages?from=2026-03-01&to=2026-03-01",
        "/logs?from=2026-03-01&to=2026-03-01",
        "/banners",
        "/freshness",
        "/trackers",
        "/stats/trackers/top?from=2026-03-01&to=2026-03-01",
        "/dead-letters",
        "/stats/live?top=1",
        "/stats?tracker_id=01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e&from=2026-03-01&to=2026-03-01",
    ],
)
def test_a_body_that_is_not_read_is_refused_by_what_reads(service: Service, path: str) -> None:
    answer = service.ask("GET", path, content=b'{"tsFrom":"2026-03-01T00:00:00Z"}')
    assert_problem(answer, 400)
    assert "body" in answer.json()["detail"]


def test_a_key_counts_once_over_all_workers(service: Service, banner: int) -> None:
    before = service.counted()
    headers = {"idempotency-key": f"k-{banner}"}
    answers = [service.ask("POST", f"/stats/{banner}", headers=headers) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {204}
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None] + ["true"] * 19
    assert service.counted() == before + 1
    wait_for(lambda: service.total(banner) == 1, "the click is read")


HOSTILE = [
    "%EF%BC%91%EF%BC%92%EF%BC%93",
    "%D9%A1",
    "+1",
    "%2B1",
    "-1",
    "1e3",
    "1" * 20,
    "9007199254740992",
    "%00",
    "1%00",
    "01",
    "0",
    "%20",
    "1%20",
    "1_0",
    "1.0",
    "0x1",
    "1/2",
    "%ff",
    "1;a=b",
    "..",
    "top",
]


@pytest.mark.parametrize(
    "more", [{}, {"content": b"x"}, {"headers": {"idempotency-key": "k"}}], ids=["plain", "body", "key"]
)
def test_i3_hostile_ids_never_count(service: Service, more: dict[str, Any]) -> None:
    before = service.counted()
    with service.client() as http:
        for text in HOSTILE:
            answer = http.post(f"http://127.0.0.1:{service.port}/stats/{text}", **more)
            assert 400 <= answer.status_code < 500, text
            assert_problem(answer, 400, 404, 405)
    assert service.counted() == before


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/stats/", "/stats/1/", "/stats/1%2f"])
def test_a_slash_at_the_end_is_another_address_and_no_redirect(service: Service, method: str, path: str) -> None:
    assert_problem(service.ask(method, path), 404)


def test_an_escaped_digit_is_that_digit(service: Service, banner: int) -> None:
    before = service.counted()
    assert service.ask("POST", f"/stats/{banner}".replace("1", "%31")).status_code == 204
    assert service.counted() == before + 1


# -- many clicks -------------------------------------------------------------------------------------------------------


def test_ten_thousand_items_count_at_once(service: Service, banner: int) -> None:
    before = service.counted()
    answer = service.ask("POST", "/stats", json=[{"bannerId": banner, "count": 2}] * 10_000)
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["clicks"]) == (10_000, 20_000)
    assert service.counted() == before + 20_000
    wait_for(lambda: service.total(banner) == 20_000, "the clicks are read")


def test_items_with_ids_count_once_over_all_workers(service: Service, banner: int) -> None:
    before = service.counted()
    items = [{"bannerId": banner, "id": f"{banner}-{number}"} for number in range(2500)]
    answers = [service.ask("POST", "/stats", json=items).json() for _ in range(4)]
    assert [answer["accepted"] for answer in answers] == [2500, 0, 0, 0]
    assert [answer["duplicate"] for answer in answers] == [0, 2500, 2500, 2500]
    assert service.counted() == before + 2500


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'[{"bannerId":' + b"1" * 5000 + b"}]", b'[{"bannerId":NaN}]', b'[{"bannerId":1e999}]', b"\xff"],
)
def test_i2_hostile_json_is_refused(service: Service, body: bytes) -> None:
    before = service.counted()
    assert_problem(service.ask("POST", "/stats", content=body), 400, 422)
    assert service.counted() == before


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_a_wrong_method_is_a_405_that_names_the_right_ones(service: Service, path: str) -> None:
    declared = {method.upper() for method in DOCUMENT["paths"][path]}
    declared |= {"HEAD"} if "GET" in declared else set()
    before = service.counted()
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - declared:
        answer = service.ask(method, path.replace("{bannerId}", "1"))
        assert set(answer.headers["allow"].split(", ")) == declared
        if method != "HEAD":
            assert_problem(answer, 405)
    assert service.counted() == before


@pytest.mark.parametrize(
    "path", ["/nowhere", "/ui", "/stats/1/2", "/Stats/1", "//stats/1", "/stats1", "/docs/../etc/passwd", "/%2e%2e/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_a_problem(service: Service, method: str, path: str) -> None:
    before = service.counted()
    answer = service.ask(method, f"http://127.0.0.1:{service.port}{path}")
    assert_problem(answer, 404)
    assert service.counted() == before


def test_l5_a_path_that_is_too_long_is_refused(service: Service) -> None:
    before = service.counted()
    assert_problem(service.ask("GET", "/stats/" + "1" * 9000), 400)
    assert_problem(service.ask("POST", "/stats/" + "1" * 9000), 400)
    assert service.counted() == before


def test_statistics_come_as_csv_where_that_is_asked_for(service: Service, banner: int) -> None:
    service.ask("POST", f"/stats/{banner}")
    wait_for(lambda: service.total(banner) == 1, "the click is read")
    answer = service.ask("GET", f"/stats/{banner}", headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert ",1," in answer.text


# -- raw connections ---------------------------------------------------------------------------------------------------


def request(banner: int, *headers: bytes) -> bytes:
    return b"\r\n".join([f"POST /stats/{banner} HTTP/1.1".encode(), b"Host: t", *headers, b"", b""])


def read_until_closed(one: socket.socket) -> bytes:
    parts = []
    try:
        while part := one.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_l1_headers_that_come_too_slowly_end_the_connection(service: Service, banner: int) -> None:
    before = service.counted()
    text = iter(request(banner, *[b"X-Slow: %d" % number for number in range(100)]))
    with service.connect() as one:
        one.settimeout(0.25)
        began = time.monotonic()
        is_open = True
        while is_open:
            assert time.monotonic() - began < 15, "the connection is still open"
            try:
                one.sendall(bytes([next(text)]))
                is_open = bool(one.recv(1000))
            except TimeoutError:
                assert service.ask("GET", "/health/live").status_code == 200
            except OSError:
                is_open = False
    assert service.counted() == before


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """A connection is a descriptor here, too."""
    limits = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5100:
        missing("descriptors", f"the hard limit of {hard} open files is below 5,100")
    raise_descriptor_limit()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True


@pytest.mark.usefixtures("many_descriptors")
def test_l1_five_thousand_idle_connections_hold_up_nobody(service: Service, banner: int) -> None:
    with ExitStack() as connections:
        idle = [connections.enter_context(service.connect()) for _ in range(5000)]
        before = service.counted()
        for _ in range(20):
            assert service.ask("POST", f"/stats/{banner}").status_code == 204
        assert service.counted() == before + 20
        # Where connecting took longer than the time for headers, the oldest are closed by now.
        assert sum(_is_open(one) for one in idle) > 1000
        idle[-1].settimeout(20)
        assert idle[-1].recv(1) == b""  # the time for headers is over
    assert service.ask("GET", "/health/live").status_code == 200


def test_l9_pipelined_clicks_count_each_once(service: Service, banner: int) -> None:
    before = service.counted()
    with service.connect() as one:
        one.sendall(request(banner) + request(banner, b"Connection: close"))
        answers = read_until_closed(one)
    assert answers.count(b"HTTP/1.1 204") == 2
    assert service.counted() == before + 2


def test_l9_a_client_that_closes_its_half_is_answered_or_not_but_counted_once_at_most(
    service: Service, banner: int
) -> None:
    before = service.counted()
    with service.connect() as one:
        one.sendall(request(banner))
        one.shutdown(socket.SHUT_WR)
        answers = read_until_closed(one)
    assert answers.count(b"HTTP/1.1 204") <= service.counted() - before <= 1  # acknowledged, counted, attempted


def second(banner: int) -> bytes:
    return request(banner, b"Connection: close")


SMUGGLED: dict[str, Callable[[int], bytes]] = {
    "length and chunked": lambda b: (
        request(b, b"Content-Length: %d" % (5 + len(second(b))), b"Transfer-Encoding: chunked")
        + b"0\r\n\r\n"
        + second(b)
    ),
    "chunked and length": lambda b: (
        request(b, b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n" + second(b)
    ),
    "two lengths": lambda b: request(b, b"Content-Length: 0", b"Content-Length: 60") + second(b),
    "length with sign": lambda b: request(b, b"Content-Length: +0") + second(b),
    "chunked twice": lambda b: (
        request(b, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + b"0\r\n\r\n" + second(b)
    ),
    "unknown coding": lambda b: request(b, b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + second(b),
    "space before colon": lambda b: request(b, b"Content-Length : 60") + second(b),
    "folded header": lambda b: request(b, b"X-A: 1", b" Content-Length: 60") + second(b),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_l9_a_request_of_doubtful_length_is_one_or_none(service: Service, banner: int, name: str) -> None:
    before = service.counted()
    with service.connect() as one:
        one.sendall(SMUGGLED[name](banner))
        one.shutdown(socket.SHUT_WR)
        answers = read_until_closed(one)
    assert answers.count(b"HTTP/1.1 ") <= 1
    assert service.counted() - before <= 1


@pytest.mark.parametrize("rest", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_l9_a_body_that_breaks_off_counts_nothing(service: Service, banner: int, rest: bytes) -> None:
    before = service.counted()
    name = b"broken-%d" % banner
    with service.connect() as one:
        one.sendall(request(banner, rest, b"X-Request-Id: " + name) + b"5\r\nabcde\r\n")
    wait_for(lambda: name.decode() in service.requests(), "the access line")
    assert service.requests()[name.decode()]["status"] == 499
    assert service.counted() == before


def test_a_websocket_is_refused(service: Service, banner: int) -> None:
    before = service.counted()
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eA==")
    with service.connect() as one:
        one.sendall(b"\r\n".join([b"GET /stats/x HTTP/1.1", b"Host: t", *upgrade, b"", b""]))
        assert one.recv(65536).startswith(b"HTTP/1.1 4")
    assert service.counted() == before


# -- anything ----------------------------------------------------------------------------------------------------------


#: What is not checked: the document does not know all that is refused (cursors, segments, names of zones), and of
#: bodies in which each item has its own result a bad item is no reason to refuse all.
SCHEMATHESIS = """
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = ["POST /events", "POST /stats"]
checks.negative_data_rejection.enabled = false
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("examples", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_i1_every_answer_is_as_the_document_says_and_none_is_a_server_error(
    service: Service, tmp_path: Path, examples: int
) -> None:
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
    command = ["run", "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing"]
    more = ["--generation-database", "none", "--no-color", f"http://127.0.0.1:{service.port}/openapi.json"]
    program = [str(Path(sys.executable).with_name("schemathesis")), *command, *more]
    run = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stdout[-5000:]
    assert re.search(r"Selected: (\d+)/\1\s+Tested: \1\n", run.stdout), run.stdout[-5000:]


# -- acknowledged by Redis ---------------------------------------------------------------------------------------------


def test_a_204_means_that_redis_has_it_where_that_was_asked_for_and_a_stop_loses_nothing(
    redis_url: str, module_database: str, tmp_path: Path, running: Service
) -> None:
    # Last in the file: it empties the Redis of the other service.
    with serving(tmp_path, redis_url, module_database, ack="redis") as service:
        with service.client() as http:
            for number in range(1, 51):
                assert http.post("/stats/7").status_code == 204
                assert service.in_redis() >= number
        assert service.ask("POST", "/stats/7", content=b"x").status_code == 204
        assert service.in_redis() >= 51
        assert service.ask("POST", "/stats", json=[{"bannerId": 7, "count": 9}]).status_code == 200
        assert service.in_redis() >= 60


def successor(main: psutil.Process) -> None:
    """Kill the first worker, and wait for the one that takes its place."""
    former = {child.pid for child in main.children()}
    os.kill(min(former), signal.SIGKILL)
    wait_for(lambda: {child.pid for child in main.children()} - former, "the successor")


@pytest.mark.parametrize("moment", [n if n in (0, 2, 5) else pytest.param(n, marks=pytest.mark.slow) for n in range(8)])
def test_a_stop_that_meets_a_worker_at_its_start_does_not_wait_for_it(
    redis_url: str, module_database: str, tmp_path: Path, moment: int
) -> None:
    with serving(tmp_path, redis_url, module_database) as service:
        successor(psutil.Process(service.process.pid))
        time.sleep(0.08 * moment)
        service.process.terminate()
        assert service.process.wait(PATIENCE_S) == 0
        assert "refused to gracefully stop" not in service.log_path.read_text()  # Granian would have to kill it


#: `python -m ingest` whose stop comes when a new worker has not begun to serve: before its event loop runs, or in it,
#: while the application is made.
BEFORE_IT_SERVES = """
import os, signal, sys, time
from ingest.front import worker

parent = os.getpid()

def meeting(make):
    def met(*arguments):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(parent, signal.SIGTERM)
        while signal.SIGTERM not in signal.sigpending():
            time.sleep(0.01)
        print("met", flush=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return make(*arguments)
    return met

of, name = {"loop": (worker.uvloop, "run"), "application": (worker, "create_app")}[sys.argv[1]]
setattr(of, name, meeting(getattr(of, name)))

from ingest.__main__ import main
main()
"""


@pytest.mark.parametrize("before", ["loop", "application"])
def test_a_stop_that_comes_before_a_worker_serves_is_not_lost(
    redis_url: str, module_database: str, tmp_path: Path, before: str
) -> None:
    values = {"redis_url": redis_url, "database_url": module_database, "data_dir": tmp_path, "port": free_port()}
    values |= {"workers": 2, "log_format": "json"}
    command = [sys.executable, "-c", BEFORE_IT_SERVES, before]
    done = subprocess.run(
        command, cwd=ROOT, env=environ(**values), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "met" in done.stdout
    assert "refused to gracefully stop" not in done.stdout + done.stderr


def test_sigterm_drains_and_ends_with_zero(redis_url: str, module_database: str, tmp_path: Path) -> None:
    # The drain of a busy lane looks once a second, so the clicks are in the lanes when the signal comes.
    with serving(tmp_path, redis_url, module_database, drain_interval_ms=1000) as service:
        ask = functools.partial(service.ask, "POST", "/stats/7")
        assert {ask().status_code for _ in range(50)} == {204}
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE_S) == 0
        assert service.counted() == 50
        assert service.in_redis() == 50


class Clicking:
    """Clients that click over connections of their own, and know what they were told."""

    def __init__(self, service: Service, clients: int = 8) -> None:
        self._service, self._is_over = service, threading.Event()
        self.attempted = self.acknowledged = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._click) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _click(self) -> None:
        while not self._is_over.is_set():
            with suppress(OSError), self._service.connect() as one:
                while not self._is_over.is_set():
                    with self._lock:
                        self.attempted += 1
                    one.sendall(request(7))
                    if not one.recv(65536).startswith(b"HTTP/1.1 204 "):
                        break
                    with self._lock:
                        self.acknowledged += 1


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_kills_of_workers_under_load_lose_no_answer(
    redis_url: str, module_database: str, tmp_path: Path, kills: int
) -> None:
    with serving(tmp_path, redis_url, module_database) as service:
        clicking = Clicking(service)
        try:
            for number in range(kills):
                if number:
                    time.sleep(6)  # Granian gives up when a worker dies within 5.5 s of its start
                for is_after in (False, True):
                    before = clicking.acknowledged
                    wait_for(lambda b=before: clicking.acknowledged > b + 200, "clicks")
                    if not is_after:
                        successor(psutil.Process(service.process.pid))
                        wait_for(lambda: is_live(service), "the service")
        finally:
            clicking.end()
        assert clicking.acknowledged <= service.counted() <= clicking.attempted


def test_a_stop_under_load_loses_no_answer(redis_url: str, module_database: str, tmp_path: Path) -> None:
    with serving(tmp_path, redis_url, module_database, drain_interval_ms=1000) as service:
        clicking = Clicking(service)
        uploads = [service.connect() for _ in range(4)]
        try:
            for one in uploads:
                one.sendall(request(8, b"Content-Length: 3") + b"a")
            wait_for(lambda: clicking.acknowledged > 200, "clicks")
            service.process.send_signal(signal.SIGTERM)
            for one in uploads:
                one.sendall(b"bc")
                assert one.recv(65536).startswith(b"HTTP/1.1 204 ")
            assert service.process.wait(PATIENCE_S) == 0
        finally:
            clicking.end()
            for one in uploads:
                one.close()
        assert clicking.acknowledged + 4 <= service.counted() <= clicking.attempted + 4
        assert service.in_redis() == service.counted()
