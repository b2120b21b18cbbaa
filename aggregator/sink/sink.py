"""Run the sinks of this process: move its share of the partitions of each topic into their table.

Any number of processes may run. Who has a partition is decided in Postgres (`shared/record_log/cursors.py`); losing one
drops what was read of it and nothing else. A process that is told to stop finishes the batches that are on their way,
if the stores let it, and gives its partitions back.
"""

import asyncio
import contextlib
import time
from typing import get_args

import structlog

from aggregator.delivery import waits
from aggregator.sink.partition import Partition, Stores
from aggregator.sink.pipelines import Pipeline
from shared.errors import LogUnavailable
from shared.record_log.cursors import OwnershipLost
from shared.record_log.partition_share import Share
from shared.runtime.tasks import end
from shared.stores.clickhouse import Class
from shared.stores.failures import noted
from shared.stores.postgres import POSTGRES_ERRORS
from shared.telemetry.metrics import (
    SINK_DEAD_LETTERS,
    SINK_DUPLICATES,
    SINK_INSERTS,
    SINK_OLDEST_SECONDS,
    SINK_PARTITIONS,
)

#: Seconds in which batches on their way may end after a stop. The supervisor waits for twenty.
_STOP_S = 8.0
#: Times in each lease at which it is renewed.
_RENEWALS = 3

CLASSES: tuple[Class, ...] = get_args(Class)

log = structlog.get_logger()


class Sink:
    """One pipeline in this process. `start` it, `report` from time to time, and `stop` it."""

    def __init__(self, stores: Stores, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._stores = stores
        self._share = Share(stores.cursors, pipeline.topic, pipeline.table)
        self._partitions: dict[int, tuple[Partition, asyncio.Task[None]]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._is_registered = False
        self._balancing: asyncio.Task[None] | None = None
        for reason in pipeline.reasons:  # shown as 0, so that the first one is seen as one
            SINK_DEAD_LETTERS.labels(pipeline.table, reason)
        for result in ("ok", *CLASSES):
            SINK_INSERTS.labels(pipeline.table, result)
        SINK_DUPLICATES.labels(pipeline.table)

    def start(self) -> None:
        """Take partitions and move their records, until `stop`."""
        self._balancing = asyncio.create_task(self._balance_for_ever())

    async def stop(self) -> None:
        """Let what is on its way end, and give everything back."""
        if self._balancing is not None:
            await end(self._balancing)
        for partition, _ in self._partitions.values():
            partition.leave()
        tasks = [task for _, task in self._partitions.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)
            await end(*tasks)
        await asyncio.gather(*self._closing, return_exceptions=True)
        with contextlib.suppress(*POSTGRES_ERRORS):  # the leases end by themselves
            async with asyncio.timeout(_STOP_S / 2):
                await self._share.leave()

    def report(self) -> None:
        """Show how the partitions are in the metrics."""
        table, partitions = self.pipeline.table, [partition for partition, _ in self._partitions.values()]
        waiting = [since for one in partitions if (since := one.waits_since) is not None]
        SINK_OLDEST_SECONDS.labels(table).set(max(0.0, time.time() - min(waiting)) if waiting else 0.0)
        stopped = sum(one.trouble is not None for one in partitions)
        SINK_PARTITIONS.labels(table, "stopped").set(stopped)
        SINK_PARTITIONS.labels(table, "moving").set(len(partitions) - stopped)

    async def _balance_for_ever(self) -> None:
        failures = 0
        while True:
            wait_s = self._stores.cursors.lease_s / _RENEWALS
            try:
                await self._balance()
            except (LogUnavailable, ValueError, *POSTGRES_ERRORS) as error:
                failure = noted(error)
                if failures == 0:
                    reason = str(error) or failure.code
                    log.warning("sink_unbalanced", table=self.pipeline.table, code=failure.code, reason=reason)
                wait_s = min(wait_s, waits.wait_s("unknown", failures))
                failures += 1
            else:
                failures = 0
            self.report()
            with contextlib.suppress(asyncio.TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            self._changed.clear()

    async def _balance(self) -> None:
        """Renew, take and give back partitions, and see that each of them moves."""
        pipeline, stores = self.pipeline, self._stores
        if not self._is_registered:
            await stores.log.prepare(pipeline.topic)
            await stores.cursors.register(pipeline.topic, pipeline.table, stores.log.partitions)
            self._is_registered = True
        change = await self._share.balance()
        for number in change.lost:
            await self._drop(number)
        for number in change.surplus:
            await self._give_back(number)
        for number in self._share.claims:
            if number not in self._partitions:
                self._begin(number)
        if change.gained or change.lost or change.surplus:
            log.info("sink_shares", table=pipeline.table, partitions=sorted(self._share.claims))

    def _begin(self, number: int) -> None:
        partition = Partition(self._stores, self.pipeline, self._share, number)
        task = asyncio.create_task(self._run(partition), name=f"{self.pipeline.table}.{number}")
        self._partitions[number] = (partition, task)
        task.add_done_callback(lambda done: self._ended(number, done))

    async def _run(self, partition: Partition) -> None:
        """Run a partition and close it in order, also when it is cancelled more than once."""
        try:
            await partition.run()
        finally:
            closing = asyncio.create_task(partition.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            await asyncio.shield(closing)

    def _ended(self, number: int, task: "asyncio.Task[None]") -> None:
        """A partition that met what it does not know is begun again by a later balance, from its claim."""
        if number in self._partitions and self._partitions[number][1] is task:
            del self._partitions[number]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OwnershipLost):
            log.info("partition_lost", table=self.pipeline.table, partition=number)
            self._changed.set()
        elif error is not None:
            log.error("sink_broke", table=self.pipeline.table, partition=number, exc_info=error)

    async def _drop(self, number: int) -> None:
        """End a partition that another process has now."""
        if one := self._partitions.get(number):
            await end(one[1])

    async def _give_back(self, number: int) -> None:
        """After the batch that is on its way; one that takes longer than until the next balance is left to whoever
        comes next."""
        if one := self._partitions.get(number):
            one[0].leave()
            await asyncio.wait([one[1]], timeout=self._stores.cursors.lease_s / _RENEWALS / 2)
            await end(one[1])
        await self._share.release(number)
