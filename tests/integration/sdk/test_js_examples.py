"""The examples for JavaScript, run as a reader runs them, and the numbers that the service then has."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.collect.sites import SiteSettings
from tallybook.registries import sites
from tallybook_sdk.testing import FakeServer
from tests.harness.browser.chromium import Chromium, node_modules
from tests.harness.browser.site import Page, site
from tests.harness.http import request
from tests.harness.process import ROOT, end, free_port
from tests.harness.services import require
from tests.harness.subjects.js_sdk import built
from tests.harness.subjects.tracking import tracking
from tests.harness.wait import wait_for

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.timeout(300)  # the first may install and build


class Shop:
    """The example of Express, on a port of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        built()
        node_modules(EXAMPLES / "express")
        self.port, self.log = free_port(), folder / "shop.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [require("node"), "shop.mjs"],
                env={**os.environ, "TALLYBOOK_URL": url, "PORT": str(self.port)},
                cwd=EXAMPLES / "express",
                stdout=log,
                stderr=log,
            )
        wait_for(self.answers, "the shop")

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("GET", "/tally").status == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, **headers: str) -> Any:
        return request(self.port, path, method, headers=headers)

    def report(self) -> Any:
        return self.ask("GET", "/tally").json()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as one:
        yield one


@pytest.mark.slow
def test_a_shop_of_express_counts_each_order_once(server: FakeServer, tmp_path: Path) -> None:
    shop = Shop(server.url, tmp_path)
    try:
        server.script("lost", "reset")
        for _ in range(40):
            assert "event_id" in shop.ask("POST", "/orders?price=9.5", **{"x-user": "u-17"}).json()
            assert shop.ask("GET", "/banners/42").status == 302
        shop.ask("GET", "/orders/none", **{"x-user": "u-17", "referer": "https://shop.example/a?b"})
        shop.ask("POST", "/orders?price=1", **{"x-user": "u-17", "sec-gpc": "1"})
    finally:
        code = end(shop.process)
    assert code == 0
    assert all("no success yet" in line for line in shop.log.read_text().splitlines())
    events = list(server.events.values())
    orders = [one["properties"] for one in events if one["event_type"] == "purchase"]
    views = [one["properties"] for one in events if one["event_type"] == "page_view"]
    assert (len(orders), server.clicks) == (41, {42: 40})
    assert [one["route"] for one in views if one["status"] == 200] == ["/orders"] * 40
    (lost,) = [one for one in views if one["status"] == 404]
    assert {name: one for name, one in lost.items() if name != "ms"} == {"status": 404, "referrer": "shop.example"}


@pytest.mark.slow
def test_a_shop_whose_service_is_away_shows_what_a_kill_would_lose(server: FakeServer, tmp_path: Path) -> None:
    shop = Shop(f"http://127.0.0.1:{free_port()}", tmp_path)
    try:
        for _ in range(10):
            assert shop.ask("POST", "/orders?price=9.5").status == 200
        wait_for(lambda: shop.report()["state"] == "retrying", "the first attempt")
        report = shop.report()
        assert (report["recorded"], report["pending"], report["difference"]) == (10, 10, 0)
    finally:
        code = end(shop.process)
    assert code == 0
    assert "10 records were not sent, or nobody knows" in shop.log.read_text()


async def test_a_page_reports_from_a_module(
    chromium: Chromium, redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    """Followed as its README says, but for the ports."""
    connection = await asyncpg.connect(database)
    await sites.add(connection, "demo", ["127.0.0.1"], "UTC", SiteSettings())
    await connection.close()
    script = {"content-type": "text/javascript"}
    modules = "/node_modules/tallybook-sdk/dist/browser"
    async with tracking(tmp_path, redis_url, database) as service:
        page = (EXAMPLES / "browser/index.html").read_text().replace(":8080/", f":{service.port}/")
        pages: dict[str, Page | str] = {"/": page}
        for path in (built() / "dist/browser").glob("*.js"):
            pages[f"{modules}/{path.name}"] = Page(path.read_text(), headers=script)
        now = datetime.now(UTC)
        ends = {"tsFrom": (now - timedelta(days=1)).isoformat(), "tsTo": (now + timedelta(days=1)).isoformat()}
        asked = urlencode({"metrics": "clicks,served,viewable", **ends})
        with site(pages) as place:
            statuses = await asyncio.to_thread(
                chromium.run,
                """
                await page.goto(args.url);
                await page.click("#sign-up");
                await page.click("a");
                await until(async () => (await (await fetch(args.stats)).json()).totals.viewable);
                return await page.evaluate(() => performance.getEntriesByType("resource")
                    .filter((one) => one.name.includes("/c?")).map((one) => one.responseStatus));
                """,
                url=place.url,
                stats=f"http://127.0.0.1:{service.port}/stats/101?{asked}",
            )
        assert statuses
        assert set(statuses) <= {200, 204}
        answer = await service.http.get(f"/stats/101?{asked}")
        assert answer.json()["totals"] == {"clicks": 1, "served": 1, "viewable": 1}
