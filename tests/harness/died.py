"""A crash point that raises instead of killing, for tests whose service is in their own process; and the dead."""

import asyncio
import itertools
import subprocess
import sys

import pytest

from aggregator.delivery import engine
from tests.harness.process import ROOT


class Died(Exception):
    """What a process is after a crash point."""


def arm(monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> asyncio.Event:
    """Let a crash point of a delivery raise when it is passed for the n-th time; the event is set then."""
    died, passes = asyncio.Event(), itertools.count(1)

    def crash_point(here: str) -> None:
        if here == name and next(passes) == at:
            died.set()
        if died.is_set():
            raise Died(name)

    monkeypatch.setattr(engine, "crash_point", crash_point)
    return died


def dead_owner() -> str:
    """The name of a process of this host that has ended."""
    code = "from shared.runtime.process import new_owner; print(new_owner())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    return done.stdout.strip()
