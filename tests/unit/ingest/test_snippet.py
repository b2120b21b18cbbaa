"""`/t.js` and its versions: fixed bytes under fixed names, which any page may load and pin."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette

from ingest import snippet
from ingest.http.openapi import prefixed, routes
from ingest.http.problems import HANDLERS
from shared.settings import SettingsError, load
from tests.harness.process import ROOT

STATIC = ROOT / "ingest/static"
#: What a page may spend on it.
BYTES_MAX = 2048


@pytest.fixture(params=[None, "/x7"])
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the routes, under a prefix and without."""
    app = Starlette(routes=routes(prefixed(snippet.OPERATIONS, request.param)), exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # as the service has it
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://t.example{request.param or ''}") as client:
        yield client


def test_the_newest_version_is_small() -> None:
    assert 1000 < len((STATIC / "t.js").read_bytes()) <= BYTES_MAX


def test_every_version_has_the_name_of_its_bytes_and_the_newest_is_one() -> None:
    assert snippet.NEWEST in snippet.VERSIONS
    assert snippet.VERSIONS[snippet.NEWEST] == (STATIC / "t.js").read_bytes()
    for name, content in snippet.VERSIONS.items():
        assert name == f"t.{hashlib.sha256(content).hexdigest()[:8]}.js"


async def test_the_newest_is_kept_for_an_hour_and_a_version_for_ever(http: httpx2.AsyncClient) -> None:
    newest, version = await http.get("t.js"), await http.get(snippet.NEWEST)
    assert newest.content == version.content == (STATIC / "t.js").read_bytes()
    assert newest.headers["cache-control"] == "public, max-age=3600"
    assert version.headers["cache-control"] == "public, max-age=31536000, immutable"
    for answer in (newest, version):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", ["t.js", snippet.NEWEST])
async def test_who_has_it_is_told_so_and_nothing_else(http: httpx2.AsyncClient, name: str) -> None:
    etag = (await http.get(name)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await http.get(name, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert answer.headers["access-control-allow-origin"] == "*"
    assert (await http.get(name, headers={"if-none-match": '"other"'})).status_code == 200


async def test_head_has_the_headers_of_get(http: httpx2.AsyncClient) -> None:
    got, asked = await http.get("t.js"), await http.head("t.js")
    assert asked.headers == got.headers


@pytest.mark.parametrize(
    "name", ["t.00000000.js", "t..js", "docs.js", "t.js/", "..%2fdocs.js", "t.%2e%2e%2fdocs.js", "T.JS"]
)
async def test_no_other_name_is_answered(http: httpx2.AsyncClient, name: str) -> None:
    assert (await http.get(name)).status_code == 404


async def test_under_a_prefix_the_root_has_none() -> None:
    app = Starlette(routes=routes(prefixed(snippet.OPERATIONS, "/x7")))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://t.example") as http:
        assert (await http.get("/t.js")).status_code == 404


def test_the_tag_pins_the_bytes() -> None:
    tag = snippet.tag("https://t.example/x7/")
    assert f'src="https://t.example/x7/{snippet.NEWEST}"' in tag
    assert 'crossorigin="anonymous"' in tag
    assert "data-site" not in tag
    (digest,) = re.findall(r'integrity="sha384-([^"]+)"', tag)
    assert base64.b64decode(digest) == hashlib.sha384((STATIC / "t.js").read_bytes()).digest()
    assert ' data-site="shop"' in snippet.tag("https://t.example", "shop")


def test_no_address_has_a_word_that_filters_look_for() -> None:
    words = ("track", "collect", "analytic", "beacon", "pixel", "stat", "banner")
    for path in [one.path for one in snippet.OPERATIONS]:
        assert not [word for word in words if word in path]


@pytest.mark.parametrize("prefix", ["/x7", "/x7/a.b~c_d-e"])
def test_a_prefix_is_a_path(prefix: str) -> None:
    assert load({"TALLYBOOK_WEB_PREFIX": prefix}).web_prefix == prefix


@pytest.mark.parametrize(
    "prefix", ["x7", "/", "/x7/", "//x7", "/../x", "/a/.", "/a b", "/{id}", "/%2e", "/x?y", "/x7\n"]
)
def test_what_no_browser_would_leave_as_it_is_is_no_prefix(prefix: str) -> None:
    with pytest.raises(SettingsError, match="TALLYBOOK_WEB_PREFIX"):
        load({"TALLYBOOK_WEB_PREFIX": prefix})
