"""No worker outlives the process that made it, not even one that was just being born."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.process import is_gone, new_owner, raise_descriptor_limit
from tests.harness.process import ROOT, lives
from tests.harness.wait import wait_for

#: A parent that is killed when its worker has, or has not yet, asked to die with it; it prints the worker's pid.
PARENT = """
import multiprocessing, os, signal, sys, time
from shared.runtime.process import die_with_parent

def worker(parent, asks_first, told):
    if not asks_first:
        told.send(os.getpid())
        while os.getppid() == parent:
            time.sleep(0.01)
    die_with_parent()
    if asks_first:
        told.send(os.getpid())
    time.sleep(60)

heard, told = multiprocessing.Pipe(False)
fork = multiprocessing.get_context("fork")
fork.Process(target=worker, args=(os.getpid(), sys.argv[1] == "after", told)).start()
print(heard.recv(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_dies_with_its_parent(when: str) -> None:
    done = subprocess.run([sys.executable, "-c", PARENT, when], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode < 0
    worker = int(done.stdout)
    wait_for(lambda: not lives(worker), "the worker is gone")


def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be() -> None:
    code = (
        "import resource; from shared.runtime.process import raise_descriptor_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))\n"
        "raise_descriptor_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "(1024, 1024)"


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_limit_that_cannot_be_raised_is_no_reason_not_to_start(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise error

    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_descriptor_limit()
    assert asked


# -- names of lives ----------------------------------------------------------------------------------------------------

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is known to be gone")


@LINUX
def test_a_process_that_was_killed_is_gone_before_and_after_it_was_waited_for() -> None:
    code = "import sys; from shared.runtime.process import new_owner; print(new_owner(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        owner = one.stdout.readline().strip()
        assert not is_gone(owner)
        one.kill()
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)  # dead, and its number is taken
        assert is_gone(owner)
    assert is_gone(owner)


@LINUX
def test_who_is_hidden_in_proc_is_not_known_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `hidepid` a living process of another user answers EPERM to kill, and has no file."""
    own = new_owner()
    found = Path.read_text

    def hidden(path: Path, *arguments: Any, **options: Any) -> str:
        if path == Path(f"/proc/{os.getpid()}/stat"):
            raise FileNotFoundError(path)
        return found(path, *arguments, **options)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", hidden)
    assert not is_gone(own)
    monkeypatch.setattr(os, "kill", refuse)
    assert not is_gone(own)


@LINUX
def test_who_cannot_be_known_is_never_gone() -> None:
    own = new_owner()
    host, number, life, token = own.rsplit("-", 3)
    start, namespace, boot = life.split(".")
    assert not is_gone(own)
    assert is_gone(f"{host}-{number}-{int(start) + 1}.{namespace}.{boot}-{token}")  # the number was given out again
    free = 2**22 + 1  # above every number of a process
    assert is_gone(f"{host}-{free}-{life}-{token}")
    for elsewhere in (f"{start}.{namespace}.{'0' * 32}", f"{start}.1.{boot}", "", start):
        assert not is_gone(f"{host}-{free}-{elsewhere}-{token}")
    assert not any(map(is_gone, ("", "owner 1", "a-b-c-d", f"{free}-{life}", "one", f"--{life}-")))
