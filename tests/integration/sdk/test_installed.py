"""A new user: the client alone in an environment, a shop under gunicorn, and kills while the service is away."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.harness.http import request
from tests.harness.process import ROOT, end, environ, free_port
from tests.harness.subjects.events import EventStage
from tests.harness.subjects.tracking import is_live
from tests.harness.wait import until, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an empty environment in which the client and a shop were installed, and nothing of the service."""
    folder = tmp_path_factory.mktemp("shop") / "venv"
    wanted = [str(ROOT / "sdk/python"), "fastapi", "gunicorn>=25"]
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(folder / "bin/python"), *wanted], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-q", *wanted], check=True)
    return str(folder / "bin/python")


class Shop:
    """`examples/fastapi` under gunicorn, preloaded, with one worker: its report is that of all."""

    def __init__(self, python: str, url: str, folder: Path, spool: Path | None) -> None:
        self.port = free_port()
        more = {} if spool is None else {"TALLYBOOK_SPOOL_DIR": str(spool)}
        self.log = folder / "gunicorn.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(python, "-m", "gunicorn", "--preload", "-k", "asgi", "-w", "1"),
                    *("--no-control-socket", "-b", f"127.0.0.1:{self.port}", "shop:app"),
                ],
                env={**environ(), "TALLYBOOK_URL": url, **more},
                cwd=ROOT / "examples/fastapi",
                stdout=log,
                stderr=log,
            )
        wait_for(self.answers, "the shop")

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return request(self.port, "/tally").status == 200
        except OSError:
            return False

    def sell(self, times: int) -> None:
        """Orders of guests, each after a click."""
        for _ in range(times):
            assert request(self.port, "/banners/4242").status == 307
            assert request(self.port, "/orders?price=9.5", "POST").status == 200

    def report(self) -> Any:
        return request(self.port, "/tally").json()

    def kill(self) -> None:
        """End every process at once."""
        processes = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
        for one in processes:
            os.kill(one.pid, signal.SIGKILL)
        self.process.wait()


async def numbers(stage: EventStage) -> tuple[int, int]:
    """Clicks and events that the service has."""
    await stage.settle()
    today = datetime.now(UTC).date().isoformat()
    clicks = (await stage.service.http.get(f"/stats/4242?tsFrom={today}&tsTo={today}")).json()["total"]
    return clicks, len(await stage.rows())


async def test_the_first_lines_of_the_guide_work_where_only_the_client_is(stage: EventStage, python: str) -> None:
    page = (ROOT / "docs/sdk/python.md").read_text()
    program = page.split("<!-- example: begin -->\n```python\n")[1].split("```")[0]
    done = await asyncio.to_thread(
        subprocess.run,
        [python, "-I", "-c", program],
        env={**environ(), "TALLYBOOK_URL": f"http://127.0.0.1:{stage.service.port}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n2 0\n", "")


@pytest.mark.parametrize("has_spool", [True, False], ids=["spool", "memory"])
async def test_a_shop_that_is_killed_while_the_service_is_away(
    stage: EventStage, python: str, tmp_path: Path, has_spool: bool
) -> None:
    """With a spool the numbers are right afterwards. Without one the report told what a kill would take."""
    url, spool = f"http://127.0.0.1:{stage.service.port}", tmp_path / "spool" if has_spool else None
    shop = await asyncio.to_thread(Shop, python, url, tmp_path, spool)
    try:
        await asyncio.to_thread(shop.sell, 10)

        async def is_sent() -> bool:
            return (await asyncio.to_thread(shop.report))["pending"] == 0

        await until(is_sent, "the first records")
        await asyncio.to_thread(end, stage.service.process)
        await asyncio.to_thread(shop.sell, 20)
        report = await asyncio.to_thread(shop.report)
        assert (report["recorded"], report["pending"], report["difference"]) == (60, 40, 0)
    finally:
        await asyncio.to_thread(shop.kill)
    stage.service.supervise()
    await until(lambda: is_live(stage.service), "the service")
    assert await numbers(stage) == (10, 10)
    shop = await asyncio.to_thread(Shop, python, url, tmp_path, spool)
    wanted = 30 if has_spool else 10
    try:
        if has_spool:

            async def is_there() -> bool:
                return await numbers(stage) == (wanted, wanted)

            await until(is_there, "what the dead shop had recorded")
        await asyncio.to_thread(shop.sell, 1)
    finally:
        code = await asyncio.to_thread(end, shop.process)
    assert code == 0, shop.log.read_text()
    assert await numbers(stage) == (wanted + 1, wanted + 1)
    assert "Traceback" not in shop.log.read_text()
