"""No worker outlives the process that made it, not even one that was just being born."""

import resource
import subprocess
import sys

import pytest

from shared.process import raise_descriptor_limit
from tests.processes import ROOT, lives, wait_for

#: A parent that is killed when its worker has, or has not yet, asked to die with it; it prints the worker's pid.
PARENT = """
import multiprocessing, os, signal, sys, time
from shared.process import die_with_parent

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
        "import resource; from shared.process import raise_descriptor_limit\n"
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
