"""Run the relay of this process: one batch of the outbox after the other, whatever is away.

Any number of processes may run one. Who has the cursor is decided in Postgres by its epoch; the others look now and
then whether it is free.
"""

import asyncio
import contextlib
import time
from typing import get_args

import structlog

from aggregator.delivery.waits import NeedsRepair, explain, wait_s
from aggregator.outbox.relay import LEASE_S, Claim, Lost, Moved, Outbox, claimed, hold, release, step
from shared.runtime.backoff import Backoff
from shared.runtime.tasks import end
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, Class
from shared.stores.postgres import POSTGRES_ERRORS, statement
from shared.telemetry.metrics import (
    OUTBOX_ASTRAY,
    OUTBOX_BATCH_ROWS,
    OUTBOX_BATCH_SECONDS,
    OUTBOX_DEAD_LETTERS,
    OUTBOX_FAILURES,
    OUTBOX_HELD_SECONDS,
    OUTBOX_LAG,
    OUTBOX_OLDEST_SECONDS,
    OUTBOX_ROWS,
    OUTBOX_WAITING_DEAD,
)

_STATE = statement("aggregator/outbox/relay.state.sql")
_TROUBLE = statement("aggregator/outbox/relay.trouble.sql")

#: Seconds between two looks at an empty outbox: soon after something came, seldom when nothing does.
_POLL_S, _POLL_MAX_S = 0.02, 0.5
#: Seconds in which a batch on its way may end after a stop.
_STOP_S = 8.0
#: Seconds that a transaction may hold the relay up before a line of the log says which one it is.
_HELD_S = 10.0

log = structlog.get_logger()


class Relay:
    """`start` it, `report` from time to time, and `stop` it."""

    def __init__(self, outbox: Outbox, owner: str, lease_s: float = LEASE_S) -> None:
        self._outbox = outbox
        self._owner = owner
        self._lease_s = lease_s
        self._leaving = asyncio.Event()
        #: In a row.
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        for kind in get_args(Class):  # shown as 0, so that the first one is seen as one
            OUTBOX_FAILURES.labels(kind)

    def start(self) -> None:
        """Move events, until `stop`."""
        self._task = asyncio.create_task(self._relay_for_ever(), name="outbox")

    async def stop(self) -> None:
        """Let the batch that is on its way end, and give the cursor back."""
        self._leaving.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_STOP_S)
            await end(self._task)

    async def report(self) -> None:
        """Show how the outbox is in the metrics; name the transaction that holds it up. Raises POSTGRES_ERRORS."""
        row = await self._outbox.pool.fetchrow(_STATE, self._outbox.name)
        if row is None:
            return
        OUTBOX_LAG.set(row["waiting"])
        OUTBOX_OLDEST_SECONDS.set(row["oldest_s"])
        OUTBOX_HELD_SECONDS.set(row["held_s"] if row["waiting"] else 0.0)
        OUTBOX_ASTRAY.set(row["astray"])
        OUTBOX_WAITING_DEAD.set(row["dead_letters"])
        if row["waiting"] and min(row["held_s"], row["oldest_s"]) > _HELD_S:
            log.warning(
                "outbox_held_up",
                by_pid=row["holder_pid"],
                application=row["holder_application"],
                state=row["holder_state"],
                held_s=round(row["held_s"], 1),
            )

    async def _relay_for_ever(self) -> None:
        while True:
            try:
                await self._relay_while_well()
                return
            except Lost:
                log.info("outbox_lost")
            except (NeedsRepair, *POSTGRES_ERRORS, *CLICKHOUSE_ERRORS) as error:
                await self._pause(error)

    async def _relay_while_well(self) -> None:
        """Relay until told to leave or until something fails. Then claim the cursor anew."""
        claim: Claim | None = None
        idle = Backoff(_POLL_S, _POLL_MAX_S, (1.0, 1.0))
        while not self._leaving.is_set():
            if claim is None:
                claim = await claimed(self._outbox, self._owner, self._lease_s)
                if claim is None:
                    await self._sleep(self._lease_s / 3)
                    continue
            began = time.perf_counter()
            claim, moved = await self._step(claim)
            self._count(moved, time.perf_counter() - began)
            if moved.stored or moved.dead:
                idle.reset()
            if not moved.more:
                await self._sleep(idle.next_s() if moved.wait_s is None else max(moved.wait_s, 0.0))
        if claim is not None:
            with contextlib.suppress(*POSTGRES_ERRORS):  # the lease ends by itself
                await release(self._outbox, claim)

    async def _step(self, claim: Claim) -> tuple[Claim, Moved]:
        """Deliver one batch and renew its lease meanwhile."""
        holding = asyncio.create_task(self._hold(claim))
        try:
            return await step(self._outbox, claim, self._lease_s)
        finally:
            await end(holding)

    async def _hold(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            with contextlib.suppress(*POSTGRES_ERRORS):  # the step finds out what is wrong
                await hold(self._outbox, claim, self._lease_s)

    def _count(self, moved: Moved, took_s: float) -> None:
        if self._failures:
            log.info("outbox_goes_on", failures=self._failures)
            self._failures = 0
        if moved.stored:
            OUTBOX_ROWS.inc(moved.stored)
            OUTBOX_BATCH_ROWS.observe(moved.stored)
            OUTBOX_BATCH_SECONDS.observe(took_s)
        if moved.dead:
            OUTBOX_DEAD_LETTERS.inc(moved.dead)
            log.warning("events_dead_lettered", events=moved.dead)

    async def _pause(self, error: Exception) -> None:
        kind, code, reason = explain(error)
        OUTBOX_FAILURES.labels(kind).inc()
        if self._failures == 0:
            log.warning("outbox_waits", kind=kind, code=code, reason=reason[:200])
        if kind == "setup":
            with contextlib.suppress(*POSTGRES_ERRORS):  # nothing depends on it
                await self._outbox.pool.execute(_TROUBLE, self._outbox.name, f"{code}: {reason}")
        self._failures += 1
        await self._sleep(wait_s(kind, self._failures - 1))

    async def _sleep(self, wait_s: float) -> None:
        """Sleep for a while, or until told to leave."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._leaving.wait()
