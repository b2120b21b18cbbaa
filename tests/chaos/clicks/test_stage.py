"""What judges a run can find fault, and a run that breaks off leaves its evidence and nothing else."""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.clicks.books import Books
from tests.chaos.clicks.crowd import Crowd
from tests.chaos.clicks.disk import NO_DISK, SmallDisk
from tests.chaos.clicks.faults import FAULTS, Scene
from tests.chaos.clicks.run import Run
from tests.chaos.clicks.shim import build
from tests.chaos.clicks.stage import Stage
from tests.harness import services
from tests.harness.http import ask
from tests.harness.workers import is_worker

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that servers of another user may enter, in which runs make theirs."""
    one = Path(tempfile.mkdtemp(prefix="tallybook-stage-"))
    one.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(one))
    yield one
    shutil.rmtree(one)


@pytest.fixture
def library(folder: Path) -> Path:
    """The shim."""
    return build(folder)


@pytest.fixture
async def stage(folder: Path, library: Path) -> AsyncIterator[Stage]:
    """One that has started."""
    (own := folder / "s").mkdir(mode=0o755)
    one = Stage(own, 1, library)
    try:
        await one.start()
        yield one
    finally:
        await one.end()


async def test_what_judges_a_run_can_find_fault(stage: Stage, folder: Path) -> None:
    books = Books()
    chance = random.Random(1)
    scene = Scene(stage, Crowd(stage.port, books, chance), books, SmallDisk(folder / "none"), chance)
    assert (await ask(stage.port, "POST", "/stats/1")).status == 204
    assert await stage.settle()
    await scene.check_account()
    assert not books.violations

    # a click that Postgres has twice
    async with stage.database() as connection:
        await connection.execute("UPDATE click_ledger SET clicks = clicks + 1")
    await scene.check_account()
    assert books.broken["I7"] == 1

    # each server with what is meant for it
    maps = {name: stage.process(name).memory_maps() for name in ("redis", "postgres")}
    assert {name for name, files in maps.items() if any("shim" in one.path for one in files)} == {"redis"}

    # a process that outlives the service
    found = {one.pid for one in stage.processes()}
    assert {one.pid for one in stage.workers()} < found
    assert {stage.process(name).pid for name in ("ingest", "aggregator-1", "aggregator-2")} < found
    with _lingering(stage) as pid:
        assert set((await stage.stop()).values()) == {0}
        assert f"process {pid}" in await stage.left_behind()
    assert not await stage.left_behind()


@contextlib.contextmanager
def _lingering(stage: Stage) -> Iterator[int]:
    environ = os.environ | {"TALLYBOOK_DATA_DIR": str(stage.folder / "service")}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environ) as process:
        yield process.pid
        process.kill()


def test_a_worker_that_dies_while_it_is_looked_at_is_the_only_one_missed() -> None:
    class Dying(psutil.Process):
        def cmdline(self) -> list[str]:
            raise psutil.NoSuchProcess(self.pid)

    assert [is_worker(one()) for one in (psutil.Process, Dying)] == [True, False]


def test_a_run_that_breaks_off_keeps_its_evidence_and_ends_the_rest(
    folder: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(1, library)

    async def break_off() -> None:
        run._stage.log.write_text("the last words")
        run._stage._data.take()
        raise OSError("no more")

    def fail() -> None:
        raise ValueError("nor does this end")

    monkeypatch.setattr(run._stage, "start", break_off)
    monkeypatch.setattr(run._stage.servers, "stop", fail)
    with pytest.raises(ValueError, match="nor does this end"):
        asyncio.run(run.run(1))
    (kept,) = folder.glob("*.kept")
    assert (kept / "service.log").read_text() == "the last words"
    assert (kept / "ingest.orders").exists()
    assert not run._folder.exists()
    assert not run._stage.log.exists()
    assert not run._stage._data.is_ours
    assert str(kept) in capsys.readouterr().err


async def test_no_fault_goes_on_without_the_run(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def last(scene: Scene) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    monkeypatch.setitem(FAULTS, "cut", last)
    run = Run(1, library, faults=["cut"])
    doing = asyncio.create_task(run._do("cut", until_caught=False))
    await asyncio.sleep(0.2)
    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing
    assert ended.is_set()
    run._clear_away(None, None, None)


def test_a_disk_can_be_full(folder: Path) -> None:
    """Where this is skipped, runs leave `full_disk` out."""
    (mount := folder / "disk").mkdir()
    disk = SmallDisk(mount)
    if not disk.is_there:
        services.missing("mount", NO_DISK)
    try:
        with disk.full(), pytest.raises(OSError, match="No space left"):
            (mount / "file").write_bytes(b"1")
        (mount / "file").write_bytes(b"1")
    finally:
        disk.remove()
