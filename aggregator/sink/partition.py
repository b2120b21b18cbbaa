"""Move one partition of the record log into one table, each record once.

`aggregator/delivery/engine.py` has the order of the steps. This is its source: the reader, the rows, the claim and the
books of the partition. A range that another version of the transform left pending is audited, not sent again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import NamedTuple, Protocol, TypeVar

import structlog

from aggregator.delivery.engine import Refusals, deliver
from aggregator.delivery.waits import NeedsRepair, Obstacle, explain, wait_s
from aggregator.sink.audit import in_range
from aggregator.sink.pipelines import Pipeline, Rows
from shared.errors import LogUnavailable
from shared.events import insert_gate
from shared.events.known_ids import Range
from shared.record_log.cursors import Claim, Cursors, OwnershipLost, Pending
from shared.record_log.dead_letters import DeadLetter, write
from shared.record_log.partition_share import Share
from shared.record_log.record_log import Batch, Limit, Log, LogDamaged, Position
from shared.runtime.backoff import Backoff
from shared.runtime.crash_points import crash_point
from shared.runtime.tasks import end
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse
from shared.stores.failures import classify
from shared.stores.postgres import POSTGRES_ERRORS, statement
from shared.telemetry.metrics import (
    SINK_BATCH_ROWS,
    SINK_DEAD_LETTERS,
    SINK_DUPLICATES,
    SINK_INSERTS,
    SINK_RETRIES,
    SINK_ROWS,
    SINK_SECONDS,
)

_BOOK = statement("aggregator/sink/partition.book.sql")
_TROUBLE = statement("aggregator/sink/partition.trouble.sql")

#: Failures in a row after which readiness shows a store that is only away: some ten seconds.
_LONG = 8

_T = TypeVar("_T")

log = structlog.get_logger()


class Letters(Protocol):
    """A topic of dead letters (`shared/record_log/kafka/dead_letter_topic.py`)."""

    async def publish(self, claim: Claim, end: Position, letters: Sequence[DeadLetter]) -> None:
        """Publish the letters once, however often this is repeated. Raises LogUnavailable."""
        ...


class Stores(NamedTuple):
    """What a sink moves records between, and how many at a time."""

    log: Log
    cursors: Cursors
    clickhouse: ClickHouse
    limit: Limit
    #: Where copies of dead letters go; None where nobody wants them.
    letters: Letters | None = None


class Mixed(NeedsRepair):
    """The table has some rows of a range and not the others, and this version makes other rows than the one that sent
    them (docs/sink.md)."""


class Partition:
    """Moves the records of one claimed partition. Its claim is in the share, where each step puts it back."""

    def __init__(self, stores: Stores, pipeline: Pipeline, share: Share, number: int) -> None:
        self._stores = stores
        self._pipeline = pipeline
        self._share = share
        self._number = number
        self._claim = share.claims[number]
        self._reader = stores.log.reader(pipeline.topic, number, pipeline.table)
        self._ahead: asyncio.Task[Batch] | None = None
        self._is_leaving = False
        #: What is being read and not begun to be stored.
        self._reading: asyncio.Task[Batch] | None = None
        #: Records of the next batch at most: fewer while the bad one is looked for.
        self._most = stores.limit.records
        self.refused = Refusals()
        #: Unix time at which the oldest record came that is read and not stored; None when none is.
        self.waits_since: float | None = None
        #: What somebody has to mend; None when all is well.
        self.trouble: str | None = None
        #: Whether Postgres may still show a trouble that was overcome.
        self._is_stale = False
        self._log = log.bind(table=pipeline.table, partition=number)

    def leave(self) -> None:
        """Stop after the batch that is on its way. What is only being read is left to whoever comes next."""
        self._is_leaving = True
        if self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        """Move records until told to leave. Raises OwnershipLost."""
        if self._claim.pending is not None:
            await self._replay(self._claim.pending)
        else:
            await self.patiently("postgres", self._leave_gate)
        while not self._is_leaving:
            batch = await self._next_unless_left()
            if batch is not None and batch.end != batch.start:
                await self._store(batch)

    async def _next_unless_left(self) -> Batch | None:
        """Return the next batch, or None if it was told to leave meanwhile."""
        self._reading = asyncio.create_task(self._next())
        await asyncio.wait({self._reading})
        reading, self._reading = self._reading, None
        return None if reading.cancelled() else reading.result()

    async def close(self) -> None:
        """Drop what was read ahead, and the reader's connections."""
        for reading in (self._reading, self._ahead):
            if reading is not None:
                await end(reading)
        with contextlib.suppress(*POSTGRES_ERRORS):  # the next owner does it
            await self._leave_gate()
        await self._reader.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _next(self) -> Batch:
        """Return the batch behind the cursor: read ahead while the former one was on its way, or now."""
        ahead = await self._read_before()
        await self._reader.note(self._claim.next)
        if ahead is not None and ahead.start == self._claim.next:
            batch = ahead
        else:
            batch = await self.patiently("log", self._read)
        self.waits_since = self._came_at(batch) if batch.records else None
        return batch

    async def _read(self) -> Batch:
        limit = self._stores.limit._replace(records=self._most)
        return await self._reader.read(self._claim.next, self._claim.marks, limit)

    async def _read_before(self) -> Batch | None:
        """Return the batch that was read ahead, or None. The reader is free afterwards."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        try:
            return await ahead
        except (LogUnavailable, LogDamaged):  # it is read again, and then the error is dealt with
            return None
        except asyncio.CancelledError:
            await end(ahead)
            raise

    def _came_at(self, batch: Batch) -> float:
        """Return a Unix time: that of the id of a stream, or of Kafka the moment of the read."""
        return batch.records[0].position.offset / 1000 if self._stores.log.name == "streams" else time.time()

    async def _again(self, pending: Pending) -> Batch:
        """Read exactly the range that is pending."""
        of, marks = self._claim.next, self._claim.marks
        return await self.patiently("log", lambda: self._reader.replay(of, pending.end, pending.rows, marks))

    # -- storing ---------------------------------------------------------------------------------------------------

    async def _replay(self, pending: Pending) -> None:
        """Finish what a predecessor began."""
        batch = await self._again(pending)
        self.waits_since = self._came_at(batch) if batch.records else None
        self._log.info("sink_replays", start=str(batch.start), end=str(batch.end), rows=pending.rows)
        if pending.version == self._pipeline.version or not await self._is_stored(batch, pending.version):
            await self._store(batch)

    async def _store(self, batch: Batch) -> None:
        """Bring a batch to its end; or, if it cannot be stored as a whole, a piece of it."""
        await deliver(self, await self._rows(batch))
        self._most = min(self._stores.limit.records, self._most * 2)

    async def _rows(self, batch: Batch) -> Rows:
        """What a batch becomes: the same each time that it is asked. Where rows are sifted, nobody else adds any from
        here on until it is recorded."""
        find, sift, left_out = self._pipeline.repeats, self._pipeline.sift, frozenset[Position]()
        if find is not None:
            left_out = await self.patiently("clickhouse", lambda: find(self._stores.clickhouse, self._number, batch))
        rows, own = self._pipeline.of(batch).rows(self._number, batch, left_out), self._own(batch)
        if sift is None:
            return rows
        await self._enter()
        lines = await self.patiently("clickhouse", lambda: sift(self._stores.clickhouse, rows.lines, own))
        return rows._replace(lines=lines, duplicates=len(rows.lines) - len(lines))

    async def _enter(self) -> None:
        """Take the gate; having it already is fine. Raises OwnershipLost."""
        cursors, backoff = self._stores.cursors, Backoff(*insert_gate.WAIT_S)
        while not await self.patiently("postgres", lambda: insert_gate.enter(cursors.pool, cursors.log, self._claim)):
            if self._number not in self._share.claims:
                raise OwnershipLost(f"{self._pipeline.table} has lost {self._claim.topic}.{self._number}")
            await asyncio.sleep(backoff.next_s())

    async def _leave_gate(self) -> None:
        """Leave the gate to others unless a batch may be on its way, also where a predecessor died in it."""
        if self._pipeline.sift and self._claim.pending is None:
            await insert_gate.leave(self._stores.cursors.pool, self._stores.cursors.log, self._claim)

    async def intend(self, rows: Rows) -> None:
        """Note the range, for whoever has to repeat it. At least once, only this process knows it."""
        cursors, claim, pending = self._stores.cursors, self._claim, self._pending(rows.batch)
        if self._pipeline.delivery == "at_least_once":
            self._put(claim._replace(pending=pending))
            return
        self._put(await self.patiently("postgres", lambda: cursors.intend(claim, *pending)))

    def _pending(self, batch: Batch) -> Pending:
        return Pending(batch.end, len(batch.records), self._pipeline.version)

    def read_ahead(self, rows: Rows) -> None:
        """Read behind a batch that is on its way, with the marks that it will leave."""
        if self._ahead is None and self._most == self._stores.limit.records:
            marks = {**self._claim.marks, **rows.batch.marks}
            self._ahead = asyncio.create_task(self._reader.read(rows.batch.end, marks, self._stores.limit))

    async def insert(self, rows: Rows) -> None:
        """Insert the rows once. Raises CLICKHOUSE_ERRORS."""
        table, began = self._pipeline.table, time.perf_counter()
        try:
            pipeline = self._pipeline.of(rows.batch)
            await pipeline.insert(self._stores.clickhouse, rows.lines, self.token(rows.batch))
        except CLICKHOUSE_ERRORS as error:
            SINK_INSERTS.labels(table, classify(error)).inc()
            raise
        SINK_INSERTS.labels(table, "ok").inc()
        SINK_SECONDS.labels(table).observe(time.perf_counter() - began)
        SINK_BATCH_ROWS.labels(table).observe(len(rows.lines))

    def token(self, batch: Batch) -> str:
        """Return what stands for the rows of a range, and for nothing else."""
        return f"{self._stores.log.name}-{self._pipeline.topic}-{self._number}-{batch.start}-{batch.end}"

    async def found(self, rows: Rows) -> int:
        """Return how many rows of the range the table has."""
        return (await self.patiently("clickhouse", lambda: self._found(rows.batch)))[0]

    def is_unfit(self, rows: Rows) -> bool:
        """Return False: the transform has refused what fits no table."""
        return False

    async def half(self, rows: Rows) -> Rows:
        """Return the first half of a range that is pending, pending itself."""
        if self._ahead is not None:
            await self._read_before()
        batch = rows.batch
        self._most = len(batch.records) // 2
        half = Batch(batch.start, batch.records[self._most].position, batch.records[: self._most], {})
        await self.intend(rows._replace(batch=half))
        return await self._rows(await self._again(self._pending(half)))  # with the marks of this half

    async def record(self, rows: Rows, refusal: Exception | None) -> None:
        """Move the cursor behind the batch, and note what became of its records and of the rows in them."""
        batch = rows.batch
        if rows.lines:
            self.refused = self.refused.after(refusal)
        if refusal is not None:
            rows = Rows(batch, [], [self._pipeline.letter(batch.records[0], str(self.refused.code), str(refusal))])
        letters, size = rows.letters, self._pipeline.size
        stored = len(batch.records) - len(letters) - rows.left_out
        dead = size(letter.record for letter in letters)
        records = (stored, len(letters), batch.skipped + rows.left_out)
        books = (*records, size(batch.records) - dead - rows.duplicates, rows.duplicates, dead)
        cursors, claim, copies = self._stores.cursors, self._claim, self._stores.letters
        if copies is not None:
            await self.patiently("log", lambda: copies.publish(claim, batch.end, letters))
            crash_point("published")

        async def once() -> Claim:
            async with cursors.pool.acquire() as connection, connection.transaction():
                await connection.execute(_BOOK, *self._key(), *claim.next, *books)
                await write(connection, cursors.log, claim, letters)
                moved = await cursors.done(claim, batch.end, batch.marks, connection)
                if self._pipeline.sift:
                    await insert_gate.leave(connection, cursors.log, claim)
                return moved

        self._put(await self.patiently("postgres", once))
        self.waits_since, self.trouble, self._is_stale = None, None, False
        SINK_ROWS.labels(self._pipeline.table).inc(stored)
        SINK_DUPLICATES.labels(self._pipeline.table).inc(rows.duplicates)
        for letter in letters:
            reason = letter.reason if letter.reason in self._pipeline.reasons else "refused"
            SINK_DEAD_LETTERS.labels(self._pipeline.table, reason).inc()
        if letters:
            last = letters[-1]
            self._log.warning("records_dead_lettered", records=len(letters), reason=last.reason, detail=last.detail)

    # -- another version -------------------------------------------------------------------------------------------

    async def _is_stored(self, batch: Batch, version: int) -> bool:
        """Return whether the table has the rows of another version of the transform; if so, record them.

        Raises Mixed, which is tried again, while the table has some of them."""
        rows = await self._rows(batch)

        async def compared() -> bool:
            found = await self._found(batch)
            if found == (0, 0):
                return False
            wanted = {len(rows.lines)} if self._pipeline.sift else {len(batch.records), len(rows.lines)}
            if found[0] != found[1] or found[0] not in wanted:
                raise Mixed(
                    f"[{batch.start}, {batch.end}) has {len(rows.lines)} rows, and the table {found[0]} of them"
                )
            await self.record(rows if found[0] == len(rows.lines) else Rows(batch, [], []), None)
            return True

        self._log.warning("sink_audits", start=str(batch.start), end=str(batch.end), version=version)
        return await self.patiently("clickhouse", compared)

    async def _found(self, batch: Batch) -> tuple[int, int]:
        return await in_range(self._stores.clickhouse, self._pipeline.table, self._own(batch))

    def _own(self, batch: Batch) -> Range:
        return self._pipeline.places(self._number, batch.start, batch.end)

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def patiently(self, store: str, step: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat a step until it works."""
        for failures in count():
            try:
                result = await step()
            except (LogUnavailable, LogDamaged, NeedsRepair, *POSTGRES_ERRORS, *CLICKHOUSE_ERRORS) as error:
                await self._pause(store, explain(error), failures)
            else:
                await self._went_well(failures)
                return result
        raise AssertionError("unreachable")

    async def _pause(self, store: str, obstacle: Obstacle, failures: int) -> None:
        SINK_RETRIES.labels(store).inc()
        kind, code, reason = obstacle
        if failures == 0:
            self._log.warning("sink_waits", store=store, kind=kind, code=code, reason=reason)
        if kind == "setup":
            await self._say(f"{code}: {reason}")
        elif failures == _LONG:
            self._is_stale = False
            await self._note(f"{store} away: {code}")
        await asyncio.sleep(wait_s(kind, failures))

    async def _went_well(self, failures: int) -> None:
        """Forget what is overcome. A step that did not fail says nothing of the one that did."""
        if failures:
            self._log.info("sink_goes_on", failures=failures)
            self._is_stale = self._is_stale or self.trouble is not None or failures > _LONG
            self.trouble = None
        if self._is_stale:
            self._is_stale = not await self._note(None)

    async def _say(self, trouble: str) -> None:
        """Note for readiness why nothing moves, and log it once."""
        if self.trouble is None:
            self._log.error("sink_stopped", reason=trouble)
        self.trouble, self._is_stale = trouble, False
        await self._note(trouble)

    async def _note(self, trouble: str | None) -> bool:
        """Return whether Postgres has it now. Only readiness depends on it."""
        try:
            await self._stores.cursors.pool.execute(_TROUBLE, *self._key(), trouble)
        except POSTGRES_ERRORS:
            self._log.debug("sink_trouble_unknown")
            return False
        return True

    def _key(self) -> tuple[str, str, int, str, int]:
        claim = self._claim
        return self._stores.cursors.log, claim.topic, claim.partition, claim.sink, claim.epoch

    def _put(self, claim: Claim) -> None:
        """Keep the claim of a step that worked, unless the share has found out that it is lost."""
        self._claim = claim
        if self._number in self._share.claims:
            self._share.claims[self._number] = claim
