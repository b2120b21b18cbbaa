"""Answers plain clicks in the thread in which Granian hands a request to Python, without a trip through the event loop.

Granian's own way is: that thread -> `call_soon_threadsafe` -> event loop -> a new task -> the handler. For a handler
that awaits nothing, the trip costs more than the answer (measured: 1.3 to 1.5 times the throughput without it). The
scheduler here asks `answer` first and lets Granian's way be for whatever that refuses. It stands on names of Granian
2.8 that are not public, so the version is pinned below 2.9, and a test fails when plain clicks stop being answered
here.
"""

from collections.abc import Callable
from typing import Any

import granian.server.mp as granian_mp
import structlog
from granian._futures import _cbsched_aioschedule, _CBSchedulerAIO
from granian._granian import CallbackScheduler

log = structlog.get_logger()


def install(answer: Callable[[Any, Any], bool]) -> None:
    """Have `answer(scope, protocol)` asked first for every request of this worker process.

    It runs in one thread beside the event loop's. True means that it has answered, or will; on False, and when it
    raises, the request goes Granian's way. Call this in the worker, before it serves.
    """

    class Inline(_CBSchedulerAIO):
        __slots__: list[str] = []

        def __init__(self, loop: Any, callback: Any, *_: Any) -> None:
            CallbackScheduler.__init__(self)
            usual = _cbsched_aioschedule(loop, self._ctx, callback)  # type: ignore[no-untyped-call]
            self._schedule_fn = _asking(answer, usual)

    def scheduler(loop: Any, callback: Any, impl_asyncio: bool = False) -> Any:
        return Inline(loop, callback, None, _nothing, _nothing)

    granian_mp._new_cbscheduler = scheduler  # type: ignore[attr-defined]


def _asking(answer: Callable[[Any, Any], bool], schedule: Callable[[Any], None]) -> Callable[[Any], None]:
    def ask_first(watcher: Any) -> None:
        try:
            if watcher.scope.proto == "http" and answer(watcher.scope, watcher.proto):
                return
        except Exception as error:  # Granian would swallow it, and the client would wait for ever
            log.exception("inline_broke", error=type(error).__name__)
        schedule(watcher)

    return ask_first


def _nothing(*_: Any) -> None:
    """What only Granian's other scheduler calls."""
