"""Waiting for what has to happen. What does not is a TimeoutError: a mutant is caught by wrong numbers alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Seconds until something must have happened on a busy machine.
PATIENCE_S = 60.0


async def until(is_so: Callable[[], Awaitable[object]], what: str = "it", patience_s: float = PATIENCE_S) -> None:
    """Come back when it is so."""
    deadline = time.monotonic() + patience_s
    while not await is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience_s:.0f} s: {what}")
        await asyncio.sleep(0.02)
