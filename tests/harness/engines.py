"""The engines of ClickHouse that tests run on: the installed one, and the oldest that `tallybook check` allows.

Of the oldest there is one wheel, chdb 3.7.2. It stays in `~/.cache/tallybook-test`, so only the first run fetches its
200 MB. A test runs on both with `pytest.mark.every_engine`.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from tallybook.stack.check import CLICKHOUSE_OLDEST
from tests.harness import services
from tests.harness.process import ROOT
from tests.harness.subjects.gateway import Gateway

INSTALLED, OLDEST = "installed", "oldest"
#: The release of chdb with the engine CLICKHOUSE_OLDEST.
_CHDB = "chdb==3.7.2"
#: Seconds to fetch it.
_FETCH_S = 600


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `every_engine` on each: a hook, which conftest.py has."""
    if metafunc.definition.get_closest_marker("every_engine") and "clickhouse_url" in metafunc.fixturenames:
        oldest = pytest.param(OLDEST, marks=[pytest.mark.slow, pytest.mark.beside])
        metafunc.parametrize("clickhouse_url", [INSTALLED, oldest], indirect=True, scope="session")


@contextmanager
def served(folder: Path) -> Iterator[Callable[[str], str]]:
    """What gives the URL of an engine, which is started when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def url(engine: str) -> str:
            if engine == OLDEST:
                return stack.enter_context(_oldest(folder / "oldest"))
            return stack.enter_context(services.clickhouse(folder / "c"))

        yield url


@contextmanager
def _oldest(folder: Path) -> Iterator[str]:
    shim = Path(__file__).parent / "oldest_engine"
    gateway = Gateway(folder, PYTHONPATH=f"{shim}{os.pathsep}{ROOT}", TESTS_CHDB=str(_wheel()))
    gateway.start()
    try:
        assert gateway.ask("POST", body=b"SELECT version()").text.startswith(".".join(map(str, CLICKHOUSE_OLDEST)))
        yield gateway.url
    finally:
        gateway.close()


def _wheel() -> Path:
    """The folder into which the wheel is unpacked."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path.home() / ".cache" / "tallybook-test" / f"{_CHDB}-{version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of the processes that run tests one fetches it
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    draft = folder.with_suffix(f".{os.getpid()}")
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    command = [*installer, "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(draft), _CHDB]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        services.missing("oldest-clickhouse", f"{_CHDB} cannot be installed: {done.stderr[-500:]}")
    draft.rename(folder)
