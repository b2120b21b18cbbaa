"""Generate: a plan, new or resumed, with its sender, view and control endpoint."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog
from rich.console import Console

from generator.control import Controlled, Endpoint
from generator.ledger import Ledger, LedgerUnusable, Past, Plan, past
from generator.run import Run
from generator.targets.target import TOPIC, Target, sender
from generator.targets.ways import BatchLimit, Ways
from generator.traffic.kinds import KINDS
from generator.traffic.profile import Profile
from generator.traffic.traffic import Audience
from generator.view import View
from shared.settings import Settings

#: Seconds between two pictures, at most.
_TICK_S = 0.1

log = structlog.get_logger()


class Order(NamedTuple):
    """The request of a user."""

    target: str
    profile: Profile
    events: int | None = None
    seed: int = 0
    #: Unix milliseconds at which the generator's clock begins; now when not given.
    start_ms: int | None = None
    speed: float = 1.0
    ledger: Path | None = None
    is_resumed: bool = False
    audience: Audience = Audience()
    topic: str = TOPIC
    spread: str = "key"
    ways: dict[str, str] = dict.fromkeys(KINDS, "async")
    batch: BatchLimit = BatchLimit()
    #: Seconds for which the generator makes something; None is without end.
    duration_s: float | None = None
    #: Seconds that a stop waits for what is in flight.
    drain_s: float = 30.0
    #: Address and port of the control endpoint; port None is without one.
    host: str = "127.0.0.1"
    port: int | None = None


class Result(NamedTuple):
    """The end of a run."""

    summary: dict[str, Any]
    #: Whether everything that was made is settled.
    is_settled: bool
    #: Whether all that was ordered was made and settled.
    is_complete: bool


def planned(order: Order, partitions: int) -> tuple[Plan, Past | None]:
    """Return the plan of a new run, or of the resumed one. Raises LedgerUnusable."""
    if order.is_resumed:
        if order.ledger is None:
            raise LedgerUnusable("--resume needs the --ledger of the run that is to go on")
        before = past(order.ledger)
        if before.plan.partitions != partitions:
            raise LedgerUnusable(
                f"the run has {before.plan.partitions} partitions, and TALLYBOOK_LOG_PARTITIONS is {partitions}"
            )
        return before.plan, before
    start_ms = order.start_ms
    if start_ms is None:
        start_ms = time.time_ns() // 1_000_000
        if order.profile.mode == "max" and order.events is not None:  # so that none of it lies in the future
            start_ms -= int(order.events * order.profile.max_step_ms)
    plan = Plan(
        run=secrets.token_hex(6),
        seed=order.seed,
        target=order.target,
        topic=order.topic,
        partitions=partitions,
        start_ms=start_ms,
        events=order.events,
        audience=order.audience,
        profile=order.profile,
        spread=order.spread,
        ways=order.ways,
    )
    return plan, None


async def generate(
    order: Order,
    target: Target,
    plan: Plan,
    before: Past | None,
    settings: Settings,
    console: Console,
    stop: asyncio.Event,
) -> Result:
    """Generate until there are enough messages or `stop` is set. Raises TargetUnusable, LedgerUnusable or OSError."""
    ledger = Ledger(order.ledger)
    async with sender(target, settings, ledger) as to:
        ends = await to.open()
        try:
            if before is None:
                plan = _with_ends(plan, ends)
                ledger.begin(plan)
            else:
                ledger.go_on()
            run = Run(plan, to, Ways(to, plan.ways, order.batch), ledger, order.speed)
            with _shown(run, order, console) as view:
                is_complete, is_settled = await _work(run, before, order, stop, view)
        finally:
            await to.close()
            ledger.write()
    is_settled = is_settled and to.in_flight == 0
    ledger.close(is_complete=is_complete and is_settled)
    return Result(run.status(), is_settled, is_complete and is_settled)


async def _work(run: Run, before: Past | None, order: Order, stop: asyncio.Event, view: View) -> tuple[bool, bool]:
    """Return whether the run is complete, and whether all of it is settled."""

    async def making() -> bool:
        if before is not None:
            await run.resume(before)
        return await run.run()

    task = asyncio.create_task(making())
    deadline = None if order.duration_s is None else time.monotonic() + order.duration_s
    patience_until = None
    while not task.done():
        view.tick()
        await asyncio.wait([task], timeout=_TICK_S)
        now = time.monotonic()
        if patience_until is None and (stop.is_set() or (deadline is not None and now >= deadline)):
            run.stop()
            patience_until = now + order.drain_s
        if patience_until is not None and now >= patience_until:  # it waits for a target that does not answer
            task.cancel()
            await asyncio.wait([task])
    if task.cancelled():
        return False, False
    is_enough = task.result()
    settling = asyncio.create_task(run.settle(order.drain_s))
    while not settling.done():
        view.tick()
        await asyncio.wait([settling], timeout=_TICK_S)
    return is_enough, settling.result()


@contextmanager
def _shown(run: Run, order: Order, console: Console) -> Iterator[View]:
    with ExitStack() as stack:
        if order.port is not None:
            controlled = Controlled(lambda: run.wanted, run.want, run.status)
            endpoint = Endpoint(order.host, order.port, controlled)
            stack.callback(endpoint.close)
            log.info("generator_control_opened", host=order.host, port=endpoint.port)
        yield stack.enter_context(View(run, console))


def _with_ends(plan: Plan, ends: dict[int, int]) -> Plan:
    return msgspec.structs.replace(plan, ends=ends)
