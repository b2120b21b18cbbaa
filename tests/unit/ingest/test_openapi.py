"""One table makes routes and document: what is described is served, and the committed copy is the current one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import jsonschema
import msgspec
import pytest
from msgspec import Meta, Struct
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ingest import docs
from ingest.http.openapi import Answer, BannerId, Body, Operation, Parameter, build, published, routes
from ingest.statistics import operations
from shared.errors import Invalid, LanesFull, Limited, Malformed, MethodNotAllowed, TallybookError
from shared.settings import Settings

ROOT = Path(__file__).parents[3]
SETTINGS = Settings()


class Thing(Struct, rename="camel"):
    """Something to send."""

    banner_id: BannerId
    size: Annotated[int, Meta(ge=1, le=9)] = 1


async def take_thing(request: Request) -> Response:
    return PlainTextResponse("took")


async def show_thing(request: Request) -> Response:
    return PlainTextResponse(request.path_params.get("thingId", "none"))


async def show_first(request: Request) -> Response:
    return PlainTextResponse("first")


TAKE = Operation(
    method="POST",
    path="/things/{thingId}",
    handler=take_thing,
    summary="Take a thing",
    description="At most ${bulk_items_max} and a {brace}",
    parameters=(
        Parameter("thingId", BannerId, "The thing", "path"),
        Parameter("Key", str, "A key", "header"),
    ),
    body=Body(Thing, "The thing", example={"bannerId": 1}),
    answers={204: Answer("Taken", headers={"Replayed": "Whether it was known"})},
    errors=(Malformed, Limited, LanesFull, Invalid),
    order=20,
)
SHOW = Operation(
    method="GET",
    path="/things/{thingId}",
    handler=show_thing,
    summary="Show a thing",
    parameters=(
        Parameter("thingId", BannerId, "The thing", "path"),
        Parameter("ids", list[BannerId], "Ids", required=True),
    ),
    answers={200: Answer("The thing", Thing, ("application/json", "text/csv"))},
    order=10,
)
FIRST = Operation(
    method="GET",
    path="/things/first",
    handler=show_first,
    summary="Show the first",
    answers={200: Answer("It", str, ("text/plain",))},
    order=30,
)
HIDDEN = Operation(
    method="GET", path="/hidden", handler=show_first, summary="Not for you", answers={}, is_described=False
)
TABLE = [TAKE, SHOW, FIRST, HIDDEN]


def errors(parent: type[TallybookError] = TallybookError) -> Iterator[type[TallybookError]]:
    for child in parent.__subclasses__():
        if child.__module__ == "shared.errors":
            yield child
            yield from errors(child)


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """The document as clients see it."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return decoded


@pytest.fixture
def document() -> dict[str, Any]:
    return plain(build(TABLE, SETTINGS))


