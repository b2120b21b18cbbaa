"""The life of a process: its end, its children, and the traces of its own work."""

import atexit
import os
import sys
import time
from contextlib import suppress
from typing import Any, Protocol


class Closable(Protocol):
    """A worker, as the end of a process sees it."""

    pid: int

    @property
    def exit_timeout_s(self) -> float: ...
    def close(self, timeout_s: float) -> None: ...
    def drop_connections(self) -> None: ...
    def forked(self) -> None: ...


#: Workers of this process that are not closed.
_open: set[Closable] = set()


def begin(worker: Closable) -> None:
    """Note a worker that has to be closed when the process ends."""
    _open.add(worker)


def end(worker: Closable) -> None:
    """Forget a worker that was closed."""
    worker.drop_connections()
    _open.discard(worker)


def close_all(**_: Any) -> None:
    """Close every client of this process within the longest of their times."""
    mine = [worker for worker in list(_open) if worker.pid == os.getpid()]
    until = time.monotonic() + max((worker.exit_timeout_s for worker in mine), default=0.0)
    for worker in mine:
        with suppress(Exception):
            worker.close(max(0.0, until - time.monotonic()))


atexit.register(close_all)


def end_with_the_process() -> None:
    """Close at the end of processes that skip atexit, too: children of multiprocessing and of Celery."""
    loaded = sys.modules
    with suppress(Exception):  # foreign libraries
        if "multiprocessing.util" in loaded and loaded["multiprocessing.process"].parent_process() is not None:
            loaded["multiprocessing.util"].Finalize(None, close_all, exitpriority=10)
    with suppress(Exception):
        if "celery.signals" in loaded:
            signal = loaded["celery.signals"].worker_process_shutdown
            signal.connect(close_all, weak=False, dispatch_uid="tallybook_sdk")


def suppress_traces() -> None:
    """Tell OpenTelemetry that what this thread sends is no work of the application."""
    with suppress(Exception):  # a foreign library
        if otel := sys.modules.get("opentelemetry.context"):
            key = getattr(otel, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
            otel.attach(otel.set_value(key, True))


def _after_fork() -> None:
    """Close the child's ends of the parent's connections. The workers stay the parent's."""
    for worker in list(_open):
        worker.forked()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
