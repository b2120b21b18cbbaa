"""Where no key is asked for because this host alone reaches the service, nobody else gets in by a detour."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ingest.app import OPERATIONS
from ingest.auth.own_host import OwnHost
from ingest.auth.scopes import guarded
from ingest.http.openapi import Operation, routes
from ingest.http.problems import HANDLERS
from shared.errors import ForeignRequest
from shared.settings import Settings, SettingsError, load

#: Routes with a scope, and those that pages of everybody call.
SCOPED = [
    (one.method, one.path)
    for one in OPERATIONS
    if one.scope not in (None, "clicks:write", "hits:write", "collect:write")
]
OPEN = [
    (one.method, one.path) for one in OPERATIONS if one.scope in (None, "clicks:write", "hits:write", "collect:write")
]
HERE = {"host": "127.0.0.1:8080"}


@asynccontextmanager
async def asked(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The table of routes, each of which answers 200 to whoever gets through."""

    async def answered(request: Request) -> Response:
        return PlainTextResponse("through")

    stubs = [
        Operation(method=one.method, path=one.path, handler=answered, summary="", answers={}, scope=one.scope)
        for one in OPERATIONS
    ]
    app = Starlette(
        routes=routes(guarded(stubs, Settings(**settings))),
        exception_handlers=HANDLERS,  # type: ignore[arg-type]
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        yield client


def path_of(route: str) -> str:
    return route.replace("{bannerId}", "42")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "127.0.0.1", "127.1.2.3:1", "localhost", "LOCALHOST:8080", "[::1]:8080", "[::1]"]
)
async def test_p5_programs_of_this_host_need_no_key(host: str) -> None:
    async with asked() as client:
        for method, path in SCOPED:
            assert (await client.request(method, path_of(path), headers={"host": host})).text == "through"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "192.0.2.1:8080",
        "0.0.0.0",
        "[2001:db8::1]:8080",
        "127.0.0.1, evil.example",
        "[::1",
        "",
    ],
)
async def test_p5_a_foreign_host_is_400_on_every_route_with_a_scope(host: str) -> None:
    async with asked() as client:
        for method, path in SCOPED:
            answer = await client.request(method, path_of(path), headers={"host": host})
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
            if method != "HEAD":
                assert answer.json()["code"] == "foreign_host"
                assert "TALLYBOOK_ALLOWED_HOSTS" in answer.json()["detail"]


async def test_p5_two_hosts_are_none() -> None:
    async with asked() as client:
        answer = await client.get("/stats/42", headers=[("host", "127.0.0.1"), ("host", "127.0.0.1")])
        assert (answer.status_code, answer.json()["code"]) == (400, "foreign_host")


async def test_p5_hosts_of_the_settings_are_this_one() -> None:
    async with asked(allowed_hosts=("Count.example",)) as client:
        for host, status in [("count.example:8080", 200), ("COUNT.EXAMPLE", 200), ("x.count.example", 400)]:
            assert (await client.get("/stats/42", headers={"host": host})).status_code == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "127.0.0.1:8080"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Server", ""),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
    ],
)
async def test_p5_what_a_proxy_passes_on_does_not_come_from_this_host(name: str, value: str) -> None:
    async with asked() as client:
        for method, path in SCOPED:
            answer = await client.request(method, path_of(path), headers=HERE | {name: value})
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")
            assert name.lower() in answer.json()["detail"]
            assert "TALLYBOOK_KEYS=required" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://127.0.0.1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "cross-site"},
    ],
)
async def test_o7_no_page_of_another_origin_reads_or_writes(headers: dict[str, str]) -> None:
    beacon = {"content-type": "text/plain;charset=UTF-8"}  # which needs no preflight
    async with asked() as client:
        for method, path in SCOPED:
            answer = await client.request(method, path_of(path), headers=HERE | headers | beacon)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")


async def test_o7_a_page_of_this_origin_and_an_address_typed_in_are_no_strangers() -> None:
    async with asked() as client:
        for headers in [
            {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "none"},
        ]:
            assert (await client.get("/stats/42", headers=HERE | headers)).status_code == 200


async def test_o6_clicks_and_hits_come_from_every_page_and_by_every_way() -> None:
    foreign = {
        "host": "evil.example",
        "origin": "https://evil.example",
        "via": "1.1 proxy",
        "sec-fetch-site": "cross-site",
    }
    async with asked() as client:
        for method, path in OPEN:
            assert (await client.request(method, path_of(path), headers=foreign)).status_code == 200


async def test_p5_who_asks_for_no_keys_at_all_or_for_keys_is_not_asked_where_he_comes_from() -> None:
    foreign = {"host": "evil.example", "via": "1.1 proxy"}
    async with asked(keys="off") as client:
        assert (await client.get("/stats/42", headers=foreign)).status_code == 200
    for settings in [{"keys": "required"}, {"host": "0.0.0.0"}, {"trusted_proxies": ("10.0.0.0/8",)}]:
        async with asked(**settings) as client:
            assert (await client.get("/stats/42", headers=foreign)).status_code == 401


@pytest.mark.parametrize("text", ["http://count.example", "count.example:8080", "count.example/x", "a b", "*"])
def test_p5_allowed_hosts_are_names(text: str) -> None:
    with pytest.raises(SettingsError, match="TALLYBOOK_ALLOWED_HOSTS"):
        load({"TALLYBOOK_ALLOWED_HOSTS": text})
    assert load({"TALLYBOOK_ALLOWED_HOSTS": "count.example, [fd00::1]"}).allowed_hosts == ("count.example", "[fd00::1]")


@pytest.mark.parametrize(("version", "is_refused"), [("1.0", True), ("1", True), ("1.1", False)])
def test_p5_a_proxy_that_says_nothing_is_known_by_its_old_http(version: str, is_refused: bool) -> None:
    scope = {"type": "http", "http_version": version, "headers": [(b"host", b"127.0.0.1:8080")]}
    refusal = pytest.raises(ForeignRequest, match=r"HTTP/1\.0") if is_refused else contextlib.nullcontext()
    with refusal:
        OwnHost(()).check(Request(scope))
