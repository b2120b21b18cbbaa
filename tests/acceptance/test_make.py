"""The two commands of the README, in a fresh copy of the sources with a virtual environment of its own."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.http import ask
from tests.harness.process import ROOT, environ, free_port
from tests.harness.services import require
from tests.harness.wait import PATIENCE_S, wait_for

pytestmark = pytest.mark.slow

#: Seconds for installing everything anew.
_INSTALL_S = 240.0


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a clone would hold, and what is about to be committed."""
    require("make")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git work tree")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = tmp_path / "copy" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return tmp_path / "copy"


def _environ(**settings: object) -> dict[str, str]:
    """Without the virtual environment that these tests run in."""
    values = environ(**settings)
    inside = values.pop("VIRTUAL_ENV", None) or str(ROOT / ".venv")
    paths = values.get("PATH", os.defpath).split(os.pathsep)
    values["PATH"] = os.pathsep.join(path for path in paths if not path.startswith(inside))
    for name in ("PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL"):
        values.pop(name, None)
    return values


def _make(folder: Path, *arguments: str) -> str:
    command = ["make", "--no-print-directory", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=_environ(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def _up(folder: Path, port: int, **settings: object) -> Iterator["subprocess.Popen[bytes]"]:
    """`make up`, in a session of its own, as a terminal would start it."""
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "up", f"ARGS=--port {port}"],
            cwd=folder,
            env=_environ(**settings),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_S)


def _owner(data: Path) -> int:
    """The process that holds a data folder, as the lock says."""
    return int((data / "lock").read_text().split()[1])


@pytest.mark.timeout(_INSTALL_S + 120)
async def test_make_up_installs_starts_counts_and_ends(copy: Path) -> None:
    port = free_port()
    with _up(copy, port, metrics_port=free_port(), workers=1) as process:

        def is_ready() -> bool:
            printed = (copy / "up.log").read_text(errors="replace")
            assert process.poll() is None, printed
            return "tallybook is ready on " in printed

        await asyncio.to_thread(wait_for, is_ready, "the ready line of make up", _INSTALL_S)
        assert (copy / ".venv/bin/tallybook").exists()
        assert (await ask(port, "POST", "/stats/42")).status == 204
        assert (await ask(port, "GET", "/stats/42")).json()["total"] == 1
        os.kill(_owner(copy / "data"), signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
        assert "stack_stopped" in (copy / "up.log").read_text(errors="replace")
        assert "rror:" not in (copy / "up.log").read_text(errors="replace")
    assert (copy / "data").is_dir(), "the data lie in the folder that .gitignore names"


def test_make_alone_lists_what_there_is(copy: Path) -> None:
    listed = {line.split()[0] for line in _make(copy).splitlines()}
    assert {"up", "test", "lint", "help"} <= listed
    assert _make(copy, "help") == _make(copy)


def test_make_installs_with_pip_where_there_is_no_uv(copy: Path) -> None:
    planned = _make(copy, "-n", "up", "UV=")
    assert 'if [ -n "" ]' in planned
    assert "-m venv .venv" in planned
    assert "pip install -q --disable-pip-version-check --require-hashes -r requirements.txt" in planned
    assert "--no-deps --no-build-isolation -e ./sdk/python -e ." in planned


def test_make_says_which_python_it_needs(copy: Path) -> None:
    done = subprocess.run(
        ["make", "up", "PYTHON="],
        cwd=copy,
        env=_environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode != 0
    assert "tallybook needs Python 3.11 or newer" in done.stderr
    assert not (copy / ".venv").exists()
