"""The thread that does what the courier decides, and everything that must not go wrong around it.

- One lock guards queue, courier and books. A thread that holds or wants it carries a mark. A call that finds the mark
  (a signal handler, a `__del__`) takes no lock: its record goes aside, and whoever comes next merges it.
- A small event goes into the inbox first, without the lock, as appending is one step. Whoever takes the lock merges it:
  the thread, a report, or the call that finds the inbox full. An exception that a signal raises in between may leave
  an event in both places: it is sent twice under its id, and counts once.
- The thread waits for a bell, which can be rung from anywhere. While there is nothing to do it waits without end.
- A worker belongs to one process. A forked child makes a worker of its own: with locks that nobody holds, an empty
  queue and books at zero.
"""

import contextvars
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tallybook_sdk.errors import QueueFull
from tallybook_sdk.sending import lifetime
from tallybook_sdk.sending.answers import Answer, Failure
from tallybook_sdk.sending.batch import CLICKS, EVENTS, Batch, CellKey, Entry, Instant, Route, is_worth_packing, packed
from tallybook_sdk.sending.courier import Courier, Rejected, Send, Wait
from tallybook_sdk.sending.http import Deadline, NotSent, Request
from tallybook_sdk.sending.queue import Queue, Store
from tallybook_sdk.sending.report import Report
from tallybook_sdk.sending.setup import Bell, Setup
from tallybook_sdk.sending.telling import Teller, logger

#: Records of calls that interrupted a call of the same thread. More are dropped, and counted.
_ASIDE_MAX = 1000
#: Events of the inbox, and bytes of each. More, and larger ones, take the lock.
_INBOX_MAX, _SMALL = 64, 16 << 10
#: Items and bytes that the queue has to have room for while events go into the inbox: one more of each thread, too.
_ROOM = (1000, 2 * _INBOX_MAX * _SMALL)
#: Seconds that a stop waits for the thread, beyond the time-out.
_JOIN_S = 0.3
#: Seconds between two looks for files of processes that are gone, by a thread that is awake.
_ADOPT_EVERY_S = 30.0

#: Called once with whether all was settled.
Notify = Callable[[bool], object]


class _Mark(threading.local):
    is_inside = False


