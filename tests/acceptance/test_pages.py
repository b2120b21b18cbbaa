"""Pages in a real browser, and the whole stack: the guide of docs/collect.md to the letter, and each item one row."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.stores.clickhouse import connect
from tallybook.stack.clickhouse import is_installed
from tests.harness.browser.chromium import Chromium, chromium
from tests.harness.browser.site import Page, site
from tests.harness.http import fetched
from tests.harness.process import ROOT, environ, free_port
from tests.harness.services import enterable, require
from tests.harness.stacks import TALLYBOOK, Stack, running
from tests.harness.wait import wait_for

GUIDE = (ROOT / "docs/collect.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^    \$ (.+)$", GUIDE, re.MULTILINE)


class Reader:
    """Somebody who follows the guide, on other ports and in a folder of their own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.site_port, self._stack, self._folder = free_port(), stack, folder
        shutil.copytree(ROOT / "examples/site", folder / "examples/site")
        for page in (folder / "examples/site").glob("*.html"):
            page.write_text(self.moved(page.read_text()))
        self._environ = environ(data_dir=stack.folder, port=stack.port)

    def moved(self, text: str) -> str:
        """A text of the guide with the ports of this test."""
        for named, own in (
            (".venv/bin/tallybook", str(TALLYBOOK)),
            ("127.0.0.1:8080", f"127.0.0.1:{self._stack.port}"),
            ("localhost:8000", f"localhost:{self.site_port}"),
            ("http.server 8000", f"http.server {self.site_port} --bind 127.0.0.1"),
        ):
            text = text.replace(named, own)
        return text

    def run(self, command: str) -> str:
        """What a command printed."""
        done = subprocess.run(
            ["bash", "-c", self.moved(command)],
            cwd=self._folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, command: str) -> "subprocess.Popen[bytes]":
        """A command that blocks."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(["bash", "-c", f"exec {self.moved(command)}"], cwd=self._folder, **quiet)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make up` starts."""
    with running(enterable(tmp_path_factory.mktemp("stack")) / "data", workers=1) as one:
        yield one


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser of whoever reads the guide."""
    with chromium(tmp_path_factory.mktemp("chromium") / "log") as one:
        yield one


def stored(stack: Stack, site_name: str) -> dict[str, int]:
    """How many items of each kind the table of a site has. No item is there twice."""
    told = subprocess.run(
        [str(TALLYBOOK), "env", "--data-dir", str(stack.folder)], capture_output=True, text=True, timeout=60, check=True
    )
    (url,) = re.findall(r"TALLYBOOK_CLICKHOUSE_URL=['\"]?([^'\"\s]+)", told.stdout)
    statement = "SELECT toString(kind), count(), uniqExact(view, n), countIf(bot != '') FROM web_items "

    async def ask() -> list[tuple[str, int, int, int]]:
        async with connect(Settings(clickhouse_url=url)) as client:
            found: list[tuple[str, int, int, int]] = await client.query(
                f"{statement} WHERE site = '{site_name}' GROUP BY 1"
            )
            return found

    rows = asyncio.run(ask())
    assert all(count == different and not machines for _, count, different, machines in rows), rows
    return {kind: count for kind, count, _, _ in rows}


def test_the_guide_leads_to_the_first_view_impression_click_and_redirect(
    stack: Stack, browser: Chromium, tmp_path: Path
) -> None:
    require("curl")
    reader = Reader(stack, tmp_path)
    up, add_site, add_link, serve, *asks = COMMANDS
    assert up == "make up"  # the fixture
    assert len(asks) == 4
    tag = reader.run(add_site)
    assert "integrity=" in tag
    reader.run(add_link)
    server = reader.start(serve)
    try:
        wait_for(lambda: _is_served(reader.site_port), "the page is served")
        # Step 5 of the guide.
        browser.run(
            """
            await page.goto(args.url);
            await page.waitForTimeout(2000);
            await page.click("#sign-up");
            await page.click("[data-tally-banner='101']");
            await page.waitForURL("**/offer.html");
            await page.evaluate("history.back()");
            await page.waitForURL((url) => !url.pathname.includes("offer"), { waitUntil: "commit" });
            await page.click("text=This link");
            await page.waitForURL("**/offer.html");
            await page.waitForTimeout(1000);
            """,
            url=f"http://localhost:{reader.site_port}",
        )
    finally:
        server.terminate()
        server.wait(10)

    def totals() -> list[dict[str, int]]:
        answers = [json.loads(reader.run(ask)) for ask in asks[:3]]
        return [*(one["totals"] for one in answers[:2]), {"clicks": answers[2]["total"]}]

    wait_for(lambda: totals()[0]["clicks"], "the click is counted")
    upper, lower, link = totals()
    assert (upper["clicks"], upper["served"]) == (1, 2)
    assert upper["viewable"] in (1, 2)  # the second showing may have taken a second, too
    assert lower == {"clicks": 0, "served": 2, "viewable": 0}
    assert link == {"clicks": 1}
    if is_installed():
        wait_for(lambda: stored(stack, "demo").get("view", 0) >= 4, "the views are in the table")
        rows = stored(stack, "demo")
        assert (rows["view"], rows["event"], rows["out"]) == (4, 1, 1)
        assert rows["leave"] >= 1
        answer = json.loads(reader.run(asks[3]))
        assert (answer["totals"]["views"], answer["visitors"], answer["totals"]["visits"]) == (4, 1, 1)


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@pytest.mark.skipif(not is_installed(), reason="NO CLICKHOUSE: there is no engine")
def test_every_item_of_a_page_that_is_left_is_one_row(
    stack: Stack, browser: Chromium, tmp_path: Path, rounds: int
) -> None:
    """Loaded, an event and a link out clicked, left: again and again."""
    name = f"rounds-{rounds}"
    reader = Reader(stack, tmp_path)
    reader.run(f".venv/bin/tallybook sites add {name} --host {'127.0.0.1' if rounds == 6 else 'page.localhost'}")
    host = "127.0.0.1" if rounds == 6 else "page.localhost"
    tag = f'<script defer src="http://localhost:{stack.port}/t.js"></script>'
    pages: dict[str, Page | str] = {
        "/": f'{tag}<a href="http://out.example/">out</a><script>onclick = (event) => event.preventDefault()</script>',
        "/next": "<title>Next</title>",
    }
    with site(pages) as place:
        browser.run(
            """
            for (let round = 0; round < args.rounds; round++) {
                await page.goto(args.url);
                await page.evaluate(() => tally("round", {a: 1}));
                await page.click("a");
                await page.goto(args.url + "next");
            }
            """,
            url=f"http://{host}:{place.port}/",
            rounds=rounds,
            timeout_s=600,
        )

    def kinds() -> dict[str, int]:
        return {kind: count for kind, count in stored(stack, name).items() if kind != "leave"}

    wait_for(lambda: sum(kinds().values()) >= 3 * rounds, "all items are in the table")
    assert kinds() == {"view": rounds, "event": rounds, "out": rounds}


def _is_served(port: int) -> bool:
    try:
        return b"A shop that counts" in fetched(port, "/")
    except OSError:
        return False