# -- routes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/things/first", 200, "first"),
        ("GET", "/things/7", 200, "7"),
        ("POST", "/things/7", 200, "took"),
        ("GET", "/hidden", 200, "first"),
        ("GET", "/things", 404, "Not Found"),
    ],
)
async def test_every_operation_is_served(method: str, path: str, status: int, text: str) -> None:
    transport = httpx2.ASGITransport(Starlette(routes=routes(TABLE)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.text) == (status, text)


async def test_head_is_answered_by_get() -> None:
    transport = httpx2.ASGITransport(Starlette(routes=routes(TABLE)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.head("/things/7")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/things/7", "GET, HEAD, POST"),
        ("POST", "/things/first", "GET, HEAD"),
        ("OPTIONS", "/things/first", "GET, HEAD"),
        ("BREW", "/things/7", "GET, HEAD, POST"),
    ],
)
async def test_other_methods_are_told_all_that_are_there(method: str, path: str, allowed: str) -> None:
    transport = httpx2.ASGITransport(Starlette(routes=routes(TABLE)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        with pytest.raises(MethodNotAllowed) as caught:
            await client.request(method, path)
    assert caught.value.headers == {"allow": allowed}


def test_an_operation_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        routes([SHOW, SHOW])


async def test_the_document_is_served_and_describes_itself() -> None:
    app = Starlette(routes=routes(published(TABLE, SETTINGS)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert "/openapi.json" in answer.json()["paths"]
    OpenAPIV31SpecValidator(answer.json()).validate()


# -- document ----------------------------------------------------------------------------------------------------------


def test_operations_stand_in_their_order_without_the_hidden(document: dict[str, Any]) -> None:
    assert list(document["paths"]) == ["/things/{thingId}", "/things/first"]
    assert list(document["paths"]["/things/{thingId}"]) == ["get", "post"]


def test_texts_hold_the_settings(document: dict[str, Any]) -> None:
    described = document["paths"]["/things/{thingId}"]["post"]["description"]
    assert described == f"At most {SETTINGS.bulk_items_max} and a {{brace}}"


def test_parameters_and_bodies_have_the_schemas_that_validate(document: dict[str, Any]) -> None:
    post = document["paths"]["/things/{thingId}"]["post"]
    assert [(one["name"], one["in"], one["required"]) for one in post["parameters"]] == [
        ("thingId", "path", True),
        ("Key", "header", False),
    ]
    assert post["parameters"][0]["schema"]["maximum"] == 2**53 - 1
    content = post["requestBody"]["content"]["application/json"]
    assert content == {"schema": {"$ref": "#/components/schemas/Thing"}, "example": {"bannerId": 1}}
    assert document["components"]["schemas"]["Thing"]["properties"]["size"]["maximum"] == 9


def test_lists_in_a_query_are_written_with_commas(document: dict[str, Any]) -> None:
    _, ids = document["paths"]["/things/{thingId}"]["get"]["parameters"]
    assert (ids["style"], ids["explode"]) == ("form", False)


def test_answers_name_media_headers_and_types(document: dict[str, Any]) -> None:
    item = document["paths"]["/things/{thingId}"]
    assert set(item["get"]["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    assert "content" not in item["post"]["responses"]["204"]
    assert set(item["post"]["responses"]["204"]["headers"]) == {"Replayed"}


def test_errors_stand_under_their_status_with_codes_examples_and_retry_after(document: dict[str, Any]) -> None:
    responses = document["paths"]["/things/{thingId}"]["post"]["responses"]
    assert set(responses) == {"204", "400", "408", "413", "415", "422", "429", "500", "503"}
    assert "headers" not in responses["400"]
    assert set(responses["503"]["headers"]) == {"Retry-After"}
    assert set(responses["503"]["content"]["application/problem+json"]["examples"]) == {"lanes_full", "busy"}


def test_every_example_of_an_error_fits_its_schema(document: dict[str, Any]) -> None:
    for response in document["paths"]["/things/{thingId}"]["post"]["responses"].values():
        for content in response.get("content", {}).values():
            schema = {**content["schema"], "components": document["components"]}
            for example in content["examples"].values():
                jsonschema.Draft202012Validator(schema).validate(example["value"])


def test_every_error_of_the_tree_is_explained(document: dict[str, Any]) -> None:
    assert {problem["code"] for problem in document["x-problems"]} == {error.code for error in errors()}


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


# -- the service -------------------------------------------------------------------------------------------------------


def test_the_examples_of_reads_fit_their_schemas() -> None:
    document = plain(build([*operations.OPERATIONS, *docs.OPERATIONS], SETTINGS))
    OpenAPIV31SpecValidator(document).validate()
    for operation in operations.OPERATIONS:
        described = document["paths"][operation.path]["get"]
        content = described["responses"]["200"]["content"]["application/json"]
        schema = {**content["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])
        for parameter in described["parameters"]:
            if "example" in parameter:
                jsonschema.Draft202012Validator(parameter["schema"]).validate(parameter["example"])


def test_the_committed_document_is_the_current_one() -> None:
    from ingest.app import OPERATIONS

    committed = json.loads((ROOT / "docs/openapi.json").read_text())
    current = plain(build(published(OPERATIONS, SETTINGS), SETTINGS))
    assert committed == current, "run: python -m ingest.document > docs/openapi.json"
    OpenAPIV31SpecValidator(committed).validate()


def test_ids_of_operations_are_unique_and_in_camel_case() -> None:
    from ingest.app import OPERATIONS

    ids = [operation.id for operation in published(OPERATIONS, SETTINGS) if operation.is_described]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-zA-Z]*", one) for one in ids)


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/errors", "text/html; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_the_page_is_served_with_a_policy_that_allows_itself_alone(path: str, media: str) -> None:
    app = Starlette(routes=routes(docs.OPERATIONS))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert answer.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs/../app.py", "/docs/%2e%2e/app.py", "/docs/docs.html", "/docs/x", "/docs//etc"])
async def test_s3_no_other_file_can_be_named(path: str) -> None:
    app = Starlette(routes=routes(docs.OPERATIONS))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
        assert (await client.get(path)).status_code == 404


def test_the_page_loads_nothing_from_elsewhere_and_sets_no_html() -> None:
    folder = ROOT / "ingest/static"
    page, style, script = ((folder / f"docs.{kind}").read_text() for kind in ("html", "css", "js"))
    assert not re.search(r"https?:|(?:src|href)=\"//", page + style + script)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)
    assert not re.search(r"<script>|<style|\son[a-z]+=|style=", page)
