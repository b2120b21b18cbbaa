"""Background work is a table of loops, run by one small runner that survives whatever they meet."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from shared.runtime.backoff import Backoff
from shared.runtime.tasks import end
from shared.stores.failures import noted
from shared.telemetry.metrics import LOOP_ERRORS

#: Seconds of the longest wait after failures in a row.
_BACKOFF_MAX_S = 30.0

log = structlog.get_logger()


class Loop(NamedTuple):
    """Something to do every `period_s` seconds, give or take a quarter, so that several processes do not march in
    step."""

    name: str
    work: Callable[[], Awaitable[object]]
    period_s: float


async def run(loops: Sequence[Loop]) -> None:
    """Run all of them until cancelled."""
    tasks = [asyncio.create_task(_run(loop), name=loop.name) for loop in loops]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)


async def _run(loop: Loop) -> None:
    backoff = Backoff(loop.period_s, max(_BACKOFF_MAX_S, loop.period_s), (0.75, 1.25))
    failures = 0
    while True:
        try:
            await loop.work()
        except Exception as error:  # a store may be away for hours; the work is repeated until it is back
            LOOP_ERRORS.labels(loop.name).inc()
            failure = noted(error)
            if failures == 0:
                reason, code = str(error)[:200], failure.code
                log.warning("loop_failing", loop=loop.name, error=type(error).__name__, code=code, reason=reason)
            failures += 1
        else:
            if failures:
                log.info("loop_recovered", loop=loop.name, failures=failures)
            failures = 0
        await asyncio.sleep(backoff.after(failures))
