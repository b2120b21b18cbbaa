"""The examples and the guide's first lines, run as a reader runs them, and the numbers that the service then has."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tallybook_sdk.testing import FakeServer
from tests.harness.http import request
from tests.harness.process import ROOT, end, free_port
from tests.harness.subjects.events import EventStage
from tests.harness.wait import wait_for

EXAMPLES = ROOT / "examples"


def environ(url: str, **more: str) -> dict[str, str]:
    """The environment of an example."""
    return {**os.environ, "TALLYBOOK_URL": url, **more}


async def run(url: str, *command: str) -> str:
    """Run a program to its end; what it printed."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *command],
        env=environ(url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def test_the_first_lines_of_the_guide(module_stage: EventStage) -> None:
    page = (ROOT / "docs/sdk/python.md").read_text()
    program = page.split("<!-- example: begin -->\n```python\n")[1].split("```")[0]
    before = (await module_stage.service.http.get("/stats/42")).json()["total"]  # of other tests
    said = await run(f"http://127.0.0.1:{module_stage.service.port}", "-c", program)
    assert said == f"{before + 1}\n2 0\n"


async def test_the_script_counts_a_file_once(module_stage: EventStage, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{module_stage.service.port}"
    file = tmp_path / "orders.csv"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    file.write_text("order,at,banner,user,price\n" + "".join(f"{n},{at},{n % 3 + 700},u-{n},9.5\n" for n in range(30)))
    script = str(EXAMPLES / "script/count_orders.py")
    assert await run(url, script, str(file)) == "stored 60, there before 0, rejected 0\n"
    assert await run(url, script, str(file)) == "stored 0, there before 60, rejected 0\n"
    answer = await module_stage.service.http.get("/stats?bannerIds=700,701,702")
    assert [one["total"] for one in answer.json()["banners"]] == [10, 10, 10]


#: Example -> the kind of workers that gunicorn needs for it.
SHOPS = {"fastapi": "asgi", "flask": "sync", "django-views": "sync"}


class Shop:
    """An example under gunicorn: two workers of a preloaded application, with a spool."""

    def __init__(self, url: str, folder: Path, example: str = "fastapi") -> None:
        self.port = free_port()
        self.log = folder / "gunicorn.log"
        more = {"TALLYBOOK_SPOOL_DIR": str(folder / "spool")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--preload", "-k", SHOPS[example], "-w", "2"),
                    *("--no-control-socket", "-b", f"127.0.0.1:{self.port}", "shop:app"),
                ],
                env=environ(url, **more),
                cwd=EXAMPLES / example,
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

    def ask(self, method: str, path: str) -> Any:
        return request(self.port, path, method, headers={"x-user": "u-17"})

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as one:
        yield one


def counts(server: FakeServer) -> tuple[int, int, int]:
    """Purchases, page views of orders, and clicks that the service has."""
    kinds = [event["event_type"] for event in server.events.values()]
    views = [event for event in server.events.values() if event["properties"].get("route") in ("/orders", "orders")]
    return kinds.count("purchase"), len(views), sum(server.clicks.values())


@pytest.mark.parametrize("example", SHOPS)
def test_a_shop_under_gunicorn_counts_each_order_once(server: FakeServer, tmp_path: Path, example: str) -> None:
    shop = Shop(server.url, tmp_path, example)
    try:
        for _ in range(40):
            assert "event_id" in shop.ask("POST", "/orders?price=9.5").json()
            assert shop.ask("GET", "/banners/42").status == 307
        assert len(shop.workers()) == 2
    finally:
        code = end(shop.process)
    assert code == 0, shop.log.read_text()
    assert counts(server) == (40, 40, 40)
    assert "Traceback" not in shop.log.read_text()


def test_what_a_killed_worker_had_recorded_is_sent_by_another_one(server: FakeServer, tmp_path: Path) -> None:
    """The service is away, workers are killed, the shop is started again: the numbers are right."""
    away = f"http://127.0.0.1:{free_port()}"
    shop = Shop(away, tmp_path)
    try:
        for _ in range(40):
            assert json.loads(shop.ask("POST", "/orders?price=9.5").body)["event_id"]
            assert shop.ask("GET", "/banners/42").status == 307
        killed = [psutil.Process(pid) for pid in [*shop.workers(), shop.process.pid]]
        for process in killed:
            process.kill()
    finally:
        end(shop.process)
    assert psutil.wait_procs(killed, timeout=20)[1] == []  # who still dies holds its spool
    assert counts(server) == (0, 0, 0)
    shop = Shop(server.url, tmp_path)
    try:
        wait_for(lambda: counts(server) == (40, 40, 40), "the records of the dead")
    finally:
        end(shop.process)
    assert counts(server) == (40, 40, 40)
    assert list((tmp_path / "spool").iterdir()) == []
