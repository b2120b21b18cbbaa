"""SIGTERM and Ctrl-C, for a program that stops in order.

The handler only takes note. What raised from within a handler could interrupt a line between the start of a child and
the note that it exists, and an event loop would swallow it. So every wait asks `check`.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

#: Seconds between two questions whether a signal came.
_LOOK_S = 0.1
#: Seconds for which more signals are echoes of the first: make, timeout and their like pass on what the whole group
#: gets anyway.
_ECHO_S = 0.5

_T = TypeVar("_T")


class Interrupted(Exception):
    """SIGTERM or SIGINT came."""


class Interrupt:
    """The signals of this process. Make one in the main thread, and `install` it before anything is started."""

    def __init__(self) -> None:
        self._came_at: float | None = None

    def install(self) -> None:
        """Take SIGTERM and SIGINT over. A Ctrl-C after that, more than half a second later, ends the process at once:
        the children's death signals end them too."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._came_at is None:
            self._came_at = now
        elif number == signal.SIGINT and now - self._came_at > _ECHO_S:
            os._exit(128 + number)

    def check(self) -> None:
        """Raises Interrupted when a signal came."""
        if self._came_at is not None:
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted when a signal comes meanwhile, at most 0.1 s after it."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
            self.check()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """`asyncio.run` that a signal cancels. Raises Interrupted then."""
        return asyncio.run(self._watched(work))

    async def _watched(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                self.check()
                await asyncio.wait([task], timeout=_LOOK_S)
        finally:
            task.cancel()
        return task.result()
