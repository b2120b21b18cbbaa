"""A crash point that raises instead of killing, for tests whose service is in their own process."""

import asyncio
import itertools

import pytest

from aggregator import partition


class Died(Exception):
    """What a process is after a crash point."""


def arm(monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> asyncio.Event:
    """Let a crash point of a partition raise when it is passed for the n-th time; the event is set then."""
    died, passes = asyncio.Event(), itertools.count(1)

    def crash_point(here: str) -> None:
        if here == name and next(passes) == at:
            died.set()
        if died.is_set():
            raise Died(name)

    monkeypatch.setattr(partition, "crash_point", crash_point)
    return died