class Worker:
    """Take records from any thread, and send them from one."""

    def __init__(self, setup: Setup, *, is_child: bool = False) -> None:
        self.pid = os.getpid()
        self.setup = setup
        self._store = _store_of(setup, is_child)
        #: The same in memory, where a record may be taken in a quicker way.
        self._queue = self._store if isinstance(self._store, Queue) else None
        self._courier = Courier(
            self._store, random=random.random, timeout_s=setup.timeout_s, wants_items=setup.on_reject is not None
        )
        #: By route, bytes of a request that the service takes.
        self.bytes_max: Mapping[Route, int] = self._courier.bytes_max
        self._lock = threading.Lock()
        self._mark = _Mark()
        self._aside: deque[Entry | tuple[Route, int, Rejected]] = deque()
        #: Events as JSON, and when the first of them came.
        self._inbox: list[bytes] = []
        self._since = 0.0
        #: Whether events may go into the inbox, and whether the thread knows when to look at it.
        self._is_roomy = not setup.is_off and self._has_room()
        self._is_watched = False
        #: The weights of what was dropped without the lock.
        self._spilled: list[tuple[Route, int]] = []
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._waiters: list[tuple[Mapping[Route, int], Notify]] = []
        self._blocked: list[Bell] = []
        self._refusal = "off" if setup.is_off else ""
        if setup.is_off:
            self._courier.end("off")
        self._is_stopping = False
        self._attempt: Deadline | None = None
        self._teller = Teller(setup.on_reject)
        self._adopts_at = 0.0
        lifetime.begin(self)
        if self._store.has_orphans():
            self._wake()

    @property
    def exit_timeout_s(self) -> float:
        """Return the seconds that the end of the process may take."""
        return self.setup.exit_timeout_s

    def forked(self) -> None:
        """Leave to the parent what is the parent's; this is a child."""
        self.drop_connections()
        self._store.forked()

    def drop_connections(self) -> None:
        """Close idle connections of this process, where the transport has some."""
        if drop := getattr(self.setup.transport, "drop", None):
            with suppress(Exception):  # a foreign transport
                drop()

    @property
    def offset_s(self) -> float:
        """Return the seconds by which clicks are corrected."""
        return self._courier.offset_s

    # -- recording -----------------------------------------------------------------------------------------------------

    def put_event(self, body: bytes) -> None:
        """Take an event as JSON. Raises QueueFull where that was asked for."""
        inbox = self._inbox
        if not self._is_roomy or len(inbox) >= _INBOX_MAX or len(body) > _SMALL:
            self.put(Entry(EVENTS, 1, body))
            return
        if not inbox:
            self._since = self.setup.clock.monotonic()
        inbox.append(body)
        if not self._is_watched:
            self._watch()

    def put_clicks(self, cell: CellKey, count: int) -> bool:
        """Add to clicks that wait. Return whether there are some: else these are a record of their own."""
        mark, queue = self._mark, self._queue
        if queue is None or mark.is_inside or self._refusal:
            return False
        try:
            mark.is_inside = True
            with self._lock:
                is_added = queue.add_clicks(cell, count)
                if is_added:
                    self._courier.books(CLICKS).recorded += count
                return is_added
        finally:
            mark.is_inside = False

    def _watch(self) -> None:
        """Let the thread look at the inbox, as it does not expect anything."""
        if self._mark.is_inside:
            self._bell.ring()
            return
        self._is_watched = True
        self._wake()
        if self._thread is None:  # it may start with the next record
            self._is_watched = False

    def put(self, entry: Entry) -> None:
        """Take a record. Raises QueueFull where that was asked for."""
        mark = self._mark
        if mark.is_inside:
            self._put_aside(entry)
            return
        try:
            mark.is_inside = True
            with self._lock:
                is_news = self._merge() if self._inbox else False
                news = self._take(entry)
        finally:
            mark.is_inside = False
        if news or is_news:
            self._wake()
        if self._aside:
            self._merge_aside()
        if news is None:
            self._overflow(entry)

    def refuse(self, route: Route, weight: int, rejected: Rejected) -> None:
        """Book a record that cannot be sent."""
        if self._mark.is_inside:
            self._put_aside((route, weight, rejected))
            return
        with self._guarded():
            self._take_refused(route, weight, rejected)
        self._wake()

    def _take(self, entry: Entry) -> bool | None:
        """Book and store a record. Return None if there is no room: then nothing is booked."""
        books = self._courier.books(entry.route)
        if self._refusal:
            books.recorded += entry.weight
            books.dropped[self._refusal] += entry.weight
            return False
        news = self._store.add(entry, self.setup.clock.monotonic())
        if news is not None:
            books.recorded += entry.weight
        return news

    def _take_refused(self, route: Route, weight: int, rejected: Rejected) -> None:
        self._courier.books(route).recorded += weight
        self._courier.reject(route, weight, rejected)

    def _overflow(self, entry: Entry) -> None:
        """Wait for room, raise or drop."""
        setup = self.setup
        end = time.monotonic() + (setup.block_s if setup.on_full == "block" else 0.0)
        while (left_s := end - time.monotonic()) > 0:
            bell = Bell()
            with self._guarded():
                news = self._take(entry)
                if news is None:
                    self._blocked.append(bell)
            if news is not None:
                if news:
                    self._wake()
                return
            bell.wait(left_s)
        with self._guarded():
            self._drop_full(entry.route, entry.weight)
        if setup.on_full == "raise":
            raise QueueFull("the queue is full")

    def _drop_full(self, route: Route, weight: int) -> None:
        books = self._courier.books(route)
        books.recorded += weight
        books.dropped["queue_full"] += weight

    # -- what waits for the lock ---------------------------------------------------------------------------------------

    def _put_aside(self, entry: Entry | tuple[Route, int, Rejected]) -> None:
        if len(self._aside) < _ASIDE_MAX:
            self._aside.append(entry)
        else:
            self._spilled.append((entry.route, entry.weight) if isinstance(entry, Entry) else entry[:2])
        self._bell.ring()

    def _merge_aside(self) -> None:
        with self._guarded():
            self._merge()
        self._wake()

    def _merge(self) -> bool:
        """Book and store what waits for the lock. Return whether a batch is due at another moment than before."""
        is_news = False
        if inbox := self._inbox:
            queue = None if self._is_stopping else self._queue
            is_stored = queue is not None and queue.add_events(inbox, self._courier.books(EVENTS))
            is_news = not is_stored
            for _ in range(0 if is_stored else len(inbox)):
                self._take_late(Entry(EVENTS, 1, inbox[0]))
                del inbox[0]
        while self._aside:
            entry = self._aside.popleft()
            if not isinstance(entry, Entry):
                self._take_refused(*entry)
            elif self._take(entry) is None:
                self._drop_full(entry.route, entry.weight)
        while self._spilled:
            self._drop_full(*self._spilled.pop())
        self._is_roomy = not self._refusal and self._has_room()
        return is_news

    def _has_room(self) -> bool:
        """Return whether events may go into the inbox: in a spool a record has to be on the disk at once."""
        return self._queue is not None and self._queue.has_room(*_ROOM)

    def _take_late(self, entry: Entry) -> None:
        """Book and store a record of the inbox: its call has returned, so a client that was closed since takes it."""
        books = self._courier.books(entry.route)
        is_stored = not self._is_stopping and self._store.add(entry, self._since) is not None
        books.recorded += entry.weight
        if not is_stored:
            books.dropped["closed" if self._is_stopping else "queue_full"] += entry.weight

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the lock. Raises RuntimeError in a call that interrupts one which may hold it."""
        if self._mark.is_inside:
            raise RuntimeError("this call interrupts another one of the same thread: make it later")
        try:
            self._mark.is_inside = True
            with self._lock:
                yield
        finally:
            self._mark.is_inside = False

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._thread is None:
            self._begin()
        self._bell.ring()

    def _begin(self) -> bool:
        """Start the thread, once. Return False if this process starts none any more."""
        with self._guarded():
            if self._thread is not None or self._is_stopping:
                return self._thread is not None
            empty = contextvars.Context()  # or the trace of a request would live on in the thread
            thread = threading.Thread(target=empty.run, args=(self._run,), name="tallybook-sdk", daemon=True)
            self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            self._thread = None
            return False
        lifetime.end_with_the_process()
        return True

    def _run(self) -> None:
        lifetime.suppress_traces()
        while not self._is_stopping:
            try:
                wait_s = self._step(self.setup.timeout_s)
            except Exception:  # a fault here must not end all sending
                logger.exception("sending failed")
                wait_s = 1.0
            if wait_s is None or wait_s > 0:
                self._bell.wait(wait_s)

    def _step(self, timeout_s: float) -> float | None:
        """Do one thing. Return the seconds until there is more to do, or None if there is nothing."""
        with self._guarded():
            self._merge()
            if time.monotonic() >= self._adopts_at:
                self._adopts_at = time.monotonic() + _ADOPT_EVERY_S
                self._courier.adopt(self._now())
            action = None if self._is_stopping else self._courier.next(self._now())
            was_watched, self._is_watched = self._is_watched, self._courier.is_due(EVENTS)
            settled = [one for one in self._waiters if self._courier.is_settled(one[0])]
            self._waiters = [one for one in self._waiters if one not in settled]
            rejections, self._courier.rejections = self._courier.rejections, []
            notices = dict(self._courier.notices)
            self._courier.notices.clear()
        for _, notify in settled:
            notify(True)
        self._teller.tell(rejections, notices, self._courier.offset_s)
        if isinstance(action, Send):
            self._send(action, timeout_s)
            return 0.0
        if self._inbox and was_watched and not self._is_watched:  # it came meanwhile, and nobody rang
            return 0.0
        return action.until - self.setup.clock.monotonic() if isinstance(action, Wait) else None

    def _send(self, send: Send, timeout_s: float) -> None:
        self._attempt = deadline = Deadline(timeout_s)
        if self._is_stopping:
            return
        answer = self._answer(self._request(send.batch), deadline)
        self._attempt = None
        if isinstance(answer, Answer) and answer.status in (401, 403):
            self.setup.renew()
        with self._guarded():
            self._courier.answered(send, answer, self._now())
            blocked, self._blocked = self._blocked, []
        for bell in blocked:
            bell.ring()
        self._store.tend()

    def _request(self, batch: Batch | None) -> Request:
        if batch is None:
            return Request("GET", f"{self.setup.url}/limits", self.setup.headers())
        headers = {**self.setup.headers(), "content-type": "application/json"}
        body = batch.body
        if self.setup.is_far and is_worth_packing(batch):
            body = packed(batch)
            headers["content-encoding"] = "gzip"
        return Request("POST", self.setup.url + batch.route.path, headers, body)

    def _answer(self, request: Request, deadline: Deadline) -> Answer | Failure:
        try:
            return self.setup.transport.send(request, deadline)
        except NotSent as error:
            return Failure(False, str(error))
        except Exception as error:  # a transport may raise anything, and nobody knows what the service did
            return Failure(True, repr(error))

    def _now(self) -> Instant:
        return Instant(self.setup.clock.monotonic(), self.setup.clock.time())

    # -- report, flush and close ---------------------------------------------------------------------------------------

    def report(self) -> Report:
        """Return the books of this moment."""
        with self._guarded():
            self._merge()
            return self._courier.report(self._now())

    def when_settled(self, notify: Notify) -> bool:
        """Send what is here at once, and call back when all of it is settled. Return False if no thread can do it."""
        self._refuse_callbacks()
        with self._guarded():
            self._merge()
            serials = self._courier.hurry()
            is_settled = self._courier.is_settled(serials)
            if not is_settled:
                self._waiters.append((serials, notify))
        if is_settled:
            notify(True)
        elif self._thread is None and not self._begin():
            return False
        self._bell.ring()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was recorded before is settled. Return False after the time-out."""
        end = time.monotonic() + timeout_s
        bell, outcome = Bell(), [False]

        def notify(is_settled: bool) -> None:
            outcome[0] = is_settled
            bell.ring()

        has_thread = self.when_settled(notify)
        while not has_thread and not bell.wait(0) and (left_s := end - time.monotonic()) > 0:  # this thread sends
            wait_s = self._step(min(left_s, self.setup.timeout_s))
            if wait_s is None or wait_s > 0:
                self._bell.wait(left_s if wait_s is None else min(left_s, wait_s))
        if has_thread:
            bell.wait(end - time.monotonic())
        return outcome[0]

    def close(self, timeout_s: float) -> None:
        """Refuse new records, send what is here, and stop. A call that interrupts another one only refuses."""
        if self._mark.is_inside:
            self.refuse_more()
            return
        self._refuse_callbacks()
        self.refuse_more()
        if self._is_stopping:
            return
        end = time.monotonic() + timeout_s
        self.flush(timeout_s)
        self.stop(max(0.0, end - time.monotonic()) + _JOIN_S)

    def refuse_more(self) -> None:
        """Drop records from now on."""
        self._refusal = self._refusal or "closed"
        self._is_roomy = False

    def stop(self, join_s: float = _JOIN_S) -> None:
        """End the thread and give up what is left, or leave it in the spool."""
        with self._guarded():
            self._merge()
            if self._is_stopping:
                return
            self._is_stopping = True
            self._refusal = self._refusal or "closed"
            self._courier.abandon()
            left = self._courier.report(self._now())
            waiters, self._waiters = self._waiters, []
            blocked, self._blocked = self._blocked, []
            thread = self._thread
        if attempt := self._attempt:
            attempt.cut()
        self._bell.ring()
        for bell in blocked:
            bell.ring()
        for _, notify in waiters:
            notify(False)
        if thread is not None and thread is not threading.current_thread():
            thread.join(join_s)
        if thread is None or not thread.is_alive():
            self._store.close()
        lifetime.end(self)
        if lost := left.dropped.get("closed", 0) + left.dropped.get("outcome_unknown", 0):
            logger.warning("closed: %d records were not sent, or nobody knows", lost)

    def _refuse_callbacks(self) -> None:
        if self._thread is threading.current_thread():
            raise RuntimeError("a callback runs in the thread that sends: it cannot flush or close")


def _store_of(setup: Setup, is_child: bool) -> Store:
    """Return where records wait. A child that cannot open a spool keeps them in memory: its records raise nothing."""
    if setup.store is not None:
        try:
            return setup.store()
        except Exception:
            if not is_child:
                raise
            logger.exception("the spool of this child cannot be opened, so its records wait in memory")
    return Queue(setup.bounds)
