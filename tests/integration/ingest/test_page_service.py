"""Pages in a real browser against the real service: each click and impression is counted once, whatever happens."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.collect.link import LinkRow
from shared.collect.sites import SiteSettings
from tallybook.registries import links, sites
from tests.harness.browser.chromium import Chromium
from tests.harness.browser.site import Asked, Page, site
from tests.harness.http import request
from tests.harness.proxy import behind, proxy, to_port
from tests.harness.subjects.tracking import Tracking, tracking
from tests.harness.wait import until

OPEN = "await page.goto(args.url); await until(() => page.evaluate('!!window.tally'));"
_banners = itertools.count(1000)


@pytest.fixture
def banner() -> int:
    """A banner of this test alone."""
    return next(_banners)


@asynccontextmanager
async def serving(folder: Path, redis_url: str, database: str, **settings: object) -> AsyncIterator[Tracking]:
    """The service with two sites: pages on 127.0.0.1 are those of `shop`, and `frames` takes pages without origin."""
    connection = await asyncpg.connect(database)
    try:
        await sites.add(connection, "shop", ["127.0.0.1"], "UTC", SiteSettings())
        await sites.add(connection, "frames", ["frames.example"], "UTC", SiteSettings(null_origin=True))
    finally:
        await connection.close()
    async with tracking(folder, redis_url, database, **settings) as one:
        yield one


@pytest.fixture
async def service(redis_client: "Redis", redis_url: str, database: str, tmp_path: Path) -> AsyncIterator[Tracking]:
    """The service of a test."""
    async with serving(tmp_path, redis_url, database) as one:
        yield one


async def counted(service: Tracking, banner: int) -> dict[str, Any]:
    """Totals of a banner: of people, and of all."""
    now = datetime.now(UTC)
    ends = {"tsFrom": (now - timedelta(days=1)).isoformat(), "tsTo": (now + timedelta(days=1)).isoformat()}
    asked = {"metrics": "clicks,served,viewable", **ends}
    found = {}
    for traffic in ("human", "all"):
        answer = await service.http.get(f"/stats/{banner}", params=asked | {"traffic": traffic})
        assert answer.status_code == 200, answer.text
        totals = answer.json()["totals"]
        found[traffic] = tuple(totals[name] for name in ("clicks", "served", "viewable"))
    assert found["human"] == found["all"], "a person was taken for a machine"
    return found["human"]


def page(port: int, banner: int, more: str = "") -> str:
    """A page with a banner that leads to another page."""
    tag = f'<script defer src="http://localhost:{port}/t.js" {more}></script>'
    return f'{tag}<p data-tally-banner="{banner}"><a href="/next">away</a></p>'


#: Clicks beside the link, and stays until the test has done its part and the service has taken everything.
CLICK_AND_STAY = f"""
    {OPEN}
    await page.click("p", {{ position: {{ x: 300, y: 5 }} }});
    const statuses = () => performance.getEntriesByType("resource").filter((one) => one.name.includes("/c?"))
        .map((one) => one.responseStatus);
    const isDone = async () => (await fetch("/done")).ok;
    const refused = until(async () => (await page.evaluate(statuses)).includes(503));
    refused.then(() => page.evaluate("fetch('/refused')")).catch(() => {{}});
    await until(() => page.evaluate(isDone));
    await until(async () => [200, 204].includes((await page.evaluate(statuses)).at(-1)));
    await page.waitForTimeout(2500);
"""
LEAVE = """
    await page.addInitScript(args.beacon);
    for (let round = 0; round < args.rounds; round++) {
        await page.goto(args.url);
        await page.click("a");
        await page.waitForURL("**/next");
    }
