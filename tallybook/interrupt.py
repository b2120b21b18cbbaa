"""Handle SIGTERM and Ctrl-C, for a program that stops in order.

The handler only takes note, and every wait calls `check`. An exception from the handler could strike between the start
of a child and the note that it exists, and an event loop would swallow it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

#: Seconds between two checks for a signal.
_LOOK_S = 0.1
#: Seconds in which further signals are echoes of the first: make and timeout repeat what the whole group gets.
_ECHO_S = 0.5

_T = TypeVar("_T")


class Interrupted(Exception):
    """SIGTERM or SIGINT came."""


class Interrupt:
    """The signals of this process. Make one in the main thread, and `install` it before anything starts."""

    def __init__(self) -> None:
        self._came_at: float | None = None

    def install(self) -> None:
        """Handle SIGTERM and SIGINT. A Ctrl-C more than half a second after the first ends the process at once.

        The death signals of the children end them, too."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._came_at is None:
            self._came_at = now
        elif number == signal.SIGINT and now - self._came_at > _ECHO_S:
            os._exit(128 + number)

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._came_at is not None:
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted within 0.1 s of a signal."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
            self.check()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine, and cancel it at a signal. Raises Interrupted then."""
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
