"""The dashboard is served as fixed bytes, under any prefix, with a policy that allows itself alone."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from ingest import dashboard
from ingest.app import operations_of
from ingest.http.openapi import routes
from ingest.http.problems import HANDLERS
from shared.settings import Settings

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "ingest/static/ui"
FILES = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
BUILD = dashboard.Page(FILES).build


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the routes of the page."""
    app = Starlette(routes=routes(dashboard.OPERATIONS), exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # as in create_app
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as one:
        yield one


@pytest.mark.parametrize(
    ("path", "root"), [("/", "./"), ("/ui/banners", "../"), ("/ui/banners/42", "../../"), ("/ui/logs?range=6h", "../")]
)
async def test_the_document_names_its_files_relative_to_itself(
    client: httpx2.AsyncClient, path: str, root: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert f'<meta name="root" content="{root}">' in answer.text
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert {f"{root}ui/assets/{BUILD}/{name}" for name in ("app.js", "app.css", "icon.svg")} <= set(named)
    assert all(one.startswith(root) for one in named)


async def test_d1_the_document_allows_itself_alone(client: httpx2.AsyncClient) -> None:
    headers = (await client.get("/")).headers
    policy = dict(one.strip().split(" ", 1) for one in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "camera=()" in headers["permissions-policy"]


async def test_a_known_document_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    tag = (await client.get("/")).headers["etag"]
    for path in ("/", "/ui/banners", "/ui/banners/7"):
        answer = await client.get(path, headers={"if-none-match": tag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert (await client.get(path, headers={"if-none-match": '"old"'})).status_code == 200


@pytest.mark.parametrize("path", ["/ui/unknown", "/ui/unknown/1", "/ui/assets"])
async def test_an_unknown_view_is_the_document_and_404(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert '<div id="app">' in answer.text


@pytest.mark.parametrize("name", sorted(set(FILES) - {"index.html"}))
async def test_assets_are_kept_for_good(client: httpx2.AsyncClient, name: str) -> None:
    path = f"/ui/assets/{BUILD}/{name}"
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    assert plain.content == FILES[name]
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in plain.headers
    async with client.stream("GET", path, headers={"accept-encoding": "br, gzip"}) as packed:
        content = b"".join([chunk async for chunk in packed.aiter_raw()])
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert gzip.decompress(content) == FILES[name]
    assert (await client.get(path, headers={"accept-encoding": "gzip;q=0"})).headers.get("content-encoding") is None
    ranged = await client.get(path, headers={"range": "bytes=0-3", "accept-encoding": "identity"})
    assert (ranged.status_code, ranged.content) == (200, FILES[name])


@pytest.mark.parametrize(
    "path",
    [
        f"/ui/assets/{BUILD}/index.html",
        f"/ui/assets/{BUILD}/other.js",
        "/ui/assets/0000000000000000/app.js",
        f"/ui/assets/{BUILD}/..%2f..%2fdocs.js",
        f"/ui/assets/{BUILD}/%2e%2e/docs.js",
        f"/ui/assets/{BUILD}/",
    ],
)
async def test_s3_any_other_file_or_build_is_a_problem_and_never_the_document(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"<html" not in answer.content


def test_the_digest_is_over_every_file() -> None:
    for name in FILES:
        assert dashboard.Page({**FILES, name: FILES[name] + b" "}).build != BUILD


def test_the_page_and_the_service_know_the_same_views() -> None:
    source = (ROOT / "web/dashboard/src/routes.ts").read_text()
    [listed] = re.findall(r"VIEWS = \[([^\]]+)\]", source)
    assert set(re.findall(r'"(\w+)"', listed)) == dashboard.VIEWS


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = FILES["index.html"].decode()
    assert not re.search(r"<script>|<style|\son[a-z]+=|style=|https?:", page)
    for name in ("app.js", "chart.js", "more.js", "app.css"):
        text = FILES[name].decode()
        # XML namespaces are names. Nothing else names a host.
        assert set(re.findall(r"https?://[\w./-]+", text)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xhtml",
            "http://www.w3.org/1998/Math/MathML",
        }, name
        assert "sourceMappingURL" not in text


def test_the_licences_of_what_is_bundled_are_shipped() -> None:
    text = FILES["licences.txt"].decode()
    packages = ("@preact/signals ", "@preact/signals-core ", "preact ", "uplot ")
    assert all(re.search(rf"^{re.escape(name)}[\d.]+ \(MIT\)$", text, re.M) for name in packages)


def test_the_page_can_be_switched_off() -> None:
    def paths(settings: Settings) -> set[str]:
        return {one.path for one in operations_of(settings)}

    on, off = paths(Settings()), paths(Settings(dashboard="off"))
    assert on - off == {"/", "/ui/{view}", "/ui/{view}/{id}", "/ui/assets/{build}/{file}"}
    assert "/docs" in off
