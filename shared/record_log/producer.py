"""Group commit: requests hand single records over and wait until the append that holds theirs is in the log.

Each partition has a line: records that wait for an append, and appends that the log has not acknowledged. One append of
a line is under way at a time, under the next seq of this worker's life; its name is random, so no life repeats another.

While the log does not answer, the append under way is repeated, and everything else is written to the journal as
further appends of the line, all of them with one fsync. The journal has their (producer, seq), that of the one under
way too, so none of them counts twice: not when the log had taken it before its answer was lost, not when this worker is
killed and another one sends them. While more than a few appends wait, new records go behind them in the journal;
otherwise they wait for their turn.

Where the order of records does not matter, none has to go to the partition of its key. All go to one line then, so that
an append holds as many as there are, and to another line after a while, or when that one fails.

    record    waiting -> under way -> in the log
                 |           `-----> unknown -> in the journal too, and repeated until the log has it
                 `-----------------------------> in the journal, then sent in order
"""

import asyncio
import contextlib
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

import structlog

from shared.errors import LogFull, LogUnavailable, TallybookError, TooLarge
from shared.record_log.journal import Append, Journal
from shared.record_log.record_log import RECORD_MAX_BYTES, Log
from shared.runtime.backoff import Backoff
from shared.runtime.crash_points import crash_point
from shared.runtime.tasks import end
from shared.stores.failures import noted
from shared.telemetry.metrics import APPEND_SECONDS, APPENDS, LOOP_ERRORS

#: Records and bytes of one append. Redis does nothing else while it takes one.
_BATCH_RECORDS, _BATCH_BYTES = 500, 512 * 1024
#: Appends that may be ahead of a record in a log that answers; above it the record is written to the journal.
_AHEAD_MAX = 8
#: Seconds of the first and of the longest wait before an append is sent again.
_BACKOFF_S = (0.02, 0.5)
#: Seconds for which records go to one partition.
_TURN_S = 1.0
#: Seconds that a start waits for the log before it goes on without.
_START_S = 2.0
#: Seconds between two looks of a stop.
_LOOK_S = 0.01

#: Where a record was when its request was answered.
Stored = Literal["log", "journal"]
#: Told once, in the event loop, what became of a record: where it is, or why it is nowhere (LogUnavailable: unknown).
Done = Callable[[Stored | TallybookError], None]
_Waiting = tuple[bytes, bytes, Done]

log = structlog.get_logger()


class _Batch:
    """One append of a line and the requests that wait for it."""

    def __init__(self, append: Append, waiting: list[Done], size: int) -> None:
        #: None once the journal has it: then it is read from there.
        self.append: Append | None = append
        self.waiting = waiting
        #: Bytes of its records.
        self.size = size
        #: Its place in the journal.
        self.at: int | None = None
        self.tries = 0


class _Line:
    """The records and appends that wait for one partition."""

    def __init__(self, topic: str, partition: int, producer: str, records_max: int) -> None:
        self.queue: deque[_Waiting] = deque()
        self.backlog: deque[_Batch] = deque()
        self.is_failing = False
        self.has_work = asyncio.Event()
        self._seq = 0
        self._topic, self._partition, self._producer, self._records_max = topic, partition, producer, records_max

    def take(self) -> _Batch | None:
        """Put the next records as a batch at the end of the backlog and return it, or None when none waits."""
        records: list[tuple[bytes, bytes]] = []
        waiting, size = list[Done](), 0
        while self.queue and len(records) < self._records_max and size < _BATCH_BYTES:
            key, value, done = self.queue.popleft()
            size += len(key) + len(value)
            records.append((key, value))
            waiting.append(done)
        if not records:
            return None
        self._seq += 1
        batch = _Batch(Append(self._topic, self._partition, self._producer, self._seq, records), waiting, size)
        self.backlog.append(batch)
        return batch

    def is_busy(self) -> bool:
        """Return whether something waits that a log which answers would take."""
        return bool(self.queue or (self.backlog and not self.is_failing))

    def is_behind(self) -> bool:
        """Return whether a new record would wait too long for the log."""
        return self.is_failing or len(self.backlog) > _AHEAD_MAX

    def is_awaited(self) -> bool:
        """Return whether a request waits for the outcome of a record."""
        return bool(self.queue or any(batch.waiting for batch in self.backlog))

    def is_unsafe(self) -> bool:
        """Return whether a request waits whose record has to go to the journal."""
        return self.is_behind() and self.is_awaited()


