"""The guide of docs/collect.md, followed to the letter: its commands in a shell, and its page in a real browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.browser.chromium import chromium
from tests.harness.http import fetched
from tests.harness.process import ROOT, environ, free_port
from tests.harness.services import require
from tests.harness.stacks import TALLYBOOK, Stack, running
from tests.harness.wait import wait_for

GUIDE = (ROOT / "docs/collect.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^    \$ (.+)$", GUIDE, re.MULTILINE)


class Reader:
    """Somebody who follows the guide, on other ports and in a folder of their own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.site_port, self._stack, self._folder = free_port(), stack, folder
        shutil.copytree(ROOT / "examples", folder / "examples")
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


@pytest.fixture
def stack(folder: Path) -> Iterator[Stack]:
    """What `make up` starts."""
    with running(folder, workers=1) as one:
        yield one


def test_the_guide_leads_to_the_first_impression_click_and_redirect(stack: Stack, tmp_path: Path) -> None:
    require("curl")
    reader = Reader(stack, tmp_path)
    up, add_site, add_link, serve, *asks = COMMANDS
    assert up == "make up"  # the fixture
    assert len(asks) == 3
    with chromium(tmp_path / "chromium.log") as browser:
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
        answers = [json.loads(reader.run(ask)) for ask in asks]
        return [*(one["totals"] for one in answers[:2]), {"clicks": answers[2]["total"]}]

    wait_for(lambda: totals()[0]["clicks"], "the click is counted")
    upper, lower, link = totals()
    assert (upper["clicks"], upper["served"]) == (1, 2)
    assert upper["viewable"] in (1, 2)  # the second showing may have taken a second, too
    assert lower == {"clicks": 0, "served": 2, "viewable": 0}
    assert link == {"clicks": 1}


def _is_served(port: int) -> bool:
    try:
        return b"A shop that counts" in fetched(port, "/")
    except OSError:
        return False
