"""End background tasks."""

import asyncio
from typing import Any

#: Seconds until a task that goes on is cancelled again.
_AGAIN_S = 0.1


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel the tasks and wait until they have ended, whatever they raise.

    Once is not enough: `asyncio.wait_for` of Python 3.11, which redis-py calls with every command, returns the result
    and forgets the cancellation when both come in one turn of the loop (bpo-37658). Then a stop would wait for ever.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
