"""SIGTERM and Ctrl-C, for a program that stops in order.

The handler only counts. What raised from within a handler could interrupt a line between the start of a child and the
note that it exists, and an event loop would swallow it. So every wait asks `check`.
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

_T = TypeVar("_T")


class Interrupted(Exception):
    """SIGTERM or SIGINT came."""


class Interrupt:
    """The signals of this process. Make one in the main thread, and `install` it before anything is started."""

    def __init__(self) -> None:
        self._count = 0

    def install(self) -> None:
        """Take SIGTERM and SIGINT over. The second of them ends the process at once: the children's death signals end
        them too."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            os._exit(128 + number)

    def check(self) -> None:
        """Raises Interrupted when a signal came."""
        if self._count:
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
