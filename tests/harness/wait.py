"""Waiting for what has to happen. What does not is a TimeoutError: a mutant is caught by wrong numbers alone."""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator

#: Seconds until something must have happened on a busy machine.
PATIENCE_S = 60.0
#: Seconds between two questions.
_PAUSE_S = 0.02


def _waited(what: str, patience_s: float) -> Iterator[float]:
    """Yield the seconds since the first question. Raises TimeoutError when patience is over."""
    began = time.monotonic()
    while (waited_s := time.monotonic() - began) <= patience_s:
        yield waited_s
    raise TimeoutError(f"not within {patience_s:.0f} s: {what}")


def wait_for(is_so: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Block until it is so."""
    for _ in _waited(what, patience_s):
        if is_so():
            return
        time.sleep(_PAUSE_S)


async def until(is_so: Callable[[], object], what: str = "it", patience_s: float = PATIENCE_S) -> float:
    """Return the seconds after which it is so, while other tasks run. A question may be a coroutine function."""
    for waited_s in _waited(what, patience_s):
        answer = is_so()
        if await answer if inspect.isawaitable(answer) else answer:
            return waited_s
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("unreachable")