class Producer:
    """Appends of one worker to one topic. Await `start` in its event loop. Without a journal, what the log does not
    take is refused."""

    def __init__(
        self,
        to: Log,
        topic: str,
        name: str,
        journal: Journal | None,
        *,
        records_max: int,
        bytes_max: int,
        most: int,
        is_ordered: bool = False,
    ) -> None:
        """`name` is used in no other life (`new_name`); `most` records fit into one partition of the log. `is_ordered`
        sends each record to the partition of its key, behind those with the same key."""
        self._log = to
        self._topic = topic
        self._is_ordered = is_ordered
        self._journal = journal
        self._journal_lock = asyncio.Lock()
        self._records_max, self._bytes_max = records_max, bytes_max
        self._records = self._bytes = 0
        self._lines = [_Line(topic, number, name, min(_BATCH_RECORDS, most)) for number in range(to.partitions)]
        self._is_prepared = self._is_stopped = False
        self._turn, self._turn_until = random.randrange(to.partitions), 0.0  # noqa: S311 - workers differ
        self._failing_since: float | None = None
        #: The code of the error with which the log refuses appends, while it does.
        self.trouble: str | None = None
        self._has_unsafe = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make sure that the topic can be used, if the log answers soon, and begin. Raises ValueError for a topic of
        another shape."""
        with contextlib.suppress(LogUnavailable, TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._prepare()
        self._tasks = [asyncio.create_task(self._serve(line)) for line in self._lines]
        self._tasks.append(asyncio.create_task(self._keep()))

    async def stop(self, timeout_s: float) -> None:
        """Wait for what an answering log takes in time, and write to the journal what still waits then: it stays there
        for another worker."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(line.is_busy() for line in self._lines):  # noqa: ASYNC110 - a stop
            await asyncio.sleep(_LOOK_S)
        self._is_stopped = True
        await end(*self._tasks)
        if self._writing is not None:  # its thread has the file
            await self._writing
        await self._write([line for line in self._lines if line.is_awaited()])
        if self._journal is not None:
            log.info("journal_closed", bytes_left=0 if self._journal.is_empty() else self._journal.size)
            self._journal.close()

    async def append(self, key: bytes, value: bytes) -> Stored:
        """Wait until the record is in the log, or in the journal on the disk; says which.

        Raises LogFull or JournalFull (nothing was stored), LogUnavailable (nobody knows), or TooLarge.
        """
        size = len(key) + len(value)
        if size > RECORD_MAX_BYTES:
            raise TooLarge(f"A record holds at most {RECORD_MAX_BYTES} bytes.")
        if not self._has_room(size):
            APPENDS.labels("full").inc()
            raise LogFull("As many records as allowed wait for the log. This one was not stored.")
        if self._is_stopped:
            raise LogUnavailable("This worker stops; the record was not stored.")
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()

        def done(outcome: Stored | TallybookError) -> None:
            if future.done():  # its request was cancelled
                return
            if isinstance(outcome, TallybookError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self._take(key, value, done)
        return await future

    def offer(self, key: bytes, value: bytes, done: Done) -> bool:
        """Hand a record over without waiting; `done` is called later.

        False: it was not taken, for a reason that `append` knows to say.
        """
        size = len(key) + len(value)
        if size > RECORD_MAX_BYTES or not self._has_room(size) or self._is_stopped:
            return False
        self._take(key, value, done)
        return True

    def _take(self, key: bytes, value: bytes, done: Done) -> None:
        line = self._lines[self._log.partition_of(key)] if self._is_ordered else self._line_of_turn()
        line.queue.append((key, value, done))
        line.has_work.set()
        if line.is_behind():
            self._has_unsafe.set()
        self._records, self._bytes = self._records + 1, self._bytes + len(key) + len(value)

    def _line_of_turn(self) -> _Line:
        line, now = self._lines[self._turn], time.monotonic()
        if now >= self._turn_until or line.is_failing:
            self._turn_until = now + _TURN_S
            following = [(self._turn + step) % len(self._lines) for step in range(1, len(self._lines) + 1)]
            self._turn = next((at for at in following if not self._lines[at].is_failing), following[0])
            line = self._lines[self._turn]
        return line

    def _has_room(self, size: int) -> bool:
        return self._records < self._records_max and self._bytes + size <= self._bytes_max

    # -- health ----------------------------------------------------------------------------------------------------

    def failing_s(self) -> float:
        """Return the seconds for which the log has taken no append; 0 while it does."""
        return 0.0 if self._failing_since is None else time.monotonic() - self._failing_since

    # -- to the log ------------------------------------------------------------------------------------------------

    async def _serve(self, line: _Line) -> None:
        """Send the line's appends in order, each until its outcome is known."""
        backoff = Backoff(*_BACKOFF_S)
        while True:
            await line.has_work.wait()
            batch = line.backlog[0] if line.backlog else line.take()
            if batch is None:
                line.has_work.clear()
                continue
            try:
                await self._send(batch)
            except LogFull as error:
                APPENDS.labels("full").inc()
                if batch.tries == 1 and batch.at is None and not self._journal_lock.locked():
                    line.backlog.remove(batch)  # it is certain that nothing of it was stored
                    self._tell(batch, error)
                    continue
                self._note_failure(line, error)
            except Exception as error:  # whatever it is, the outcome is unknown, and this loop is the only way out
                APPENDS.labels("error").inc()
                if not isinstance(error, LogUnavailable):
                    LOOP_ERRORS.labels("producer").inc()
                    log.exception("append_broke", error=type(error).__name__)
                self._note_failure(line, error)
            else:
                backoff.reset()
                APPENDS.labels("replayed" if batch.at is not None else "ok").inc()
                line.backlog.popleft()
                self._note_success(line)
                self._tell(batch, "log")
                await self._clear()
                continue
            await asyncio.sleep(backoff.next_s())

    async def _send(self, batch: _Batch) -> None:
        append = batch.append
        if append is None:  # it is in the journal
            assert self._journal is not None and batch.at is not None  # noqa: S101, PT018 - for the type checker
            append = self._journal.read(batch.at)
        batch.tries += 1
        began = time.perf_counter()
        await self._prepare()
        crash_point("append")
        await self._log.append(append.topic, append.partition, append.records, producer=append.producer, seq=append.seq)
        crash_point("appended")
        APPEND_SECONDS.observe(time.perf_counter() - began)

    async def _prepare(self) -> None:
        if not self._is_prepared:
            await self._log.prepare(self._topic)
            self._is_prepared = True

    def _note_failure(self, line: _Line, error: Exception) -> None:
        line.is_failing = True
        self._has_unsafe.set()
        failure = noted(error)
        self.trouble = failure.code
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.warning("log_failing", topic=self._topic, error=type(error).__name__, code=failure.code)

    def _note_success(self, line: _Line) -> None:
        line.is_failing = False
        if self._failing_since is not None and not any(one.is_failing for one in self._lines):
            log.info("log_recovered", topic=self._topic, after_s=round(self.failing_s(), 3))
            self._failing_since = self.trouble = None

    # -- to the journal --------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Write what should not wait for the log to the journal: all that there is at a time, with one fsync."""
        while True:
            await self._has_unsafe.wait()
            self._has_unsafe.clear()
            while unsafe := [line for line in self._lines if line.is_unsafe()]:
                self._writing = asyncio.create_task(self._write(unsafe))
                await asyncio.shield(self._writing)  # a stop waits for it: nobody takes the file from its thread

    async def _write(self, lines: list[_Line]) -> None:
        async with self._journal_lock:
            batches = []
            for line in lines:
                while line.take():
                    pass
                batches += [(line, batch) for batch in line.backlog if batch.waiting]
            try:
                if self._journal is None:
                    raise LogUnavailable("The log does not answer; this record was not stored.")
                appends = [batch.append for _, batch in batches if batch.append is not None]
                places = await asyncio.to_thread(self._journal.write, appends)
            except TallybookError as error:
                self._give_up(batches, error)
            else:
                for (_, batch), place in zip(batches, places, strict=True):
                    batch.append, batch.at = None, place
                    self._tell(batch, "journal")
        await self._clear()

    def _give_up(self, batches: list[tuple[_Line, _Batch]], error: TallybookError) -> None:
        """Nothing was written. What was never sent is dropped; what may be in the log is sent until that is known."""
        for line, batch in batches:
            if batch.tries:
                self._tell(batch, LogUnavailable())
            else:
                line.backlog.remove(batch)
                self._tell(batch, error)

    async def _clear(self) -> None:
        """Empty the journal once the log has all of it."""
        if self._journal is None or self._journal.is_empty() or any(line.backlog for line in self._lines):
            return
        async with self._journal_lock:
            if not any(line.backlog for line in self._lines):
                self._journal.clear()

    def _tell(self, batch: _Batch, outcome: Stored | TallybookError) -> None:
        """Say what became of a batch to those who wait for it, once."""
        waiting, batch.waiting = batch.waiting, []
        if waiting:
            self._records, self._bytes = self._records - len(waiting), self._bytes - batch.size
        for done in waiting:
            try:
                done(outcome if isinstance(outcome, str) else type(outcome)(outcome.detail))
            except Exception as error:  # whatever one of them meets, the others have to be told
                log.exception("answer_broke", error=type(error).__name__)


def new_name() -> str:
    """Return a name that no producer had before."""
    return secrets.token_hex(8)
