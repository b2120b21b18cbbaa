"""Granian's parent of the worker processes, with a stop that is never lost."""

import time
from queue import SimpleQueue
from typing import Any

from granian.server.mp import MPServer

#: Seconds after which a worker that still runs is asked again to stop.
_ASK_AGAIN_S = 0.5


class _Wake:
    """Stand in for the `threading.Event` of Granian's main loop.

    The lock of an Event is not reentrant: a signal handler that sets it while the main thread waits on it can block
    for ever. And `clear` forgets a signal that came after the main loop looked at its flags. Here every `set` ends one
    `wait`, and SimpleQueue.put is reentrant (Python documentation, "queue").
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._calls.put(None)

    def wait(self) -> None:
        self._calls.get()

    def clear(self) -> None:
        """Keep what was set: the main loop looks once more, in vain at worst."""


class Workers(MPServer):
    """One process per worker. `serve()` runs them until SIGTERM or SIGINT, then stops them and returns."""

    main_loop_interrupt: Any
    workers_kill_timeout: Any
    wrks: list[Any]

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.main_loop_interrupt = _Wake()

    def _stop_workers(self) -> None:
        """Ask each worker to stop until it does, then leave those that are too slow to Granian, which kills them.

        Once is not enough: a worker that was forked a moment ago has the parent's handler, which does nothing for it,
        until that is taken away (`forget_signal_handlers_in_children`).
        """
        granian: Any = super()
        deadline = time.monotonic() + self.workers_kill_timeout
        while (left := [worker for worker in self.wrks if worker.is_alive()]) and time.monotonic() < deadline:
            for worker in left:
                worker.terminate()
            left[0].join(_ASK_AGAIN_S)
        self.workers_kill_timeout = max(0.001, deadline - time.monotonic())
        granian._stop_workers()
