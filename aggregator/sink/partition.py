"""One partition of the log on its way into one table: each record once, whatever dies in between.

    cut       read from the cursor on: a batch [next, end) and the rows that it makes
    intend    note the range in Postgres                       refused: another one has the partition, drop the batch
    insert    under a token made of the range                  until the table has it, for ever
    record    the cursor, its marks, the dead letters and the books, in one transaction

No transaction spans the log and ClickHouse. Instead there are the intent before the insert, the token on it, the same
rows on replay, and the place in the log in each row. Without any one of them records would be lost or count twice.

**A batch that holds a row which can never be stored** shrinks: the intent [next, end) is replaced by [next, middle),
and so on down to one record, which becomes a dead letter; then batches grow again. A crash anywhere in there leaves an
ordinary intent to replay. First the table is asked whether it has anything of the range: if so, a view failed after the
rows were written, and another token would store them twice; that is a matter of set-up.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import NamedTuple, Protocol, TypeVar

import structlog

from aggregator import patience
from aggregator.sink.audit import in_range
from aggregator.sink.pipelines import Pipeline, Rows
from shared.errors import LogUnavailable
from shared.events import insert_gate
from shared.events.known_ids import Range
from shared.record_log.cursors import Claim, Cursors, OwnershipLost, Pending
from shared.record_log.dead_letters import DeadLetter, write
from shared.record_log.partition_share import Share
from shared.record_log.record_log import Batch, Limit, Log, LogDamaged, Position
from shared.runtime.crash_points import crash_point
from shared.runtime.tasks import end
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, Class, ClickHouse
from shared.stores.failures import classify, noted
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

#: Records in a row that ClickHouse refuses with one code, after which it is not the records' fault.
IN_A_ROW = 10
#: Failures in a row after which readiness shows a store that is only away: some ten seconds.
_LONG = 8
#: Characters of a reason that are kept.
_REASON_MAX = 400

_T = TypeVar("_T")

log = structlog.get_logger()


class Letters(Protocol):
    """A topic of dead letters (`shared/record_log/kafka/dead_letter_topic.py`)."""

    async def publish(self, claim: Claim, end: Position, letters: Sequence[DeadLetter]) -> None:
        """Have them there, once, however often this is repeated. Raises LogUnavailable."""
        ...


class Stores(NamedTuple):
    """What a sink moves records between, and how many at a time."""

    log: Log
    cursors: Cursors
    clickhouse: ClickHouse
    limit: Limit
    #: Where copies of dead letters go; None where nobody wants them.
    letters: Letters | None = None


class Mixed(Exception):
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
        #: The code with which ClickHouse refused the last records, and how many in a row.
        self._refused: tuple[int | None, int] = (None, 0)
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
        """Until told to leave. Raises OwnershipLost."""
        if self._claim.pending is not None:
            await self._replay(self._claim.pending)
        else:
            await self._patient("postgres", self._leave_gate)
        while not self._is_leaving:
            batch = await self._next_unless_left()
            if batch is not None and batch.end != batch.start:
                await self._store(batch)

    async def _next_unless_left(self) -> Batch | None:
        """The next batch; None if it was told to leave meanwhile."""
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
        """What comes behind the cursor: read already while the former batch was on its way, or now."""
        ahead = await self._read_before()
        await self._reader.note(self._claim.next)
        if ahead is not None and ahead.start == self._claim.next:
            batch = ahead
        else:
            batch = await self._patient("log", self._read)
        self.waits_since = self._came_at(batch) if batch.records else None
        return batch

    async def _read(self) -> Batch:
        limit = self._stores.limit._replace(records=self._most)
        return await self._reader.read(self._claim.next, self._claim.marks, limit)

    def _read_ahead(self, batch: Batch) -> None:
        """Read behind a batch that is not stored yet, with the marks that it will leave."""
        marks = {**self._claim.marks, **batch.marks}
        self._ahead = asyncio.create_task(self._reader.read(batch.end, marks, self._stores.limit))

    async def _read_before(self) -> Batch | None:
        """What was read ahead; None if nothing was. The reader is free afterwards."""
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
        """Unix time. The ids of a stream say it; in Kafka it is when the record was read."""
        return batch.records[0].position.offset / 1000 if self._stores.log.name == "streams" else time.time()

    async def _again(self, pending: Pending) -> Batch:
        """Exactly the range that is pending."""
        of, marks = self._claim.next, self._claim.marks
        return await self._patient("log", lambda: self._reader.replay(of, pending.end, pending.rows, marks))

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
        rows = await self._rows(batch)
        crash_point("cut")
        while rows.lines:
            await self._intend(batch)
            crash_point("intended")
            if self._ahead is None and self._most == self._stores.limit.records:
                self._read_ahead(batch)
            error = await self._insert(batch, rows)
            if error is None:
                crash_point("inserted")
                self._refused = (None, 0)
                break
            if len(batch.records) == 1:
                rows = Rows([], [self._letter(batch, error)])
                break
            batch = await self._halved(batch)
            rows = await self._rows(batch)
        await self._record(batch, rows)
        SINK_DUPLICATES.labels(self._pipeline.table).inc(rows.duplicates)
        crash_point("recorded")
        self._most = min(self._stores.limit.records, self._most * 2)

    async def _rows(self, batch: Batch) -> Rows:
        """What a batch becomes: the same each time that it is asked. Where rows are sifted, nobody else adds any from
        here on until it is recorded."""
        find, sift, left_out = self._pipeline.repeats, self._pipeline.sift, frozenset[Position]()
        if find is not None:
            left_out = await self._patient("clickhouse", lambda: find(self._stores.clickhouse, self._number, batch))
        rows, own = self._pipeline.rows(self._number, batch, left_out), self._own(batch)
        if sift is None:
            return rows
        await self._enter()
        lines = await self._patient("clickhouse", lambda: sift(self._stores.clickhouse, rows.lines, own))
        return rows._replace(lines=lines, duplicates=len(rows.lines) - len(lines))

    async def _enter(self) -> None:
        """Take the gate; having it already is fine. Raises OwnershipLost."""
        cursors, wait_s = self._stores.cursors, insert_gate.WAIT_S[0]
        while not await self._patient("postgres", lambda: insert_gate.enter(cursors.pool, cursors.log, self._claim)):
            if self._number not in self._share.claims:
                raise OwnershipLost(f"{self._pipeline.table} has lost {self._claim.topic}.{self._number}")
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311 - jitter
            wait_s = min(2 * wait_s, insert_gate.WAIT_S[1])

    async def _leave_gate(self) -> None:
        """Unless a batch may be on its way, the gate is for others: also one that a predecessor took and died."""
        if self._pipeline.sift and self._claim.pending is None:
            await insert_gate.leave(self._stores.cursors.pool, self._stores.cursors.log, self._claim)

    async def _intend(self, batch: Batch) -> None:
        """Note the range, for whoever has to repeat it; at least once, only this process knows it."""
        cursors, claim, version = self._stores.cursors, self._claim, self._pipeline.version
        if self._pipeline.delivery == "at_least_once":
            self._put(claim._replace(pending=Pending(batch.end, len(batch.records), version)))
            return
        self._put(
            await self._patient("postgres", lambda: cursors.intend(claim, batch.end, len(batch.records), version))
        )

    async def _insert(self, batch: Batch, rows: Rows) -> Exception | None:
        """Until the table has the rows. Answers the error if it never will, because of one of them."""
        table, token = self._pipeline.table, self.token(batch)
        for failures in count():
            began = time.perf_counter()
            try:
                await self._pipeline.insert(self._stores.clickhouse, rows, token)
            except CLICKHOUSE_ERRORS as error:
                kind = classify(error)
                SINK_INSERTS.labels(table, kind).inc()
                if kind == "data" and await self._is_of_a_record(batch, error):
                    return error
                await self._pause("clickhouse", "setup" if kind == "data" else kind, error, failures)
            else:
                SINK_INSERTS.labels(table, "ok").inc()
                SINK_SECONDS.labels(table).observe(time.perf_counter() - began)
                SINK_BATCH_ROWS.labels(table).observe(len(rows.lines))
                await self._went_well(failures)
                return None
        raise AssertionError("unreachable")

    def token(self, batch: Batch) -> str:
        """What stands for the rows of a range, and for nothing else."""
        return f"{self._stores.log.name}-{self._pipeline.topic}-{self._number}-{batch.start}-{batch.end}"

    async def _is_of_a_record(self, batch: Batch, error: Exception) -> bool:
        """Whether one of the records is to blame, and not the table or a view behind it."""
        code, in_a_row = self._refused
        if len(batch.records) == 1 and code == _code(error) and in_a_row >= IN_A_ROW - 1:
            return False
        return (await self._patient("clickhouse", lambda: self._found(batch)))[0] == 0

    async def _halved(self, batch: Batch) -> Batch:
        """The first half of a range that is pending, pending itself."""
        if self._ahead is not None:
            await self._read_before()
        self._most = len(batch.records) // 2
        middle = batch.records[self._most].position
        await self._intend(Batch(batch.start, middle, batch.records[: self._most], {}))
        half = Pending(middle, self._most, self._pipeline.version)
        return await self._again(half)  # with the marks of this half

    def _letter(self, batch: Batch, error: Exception) -> DeadLetter:
        code, in_a_row = self._refused
        self._refused = (_code(error), in_a_row + 1 if code == _code(error) else 1)
        return self._pipeline.letter(batch.records[0], str(_code(error)), str(error))

    async def _record(self, batch: Batch, rows: Rows) -> None:
        """Move the cursor behind the batch, and say what became of its records and of the rows in them."""
        letters, size = rows.letters, self._pipeline.size
        stored = len(batch.records) - len(letters) - rows.left_out
        dead = size(letter.record for letter in letters)
        records = (stored, len(letters), batch.skipped + rows.left_out)
        books = (*records, size(batch.records) - dead - rows.duplicates, rows.duplicates, dead)
        cursors, claim, copies = self._stores.cursors, self._claim, self._stores.letters
        if copies is not None:
            await self._patient("log", lambda: copies.publish(claim, batch.end, letters))
            crash_point("published")

        async def once() -> Claim:
            of = (cursors.log, claim.topic, claim.partition, claim.sink, claim.epoch)
            async with cursors.pool.acquire() as connection, connection.transaction():
                await connection.execute(_BOOK, *of, *claim.next, *books)
                await write(connection, cursors.log, claim, letters)
                moved = await cursors.done(claim, batch.end, batch.marks, connection)
                if self._pipeline.sift:
                    await insert_gate.leave(connection, cursors.log, claim)
                return moved

        self._put(await self._patient("postgres", once))
        self.waits_since, self.trouble, self._is_stale = None, None, False
        SINK_ROWS.labels(self._pipeline.table).inc(stored)
        for letter in letters:
            reason = letter.reason if letter.reason in self._pipeline.reasons else "refused"
            SINK_DEAD_LETTERS.labels(self._pipeline.table, reason).inc()
        if letters:
            last = letters[-1]
            self._log.warning("records_dead_lettered", records=len(letters), reason=last.reason, detail=last.detail)

    # -- another version -------------------------------------------------------------------------------------------

    async def _is_stored(self, batch: Batch, version: int) -> bool:
        """Whether the rows of a transform that is no more are in the table; if so, they are recorded. Some of them is
        nothing that could be decided here."""
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
            if found[0] == len(rows.lines):
                await self._record(batch, rows)
            else:
                await self._record(batch, Rows([], []))
            return True

        self._log.warning("sink_audits", start=str(batch.start), end=str(batch.end), version=version)
        return await self._patient("clickhouse", compared)

    async def _found(self, batch: Batch) -> tuple[int, int]:
        return await in_range(self._stores.clickhouse, self._pipeline.table, self._own(batch))

    def _own(self, batch: Batch) -> Range:
        return self._pipeline.places(self._number, batch.start, batch.end)

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def _patient(self, store: str, step: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat a step until it works."""
        for failures in count():
            try:
                result = await step()
            except (LogDamaged, Mixed) as error:
                await self._pause(store, "setup", error, failures)
            except (LogUnavailable, *POSTGRES_ERRORS, *CLICKHOUSE_ERRORS) as error:
                kind = classify(error)
                await self._pause(store, "setup" if kind == "data" else kind, error, failures)
            else:
                await self._went_well(failures)
                return result
        raise AssertionError("unreachable")

    async def _pause(self, store: str, kind: Class, error: Exception, failures: int) -> None:
        SINK_RETRIES.labels(store).inc()
        failure, reason = noted(error), _reason(error)
        if failures == 0:
            self._log.warning("sink_waits", store=store, kind=kind, code=failure.code, reason=reason)
        if kind == "setup":
            await self._say(f"{failure.code}: {reason}")
        elif failures == _LONG:
            self._is_stale = False
            await self._note(f"{store} away: {failure.code}")
        await asyncio.sleep(patience.wait_s(kind, failures))

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
        await self._note(trouble.replace("\0", ""))

    async def _note(self, trouble: str | None) -> bool:
        """Whether Postgres has it now. Only readiness depends on it."""
        claim, cursors = self._claim, self._stores.cursors
        of = (cursors.log, claim.topic, claim.partition, claim.sink, claim.epoch)
        try:
            await cursors.pool.execute(_TROUBLE, *of, trouble)
        except POSTGRES_ERRORS:
            self._log.debug("sink_trouble_unknown")
            return False
        return True

    def _put(self, claim: Claim) -> None:
        """Keep the claim of a step that worked, unless the share has found out that it is lost."""
        self._claim = claim
        if self._number in self._share.claims:
            self._share.claims[self._number] = claim


def _code(error: Exception) -> int | None:
    return getattr(error, "code", None)


def _reason(error: Exception) -> str:
    """What went wrong in words: of a log that is away, what its client said."""
    cause = error.__cause__ if isinstance(error, LogUnavailable) and error.__cause__ is not None else error
    return str(cause)[:_REASON_MAX] or type(cause).__name__
