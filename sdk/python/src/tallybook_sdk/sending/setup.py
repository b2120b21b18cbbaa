"""What a worker is made of, and the bell that wakes its thread."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

from msgspec import Struct

from tallybook_sdk.sending.courier import Rejected
from tallybook_sdk.sending.http import Transport
from tallybook_sdk.sending.queue import Bounds, Store

OnFull = Literal["drop", "block", "raise"]


class Clock(Protocol):
    """The two clocks of a client."""

    def time(self) -> float:
        """Return Unix seconds."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never steps."""


class Setup(Struct, frozen=True, kw_only=True):
    """What a worker, and that of a forked child after it, is made of."""

    url: str
    #: Make the headers of each request, and read a key again that was refused.
    headers: Callable[[], dict[str, str]]
    renew: Callable[[], object]
    bounds: Bounds
    timeout_s: float
    exit_timeout_s: float
    on_full: OnFull
    block_s: float
    on_reject: Callable[[Rejected], object] | None
    transport: Transport
    clock: Clock
    #: Compress large bodies: the service is on another host.
    is_far: bool = True
    #: Drop everything.
    is_off: bool = False
    #: A place for records that outlives the process, instead of memory.
    store: Callable[[], Store] | None = None


class Bell:
    """Wake one thread. It may be rung from anywhere, also from a signal handler: releasing a lock is one step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Let the present or the next `wait` return."""
        with suppress(RuntimeError):  # it rings already
            self._lock.release()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True when it has been rung, or False after the time-out."""
        return self._lock.acquire(timeout=-1 if timeout_s is None else min(max(timeout_s, 0), threading.TIMEOUT_MAX))
