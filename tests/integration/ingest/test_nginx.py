"""The nginx in front, with its real configuration: who the client is, what is refused, and that nothing goes twice."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from loadtest.tools.nginx import CONFIGURATION as FILE
from loadtest.tools.nginx import adapted
from loadtest.tools.stack import free_port
from shared.errors import TallybookError
from tests.harness.services import require

CONFIGURATION = FILE.read_text()

CONNECT_S = 10.0

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Upstream:
    """Stands where the service would and keeps what it was sent. Once `cut` is set, it hangs up unanswered; while
    `silent` is, it says nothing."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, list[tuple[str, str]]]] = []
        self.connections = 0
        self.cut = self.silent = False
        #: What is said to whoever asks for permission to upload.
        self.permission = "204 No Content"
        #: Media type and body of what is read; 204 where there is none.
        self.answer: tuple[str, bytes] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive until `cut` is set."""
        self.connections += 1
        try:
            while line := await reader.readline():
                headers = await self._headers(reader)
                await reader.readexactly(int(dict(headers).get("content-length", 0)))
                self.requests.append((line.decode().strip(), headers))
                if self.cut:
                    break
                if self.silent:
                    continue
                status = self.permission if line.startswith(b"GET /events ") else "204 No Content"
                length = "" if status.startswith("204") else "Content-Length: 0\r\nWWW-Authenticate: Bearer\r\n"
                if self.answer is not None:
                    media, body = self.answer
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
                    writer.write(head.encode() + body)
                    continue
                writer.write(f"HTTP/1.1 {status}\r\n{length}X-Connection: {self.connections}\r\n\r\n".encode())
                await writer.drain()
        finally:
            writer.close()

    async def _headers(self, reader: asyncio.StreamReader) -> list[tuple[str, str]]:
        headers = []
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        return headers

    def values(self, name: str) -> list[str]:
        """What the last request said under this name."""
        return [value for header, value in self.requests[-1][1] if header == name]


@asynccontextmanager
async def running(
    folder: Path, upstreams: list[int], outer_proxies: str = "", changed: Mapping[str, str] | None = None
) -> AsyncIterator[int]:
    """A real nginx in front of these ports, behind these proxies; gives its own port. `changed` are texts of its
    configuration."""
    nginx, port = require("nginx"), free_port()
    configuration = folder / "nginx.conf"
    text = adapted(folder, upstreams, port, outer_proxies=outer_proxies)
    for given, wanted in (changed or {}).items():
        assert given in text
        text = text.replace(given, wanted)
    configuration.write_text(text)
    process = await asyncio.create_subprocess_exec(
        nginx, "-p", folder, "-e", folder / "start.log", "-c", configuration, "-g", "daemon off;"
    )
    try:
        async with asyncio.timeout(CONNECT_S):
            while not await _listens(port):
                assert process.returncode is None, (folder / "start.log").read_text()
                await asyncio.sleep(0.02)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, int]]:
    """A stub of the service and its port."""
    stub = Upstream()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    yield stub, server.sockets[0].getsockname()[1]
    server.close()


async def exchange(port: int, text: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send one request over a new connection: status, headers and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.replace("\n", "\r\n").encode() + b"\r\n" + body)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECT_S)).decode().split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    writer.close()
    return int(head[0].split()[1]), headers, content


async def slow_ones(port: int, text: str, begun: bytes, number: int) -> list[tuple[Reader, Writer]]:
    """Requests with a part of their bodies, each with its place: nginx says 100 when it has passed the limits."""
    slow = []
    for _ in range(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{text}Expect: 100-continue\n".replace("\n", "\r\n").encode() + b"\r\n" + begun)
        assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECT_S)
        slow.append((reader, writer))
    return slow


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(adapted(tmp_path, [free_port()], free_port()))
    command = [require("nginx"), "-t", "-p", tmp_path, "-e", tmp_path / "start.log", "-c", configuration]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


async def test_p1_a_client_cannot_forge_its_address(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    stub, port = upstream
    forged = (
        "POST /stats/7 HTTP/1.1\nHost: tallybook.test\nContent-Length: 0\nX-Forwarded-For: 6.6.6.6\n"
        "X-Forwarded-For: 7.7.7.7\nX-Real-IP: 6.6.6.6\nForwarded: for=6.6.6.6\nX-Forwarded-Host: evil.test\n"
        "X-Request-Id: forged\n"
    )
    async with running(tmp_path, [port]) as front:
        status, _, _ = await exchange(front, forged)
    assert status == 204
    assert stub.values("x-forwarded-for") == ["127.0.0.1"]
    assert stub.values("host") == ["tallybook.test"]
    assert stub.values("x-real-ip") == stub.values("forwarded") == []
    assert stub.values("x-forwarded-host") == ["tallybook.test"]
    assert re.fullmatch(r"[0-9a-f]{32}", stub.values("x-request-id")[0])
    assert len(stub.values("x-request-id")) == 1


FORWARDED = (
    "POST /stats/7 HTTP/1.1\nHost: inner.test\nContent-Length: 0\nX-Forwarded-For: 6.6.6.6, 203.0.113.77, 10.1.2.3\n"
    "X-Forwarded-Proto: https\nX-Forwarded-Host: count.test:8443\n"
)


async def test_p1_an_outer_proxy_that_is_trusted_says_who_the_client_is(
    tmp_path: Path, upstream: tuple[Upstream, int]
) -> None:
    stub, port = upstream
    async with running(tmp_path, [port], "127.0.0.0/8,10.0.0.0/8,2001:db8::/32") as front:
        assert (await exchange(front, FORWARDED))[0] == 204
        assert stub.values("x-forwarded-for") == ["203.0.113.77"]  # from the right, past what is trusted
        assert stub.values("x-forwarded-proto") == ["https"]
        assert stub.values("x-forwarded-host") == ["count.test:8443"]
        odd = (
            FORWARDED.replace("https", "javascript")
            .replace("count.test:8443", "a b/c")
            .replace("203.0.113.77", "nobody")
        )
        assert (await exchange(front, odd))[0] == 204
        assert stub.values("x-forwarded-proto") == ["http"]
        assert stub.values("x-forwarded-host") == ["inner.test"]


async def test_p1_any_other_proxy_is_a_client(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    stub, port = upstream
    async with running(tmp_path, [port], "10.0.0.0/8") as front:
        assert (await exchange(front, FORWARDED))[0] == 204
    assert stub.values("x-forwarded-for") == ["127.0.0.1"]
    assert stub.values("x-forwarded-proto") == ["http"]
    assert stub.values("x-forwarded-host") == ["inner.test"]


async def test_l3_clients_behind_a_trusted_proxy_do_not_share_their_uploads(
    tmp_path: Path, upstream: tuple[Upstream, int]
) -> None:
    _, port = upstream
    upload = "POST /events HTTP/1.1\nHost: t\nContent-Length: 2\nX-Forwarded-For: {}\n"
    async with running(tmp_path, [port], "127.0.0.1") as front:
        slow = await slow_ones(front, upload.format("203.0.113.1"), b"1", 6)
        assert (await exchange(front, upload.format("203.0.113.1"), b"12"))[0] == 503
        assert (await exchange(front, upload.format("203.0.113.2"), b"12"))[0] == 204
        for _, writer in slow:
            writer.close()


@pytest.mark.parametrize("value", ["proxy.test", "10.0.0.0/8; deny all", "$(id)"])
def test_outer_proxies_that_are_no_networks_stop_the_start_with_a_sentence(tmp_path: Path, value: str) -> None:
    command = ["sh", FILE.with_name("start.sh"), tmp_path]
    done = subprocess.run(command, env={"OUTER_PROXIES": value}, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "OUTER_PROXIES has" in json.loads(done.stderr)["reason"]


async def test_l3_a_client_has_a_few_bulk_requests_at_a_time(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    """Slow ones stay in nginx; reads of the same route are not in their way."""
    _, port = upstream
    bulk = "POST /stats HTTP/1.1\nHost: t\nTransfer-Encoding: chunked\n"
    async with running(tmp_path, [port]) as front:
        slow = await slow_ones(front, bulk, b"2\r\n1", 8)
        assert (await exchange(front, bulk, b"0\r\n\r\n"))[0] == 503
        assert (await exchange(front, "GET /stats HTTP/1.1\nHost: t\n"))[0] == 204
        for _, writer in slow:
            writer.close()


async def test_connections_to_the_service_are_kept_alive(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        for _ in range(6):
            await exchange(front, "POST /stats/7 HTTP/1.1\nHost: t\nContent-Length: 0\n")
    assert len(stub.requests) == 6
    assert stub.requests[0][0] == "POST /stats/7 HTTP/1.1"
    assert stub.connections <= 2  # one for each nginx process at most


@pytest.mark.parametrize("is_kept_alive", [False, True], ids=["new", "kept-alive"])
async def test_a_click_whose_answer_was_lost_is_not_sent_again(
    tmp_path: Path, upstream: tuple[Upstream, int], is_kept_alive: bool
) -> None:
    stub, port = upstream
    async with running(tmp_path, [port, port]) as front:  # two servers: a second try would have somewhere to go
        if is_kept_alive:
            for _ in range(4):
                await exchange(front, "POST /stats/7 HTTP/1.1\nHost: t\nContent-Length: 0\n")
        stub.requests.clear()
        stub.cut = True
        status, headers, body = await exchange(front, "POST /stats/8 HTTP/1.1\nHost: t\nContent-Length: 0\n")
    assert status == 502
    assert headers["content-type"] == "application/problem+json"
    assert b"Idempotency-Key" in body
    assert [line for line, _ in stub.requests] == ["POST /stats/8 HTTP/1.1"]


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/stats", 1 << 20, 204),
        ("/stats", (1 << 20) + 1, 413),
        ("/events", 5 << 20, 204),
        ("/events", (5 << 20) + 1, 413),
        ("/stats/7", 64 << 10, 204),
        ("/stats/7", (64 << 10) + 1, 413),
        ("/track", 64 << 10, 204),
    ],
)
async def test_l2_a_body_over_the_limit_never_reaches_the_service(
    tmp_path: Path, upstream: tuple[Upstream, int], path: str, size: int, status: int
) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        head = f"POST {path} HTTP/1.1\nHost: t\nContent-Length: {size}\n"
        answered, headers, body = await exchange(front, head, b"x" * size if status == 204 else b"")
    assert answered == status
    assert len([line for line, _ in stub.requests if line.startswith("POST")]) == (status == 204)
    if status == 413:
        assert headers["content-type"] == "application/problem+json"
        assert b'"code":"too_large"' in body


async def test_l3_a_client_has_a_few_uploads_at_a_time(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    """Slow ones do not reach the service, and clicks are not in their way."""
    stub, port = upstream
    upload = "POST /events HTTP/1.1\nHost: t\nContent-Length: 2\n"
    async with running(tmp_path, [port]) as front:
        slow = await slow_ones(front, upload, b"1", 6)
        sent = len(stub.requests)
        status, headers, body = await exchange(front, upload, b"12")
        assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
        assert b'"code":"busy"' in body
        assert (await exchange(front, "POST /stats/7 HTTP/1.1\nHost: t\n"))[0] == 204
        assert [line for line, _ in stub.requests[sent:]] == ["POST /stats/7 HTTP/1.1"]
        for reader, writer in slow:
            writer.write(b"2")
            assert b" 204 " in await asyncio.wait_for(reader.readline(), CONNECT_S)
            writer.close()
        assert (await exchange(front, upload, b"12"))[0] == 204


@pytest.mark.parametrize(("permission", "code"), [("401 Unauthorized", "unauthorized"), ("403 Forbidden", "forbidden")])
async def test_l3_a_body_without_a_key_takes_no_place_of_an_upload(
    tmp_path: Path, upstream: tuple[Upstream, int], permission: str, code: str
) -> None:
    stub, port = upstream
    stub.permission = permission
    async with running(tmp_path, [port]) as front:
        for _ in range(30):  # more than there are places
            status, headers, body = await exchange(front, "POST /events HTTP/1.1\nHost: t\nContent-Length: 5000000\n")
            assert (status, headers["content-type"]) == (int(permission[:3]), "application/problem+json")
            assert json.loads(body)["code"] == code
            assert ("www-authenticate" in headers) == (code == "unauthorized")
        assert {line for line, _ in stub.requests} == {"GET /events HTTP/1.1"}
        assert not {"content-length", "transfer-encoding"} & {name for _, sent in stub.requests for name, _ in sent}


@pytest.mark.parametrize("permission", ["429 Too Many Requests", "503 Service Unavailable", "404 Not Found"])
async def test_what_is_no_word_about_a_key_is_for_the_upload_to_hear(
    tmp_path: Path, upstream: tuple[Upstream, int], permission: str
) -> None:
    stub, port = upstream
    stub.permission = permission
    async with running(tmp_path, [port]) as front:
        assert (await exchange(front, "POST /events HTTP/1.1\nHost: t\nContent-Length: 2\n", b"12"))[0] == 204
    assert [line for line, _ in stub.requests] == ["GET /events HTTP/1.1", "POST /events HTTP/1.1"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ("GARBAGE\n", 400, "malformed"),
        ("GET /stats/\x00 HTTP/1.1\nHost: t\n", 400, "malformed"),
        ("GET /stats/7 HTTP/1.1\n", 400, "malformed"),
        ("GET /stats/7 HTTP/1.1\nHost: t\nHost: t\n", 400, "malformed"),
        ("GET /stats/7 HTTP/1.1\nHost: t\nContent-Length: x\n", 400, "malformed"),
        ("GET /stats/7 HTTP/3.0\nHost: t\n", 400, "malformed"),
        ("POST /stats/7 HTTP/1.1\nHost: t\nTransfer-Encoding: gzip\n", 400, "malformed"),
        (f"GET /stats?a={'x' * 9000} HTTP/1.1\nHost: t\n", 400, "malformed"),
        (f"GET /stats/7 HTTP/1.1\nHost: t\nX-Long: {'x' * 9000}\n", 400, "malformed"),
        (f"GET /{'x' * 9000}", 400, "malformed"),
        ("TRACE /stats/7 HTTP/1.1\nHost: t\n", 405, "method_not_allowed"),
        ("GET /nginx/malformed HTTP/1.1\nHost: t\n", 404, "not_found"),
        ("GET /metrics HTTP/1.1\nHost: t\n", 404, "not_found"),
    ],
)
async def test_what_the_proxy_refuses_has_the_one_form_of_errors(
    tmp_path: Path, upstream: tuple[Upstream, int], sent: str, status: int, code: str
) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        answered, headers, body = await exchange(front, sent)
    problem = json.loads(body)
    assert (answered, problem["status"], problem["code"]) == (status, status, code)
    assert headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= set(problem)
    assert stub.requests == []


@pytest.mark.parametrize(
    ("media", "size", "is_packed"),
    [
        ("application/json", 40_000, True),
        ("text/csv; charset=utf-8", 40_000, True),
        ("application/x-ndjson", 40_000, True),
        ("application/json", 100, False),
        ("text/event-stream", 40_000, False),
        ("application/vnd.apache.parquet", 40_000, False),
    ],
)
async def test_what_is_read_is_packed_and_streams_are_not(
    tmp_path: Path, upstream: tuple[Upstream, int], media: str, size: int, is_packed: bool
) -> None:
    stub, port = upstream
    stub.answer = media, b'{"count":7,"final":true},' * (size // 25)
    async with running(tmp_path, [port]) as nginx, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{nginx}") as http:
        answer = await http.get("/stats/7", headers={"accept-encoding": "gzip"})
        assert answer.content == stub.answer[1]
        assert answer.headers.get("content-encoding") == ("gzip" if is_packed else None)
        plain = await http.get("/stats/7", headers={"accept-encoding": "identity"})
        assert (plain.content, plain.headers.get("content-encoding")) == (stub.answer[1], None)


async def test_a_problem_of_the_proxy_leads_to_its_page(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    async with running(tmp_path, [upstream[1]]) as nginx, httpx2.AsyncClient() as http:
        for path in ("/metrics", "/metrics/a/b"):
            answer = await http.get(f"http://127.0.0.1:{nginx}{path}")
            page = httpx2.URL(f"https://t.example/count{path}").join(answer.json()["type"])
            assert str(page) == "https://t.example/count/docs/errors#not_found"


async def test_a_service_that_does_not_answer_in_time_is_one_status(
    tmp_path: Path, upstream: tuple[Upstream, int]
) -> None:
    stub, port = upstream
    stub.silent = True
    adapted_too = {"proxy_read_timeout 35s": "proxy_read_timeout 50ms"}
    async with running(tmp_path, [port], changed=adapted_too) as front:
        status, headers, body = await exchange(front, "POST /stats/7 HTTP/1.1\nHost: t\nContent-Length: 0\n")
    problem = json.loads(body)
    assert (status, problem["status"], problem["code"]) == (502, 502, "no_answer")
    assert headers["content-type"] == "application/problem+json"
    assert [line for line, _ in stub.requests] == ["POST /stats/7 HTTP/1.1"]


@pytest.mark.parametrize("path", ["/c", "/c?s=shop&w=0", "/x7/c", "/r/spring"])
@pytest.mark.parametrize("fault", ["too_large", "busy", "no_answer", "method_not_allowed"])
async def test_o6_a_page_can_read_what_the_proxy_refuses(
    tmp_path: Path, upstream: tuple[Upstream, int], path: str, fault: str
) -> None:
    """One that could not see the status would take it for a lost answer, and send again what was refused for good."""
    stub, port = upstream
    stub.cut = fault == "no_answer"
    head = "TRACE" if fault == "method_not_allowed" else "POST"
    length = 70_000 if fault == "too_large" else 0
    limits = {"limit_conn requests_of_client 512;": "limit_conn requests_of_client 1;"} if fault == "busy" else None
    async with running(tmp_path, [port], changed=limits) as front:
        slow = await slow_ones(front, "POST /stats/7 HTTP/1.1\nHost: t\nContent-Length: 2\n", b"1", fault == "busy")
        status, headers, body = await exchange(front, f"{head} {path} HTTP/1.1\nHost: t\nContent-Length: {length}\n")
        for _, writer in slow:
            writer.close()
    assert json.loads(body)["code"] == fault
    assert headers["access-control-allow-origin"] == "*"
    assert status >= 400


@pytest.mark.parametrize("path", ["/c", "/r/spring", "/stats/7", "/stats/7?u=/c", "/click"])
async def test_o6_the_proxy_opens_nothing_else(tmp_path: Path, upstream: tuple[Upstream, int], path: str) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        status, headers, _ = await exchange(front, f"POST {path} HTTP/1.1\nHost: t\nContent-Length: 0\n")
        assert status == 204
        assert "access-control-allow-origin" not in headers  # the word of the service, which has said nothing here
        stub.cut = True
        status, headers, _ = await exchange(front, f"POST {path} HTTP/1.1\nHost: t\nContent-Length: 0\n")
    assert status == 502
    assert ("access-control-allow-origin" in headers) == (path in ("/c", "/r/spring"))


def test_problems_of_the_proxy_are_those_of_the_service() -> None:
    """But for `no_answer`, which only a proxy can say."""
    known = {error.code: error for error in [*_errors(TallybookError)]}
    found = [json.loads(text) for text in re.findall(r"return \d+ '(\{.*\})';", CONFIGURATION)]
    assert len(found) >= 7
    for problem in found:
        if problem["code"] != "no_answer":
            error = known[problem["code"]]
            assert (problem["status"], problem["title"]) == (error.status, error.title())


def _errors(kind: type[TallybookError]) -> Iterator[type[TallybookError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _errors(one)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics?x=1", "/%6detrics", "//metrics"])
async def test_s1_metrics_are_not_reachable_from_outside(
    tmp_path: Path, upstream: tuple[Upstream, int], path: str
) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        status, headers, _ = await exchange(front, f"GET {path} HTTP/1.1\nHost: t\n")
    assert status == 404
    assert headers["content-type"] == "application/problem+json"
    assert stub.requests == []


async def test_l5_headers_over_the_limit_are_refused(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        status, _, _ = await exchange(front, f"GET /stats/7 HTTP/1.1\nHost: t\nX-Long: {'x' * 9000}\n")
    assert status == 400
    assert stub.requests == []


async def test_v2_no_address_is_logged(tmp_path: Path, upstream: tuple[Upstream, int]) -> None:
    stub, port = upstream
    async with running(tmp_path, [port]) as front:
        await exchange(front, "POST /stats/7 HTTP/1.1\nHost: t\nContent-Length: 0\n")
        stub.cut = True
        await exchange(front, "POST /stats/8 HTTP/1.1\nHost: t\nContent-Length: 0\n")
    logged = (tmp_path / "access.log").read_text() + (tmp_path / "error.log").read_text()
    assert '"status":502' in logged
    assert "/stats/7" not in logged  # no line for a click that was counted
    assert "127.0.0.1" not in logged
