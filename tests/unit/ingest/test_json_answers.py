"""Answers that a client has already are 304, and tags name what an answer says without its moment."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from msgspec import Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response

from ingest.http.cors import ReadOrigins
from ingest.http.json_answers import as_json, conditional
from ingest.http.openapi import Answer, Operation, routes
from ingest.http.problems import HANDLERS
from ingest.state import Request
from shared.errors import Busy

ORIGIN = "https://board.example"


class Said(Struct, rename="camel"):
    as_of: datetime
    text: str


class Bare(Struct):
    text: str


def answering(answers: Mapping[str, Any]) -> list[Operation]:
    """One GET that answers `answers["now"]`, or raises it."""

    async def read(request: Request) -> Response:
        found = answers["now"]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Response) else as_json(found)

    one = Operation(
        method="GET", path="/read/{id}", handler=read, summary="", scope="stats:read", answers={200: Answer("", Said)}
    )
    return conditional([one])


def client(answers: Mapping[str, Any], *middleware: Middleware) -> httpx2.AsyncClient:
    app = Starlette(routes=routes(answering(answers)), exception_handlers=HANDLERS, middleware=list(middleware))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here")


def said(second: int, text: str = "a") -> Said:
    return Said(datetime(2026, 3, 1, 12, 0, second, 789_000, tzinfo=UTC), text)


async def test_the_same_answer_at_another_moment_is_304_with_that_moment() -> None:
    answers: dict[str, Any] = {"now": said(1)}
    async with client(answers) as http:
        first = await http.get("/read/1")
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        assert first.headers["tallybook-as-of"] == first.json()["asOf"] == "2026-03-01T12:00:01.789000Z"
        answers["now"] = said(2)
        for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = await http.get("/read/1", headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["tallybook-as-of"] == "2026-03-01T12:00:02.789000Z"
            assert (again.headers["etag"], again.headers["cache-control"]) == (tag, "no-store")
        answers["now"] = said(2, "b")
        changed = await http.get("/read/1", headers={"if-none-match": tag})
        assert (changed.status_code, changed.json()["text"]) == (200, "b")
        assert changed.headers["etag"] != tag


async def test_a_text_that_looks_like_a_moment_is_not_taken_out_of_the_tag() -> None:
    texts = [f'"asOf":"2026-03-01T12:00:0{second}.789000Z"' for second in (1, 2)]
    tags = set()
    for text in texts:
        for kind in (Bare(text), said(1, text)):
            async with client({"now": kind}) as http:
                tags.add((await http.get("/read/1")).headers["etag"])
    assert len(tags) == 4


@pytest.mark.parametrize("now", [Response("a,b", media_type="text/csv"), Busy()])
async def test_files_and_errors_have_no_tag(now: Any) -> None:
    async with client({"now": now}) as http:
        answer = await http.get("/read/1", headers={"if-none-match": "*"})
    assert answer.status_code in (200, 503)
    assert "etag" not in answer.headers


def test_the_document_says_so() -> None:
    [one] = answering({})
    assert 304 in one.answers
    assert [parameter.name for parameter in one.parameters] == ["If-None-Match"]


# -- pages of other origins --------------------------------------------------------------------------------------------

CORS = Middleware(ReadOrigins, allowed=[ORIGIN], paths=["/read/{id}"])


@pytest.mark.parametrize("now", [said(1), Busy()])
async def test_o6_allowed_pages_read_answers_and_errors_and_never_with_credentials(now: Any) -> None:
    async with client({"now": now}, CORS) as http:
        for origin in (ORIGIN, "https://evil.example", None):
            answer = await http.get("/read/1", headers={} if origin is None else {"origin": origin})
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed == (ORIGIN if origin == ORIGIN else None)
            assert "origin" in answer.headers["vary"].lower()
            assert "access-control-allow-credentials" not in answer.headers
            if allowed:
                assert "retry-after" in answer.headers["access-control-expose-headers"]


async def test_o6_a_preflight_names_get_and_the_key_and_nothing_that_writes() -> None:
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    async with client({"now": said(1)}, CORS) as http:
        answer = await http.options("/read/1", headers={"origin": ORIGIN, **asked})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        other = await http.options("/read/1", headers={"origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in other.headers
        written = await http.options("/read/1", headers={"origin": ORIGIN, "access-control-request-method": "POST"})
        assert written.status_code == 405
        assert "access-control-allow-origin" not in written.headers
        elsewhere = await http.options("/write", headers={"origin": ORIGIN, **asked})
        assert (elsewhere.status_code, "access-control-allow-origin" in elsewhere.headers) == (404, False)


# -- problems under a prefix -------------------------------------------------------------------------------------------


async def test_the_type_of_a_problem_leads_to_its_page_under_any_prefix() -> None:
    async with client({"now": Busy()}) as http:
        for path, code in (("/read/1", "busy"), ("/nothing", "not_found"), ("/a/b/c", "not_found"), ("/", "not_found")):
            problem = (await http.get(path)).json()
            for prefix in ("", "/count", "/a/b"):
                page = httpx2.URL(f"https://t.example{prefix}{path}").join(problem["type"])
                assert str(page) == f"https://t.example{prefix}/docs/errors#{code}", path