"""


@pytest.mark.parametrize(
    ("rounds", "beacon"),
    [
        (8, ""),
        *(
            pytest.param(200, beacon, marks=[pytest.mark.slow, pytest.mark.timeout(600)])
            for beacon in (
                "",
                "delete Navigator.prototype.sendBeacon",
                "Navigator.prototype.sendBeacon = () => false",
            )
        ),
    ],
)
async def test_clicks_that_leave_the_page_are_counted_once(
    chromium: Chromium, service: Tracking, banner: int, rounds: int, beacon: str
) -> None:
    pages = {"/": page(service.port, banner), "/next": "<title>Next</title>"}
    with site(pages) as place:
        run = asyncio.to_thread(chromium.run, LEAVE, url=place.url, rounds=rounds, beacon=beacon, timeout_s=400)
        await run

        async def is_there() -> bool:
            return (await counted(service, banner))[0] >= rounds

        await until(is_there, "the clicks are counted")
        await asyncio.sleep(2.5)  # a first repeat would come now
        assert (await counted(service, banner))[:2] == (rounds, rounds)


async def test_a_link_that_is_followed_again_counts_again_and_comes_from_no_cache(
    chromium: Chromium, service: Tracking, database: str, banner: int
) -> None:
    with site({"/next": "<title>Next</title>"}) as place:
        place.pages["/"] = f'<a href="http://localhost:{service.port}/r/spring">away</a>'
        connection = await asyncpg.connect(database)
        try:
            await links.add(connection, LinkRow("spring", banner, f"{place.url}/next"), ())
        finally:
            await connection.close()
        script = """
            for (let round = 0; round < 3; round++) {
                await page.goto(args.url);
                await page.click("a");
                await page.waitForURL("**/next");
            }
            await page.evaluate("history.back()");
            await page.waitForURL((url) => url.pathname === "/", { waitUntil: "commit" });
            await page.evaluate("history.forward()");
            await page.waitForURL("**/next", { waitUntil: "commit" });
        """
        await asyncio.to_thread(chromium.run, script, url=place.url)
    assert (await counted(service, banner))[0] == 3  # before each 302; back and forward follow no link


async def test_an_answer_that_a_proxy_swallows_counts_once(
    chromium: Chromium, redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, banner: int
) -> None:
    async with serving(tmp_path, redis_url, database) as service, proxy(to_port(service.port)) as between:
        between.swallow = {b"POST /c": 1.0}
        with site({"/": page(between.port, banner)}) as place:
            running = asyncio.create_task(asyncio.to_thread(chromium.run, CLICK_AND_STAY, url=place.url, timeout_s=120))
            await until(lambda: between.swallowed >= 2 or running.done(), "answers are lost")
            between.swallow = {}
            place.pages["/done"] = "now"
            await running
        assert between.swallowed >= 2
        assert await counted(service, banner) == (1, 1, 1)


@pytest.mark.slow
async def test_what_the_service_refuses_for_now_is_counted_later(
    chromium: Chromium, redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, banner: int
) -> None:
    """Redis goes away before the page comes, and comes back: 503, and then each once."""
    async with behind(redis_url) as (between, url), serving(tmp_path, url, database) as service:
        between.fail(away=True)
        with site({"/": page(service.port, banner)}) as place:
            running = asyncio.create_task(asyncio.to_thread(chromium.run, CLICK_AND_STAY, url=place.url, timeout_s=120))
            await until(lambda: place.asked("GET", "/refused") or running.done(), "the service refuses")
            between.heal()
            place.pages["/done"] = "now"
            await running

        async def is_there() -> bool:
            return await counted(service, banner) == (1, 1, 1)

        await until(is_there, "all is counted", 20)


@pytest.mark.slow
async def test_pages_without_an_origin_count_where_their_site_takes_them(
    chromium: Chromium, service: Tracking, banner: int
) -> None:
    other = banner + 100_000
    pages = {
        "/": "".join(f'<iframe sandbox="allow-scripts" src="/{name}"></iframe>' for name in ("frames", "shop")),
        "/frames": page(service.port, banner, 'data-site="frames"'),
        "/shop": page(service.port, other, 'data-site="shop"'),
    }
    with site(pages) as place:
        script = "await page.goto(args.url); for (const one of page.frames().slice(1)) await one.click('p');"
        await asyncio.to_thread(chromium.run, script + "await page.waitForTimeout(1800)", url=place.url)
    clicks, served, _ = await counted(service, banner)
    assert (clicks, served) == (1, 1)
    assert await counted(service, other) == (0, 0, 0)


async def test_under_a_prefix_behind_a_proxy_of_the_pages_own_host_all_is_the_same(
    chromium: Chromium, redis_client: "Redis", redis_url: str, database: str, tmp_path: Path, banner: int
) -> None:
    """No address has another host, and none has a word that filters look for."""
    words = ("track", "collect", "analytic", "beacon", "pixel", "stat", "banner")
    settings = {"web_prefix": "/x7", "trusted_proxies": "127.0.0.0/8", "keys": "off"}
    async with serving(tmp_path, redis_url, database, **settings) as service:

        def forward(asked: Asked) -> Page | None:
            if not asked.path.startswith("/x7/"):
                return None
            query = "&".join(f"{name}={value}" for name, values in asked.query.items() for value in values)
            kept = {name: asked.headers[name] for name in asked.headers if name not in ("host", "connection")}
            headers = kept | {"x-forwarded-for": "203.0.113.9"}
            answer = request(service.port, f"{asked.path}?{query}", asked.method, asked.body, headers)
            media = {"content-type": answer.headers.get("content-type", "text/plain")}
            return Page(answer.body, answer.status, media)

        with site(answers=forward) as place:
            place.pages["/"] = f'<script defer src="/x7/t.js"></script><p data-tally-banner="{banner}">a banner</p>'
            script = f"{OPEN} await page.click('p'); await page.waitForTimeout(1800);"
            await asyncio.to_thread(chromium.run, script, url=place.url)
            asked = place.asked()
        assert await counted(service, banner) == (1, 1, 1)
        assert {one.path for one in asked} <= {"/", "/favicon.ico", "/x7/t.js", "/x7/c"}
        assert not [one.path for one in asked for word in words if word in one.path]
