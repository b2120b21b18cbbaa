"""Errors as clients see them: one shape for all, and nothing in them that is no business of the client."""

import re
from collections.abc import Iterator
from typing import Annotated

import httpx2
import msgspec
import pytest
from msgspec import Meta, Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.http.problems import HANDLERS, MEDIA, explained, rendered
from shared.errors import Invalid, Limited, MethodNotAllowed, TallybookError

LEAK = "postgresql://tally:hunter2@db/tally"


def errors_of(parent: type[TallybookError] = TallybookError) -> Iterator[type[TallybookError]]:
    for child in parent.__subclasses__():
        if child.__module__ == "shared.errors":
            yield child
            yield from errors_of(child)


ERRORS = list(errors_of())


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
class TestEveryError:
    def test_has_the_members_of_rfc_9457(self, kind: type[TallybookError]) -> None:
        status, headers, body = rendered(kind(), "r1")
        problem = msgspec.json.decode(body)
        assert problem == {
            "type": f"/docs/errors#{kind.code}",
            "title": kind.title(),
            "status": status,
            "detail": kind.title(),
            "code": kind.code,
            "requestId": "r1",
        }
        assert dict(headers)["content-type"] == MEDIA == "application/problem+json"
        assert dict(headers)["cache-control"] == "no-store"

    def test_has_a_status_of_an_error_and_a_code_that_a_program_can_match(self, kind: type[TallybookError]) -> None:
        assert 400 <= kind.status <= 599
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)

    def test_names_retry_after_exactly_when_a_repeat_can_help(self, kind: type[TallybookError]) -> None:
        _, headers, _ = rendered(kind())
        assert ("retry-after" in dict(headers)) == kind.retryable
        if kind.retryable:
            assert int(dict(headers)["retry-after"]) >= 1

    def test_says_what_to_do_in_one_line(self, kind: type[TallybookError]) -> None:
        assert kind.title().endswith(".")
        assert "\n" not in kind.title()


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in ERRORS]
    assert sorted(codes) == sorted(set(codes))
    assert len(codes) >= 15


def test_every_server_error_can_be_repeated() -> None:
    assert all(kind.retryable for kind in ERRORS if kind.status >= 500)


def test_whoever_asks_for_a_repeat_says_when() -> None:
    """The text that a client reads and the header that its program reads agree."""
    assert {kind.code for kind in ERRORS if "Retry-After" in kind.title()} <= {
        kind.code for kind in ERRORS if kind.retryable
    }
    assert not {kind.code for kind in ERRORS if kind.status < 500 and "later" in kind.title()}


def test_detail_errors_and_headers_of_one_case_are_shown() -> None:
    fault = {"pointer": "/0", "detail": "wrong"}
    status, headers, body = rendered(Invalid("Look here.", errors=[fault], headers={"RateLimit-Limit": "3"}))
    problem = msgspec.json.decode(body)
    assert (status, problem["detail"], problem["errors"]) == (422, "Look here.", [fault])
    assert dict(headers)["ratelimit-limit"] == "3"
    assert "requestId" not in problem


def test_retry_after_is_whole_seconds_rounded_up() -> None:
    assert dict(rendered(Limited(retry_after_s=2.1))[1])["retry-after"] == "3"


def test_a_detail_with_control_characters_stays_one_json_text() -> None:
    _, _, body = rendered(Invalid('a"\r\nset-cookie: x\x00'))
    assert b"\n" not in body
    assert msgspec.json.decode(body)["detail"] == 'a"\r\nset-cookie: x\x00'


# -- pointers ----------------------------------------------------------------------------------------------------------


class Inner(Struct, frozen=True):
    numbers: list[Annotated[int, Meta(ge=1)]] = []


class Outer(Struct, frozen=True, rename="camel"):
    inner_item: Inner = Inner()
    by_name: dict[str, int] = {}


@pytest.mark.parametrize(
    ("kind", "body", "pointer"),
    [
        (int, b'"x"', ""),
        (list[int], b'[1,"x"]', "/1"),
        (list[Outer], b'[{},{"innerItem":{"numbers":[1,2,0]}}]', "/1/innerItem/numbers/2"),
        (Outer, b'{"innerItem":3}', "/innerItem"),
        (Outer, b'{"byName":{"a":"x"}}', "/byName"),
        (list[Outer], b'[{"byName":{"a":[1]}}]', "/0/byName"),
        (dict[str, list[Inner]], b'{"a":[{"numbers":[0]}]}', ""),
        (list[list[int]], b"[[1],[2,null]]", "/1/1"),
    ],
)
def test_paths_of_msgspec_become_json_pointers(kind: object, body: bytes, pointer: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=kind)
    what, found = explained(caught.value)
    assert found == pointer
    assert what
    assert "`$" not in what


# -- handlers ----------------------------------------------------------------------------------------------------------


async def breaks(request: Request) -> Response:
    raise RuntimeError(LEAK)


async def refuses(request: Request) -> Response:
    raise MethodNotAllowed(headers={"allow": "GET"})


async def of_starlette(request: Request) -> Response:
    raise HTTPException(int(request.path_params["status"]), detail=LEAK)


def client() -> httpx2.AsyncClient:
    app = Starlette(
        routes=[Route("/breaks", breaks), Route("/refuses", refuses), Route("/starlette/{status}", of_starlette)],
        exception_handlers=HANDLERS,
    )
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://t")


async def test_q4_an_unexpected_exception_leaks_nothing() -> None:
    async with client() as http:
        answer = await http.get("/breaks")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == MEDIA
    assert answer.json()["code"] == "unexpected"
    for secret in ("hunter2", "RuntimeError", "Traceback", ".py"):
        assert secret not in answer.text


async def test_headers_of_an_error_reach_the_client() -> None:
    async with client() as http:
        answer = await http.get("/refuses")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (404, 404, "not_found"),
        (405, 405, "method_not_allowed"),
        (413, 413, "too_large"),
        (400, 400, "malformed"),
        (418, 400, "malformed"),
        (503, 500, "unexpected"),
    ],
)
async def test_errors_of_starlette_have_the_same_shape(status: int, expected: int, code: str) -> None:
    async with client() as http:
        answer = await http.get(f"/starlette/{status}")
    assert (answer.status_code, answer.json()["code"]) == (expected, code)
    assert answer.headers["content-type"] == MEDIA
    assert "hunter2" not in answer.text


async def test_an_unknown_address_is_a_problem() -> None:
    async with client() as http:
        answer = await http.get("/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
