"""Changes that break a promise of the client, each with the scene in which a run has to catch it."""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from tallybook_sdk import client
from tallybook_sdk.sending import answers, courier, worker
from tallybook_sdk.sending.batch import Batch
from tallybook_sdk.sending.courier import Courier
from tallybook_sdk.sending.queue import Queue
from tallybook_sdk.sending.spool import Spool, _File
from tallybook_sdk.sending.worker import Worker


class Mutant(NamedTuple):
    """One change, and the name of the scene that brings it out."""

    patch: Callable[[], None]
    scene: str


def _rewritten(change: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """A batch whose items change with each attempt."""

    def patch() -> None:
        before = Worker._request

        def request(self: Worker, batch: Batch | None) -> Any:
            if batch is not None and batch.attempts > 1:
                items = msgspec.json.decode(batch.body)
                for item in items:
                    change(item)
                batch.body = msgspec.json.encode(items)
            return before(self, batch)

        Worker._request = request  # type: ignore[method-assign]

    return patch


def _new_id(item: dict[str, Any]) -> None:
    item["event_id" if "event_id" in item else "id"] = str(uuid4())


def _new_moment(item: dict[str, Any]) -> None:
    if "occurred_at" in item:
        item["occurred_at"] = f"{item['occurred_at'][:19]}.{time.monotonic_ns() % 1000:03}Z"


def _dropped_on_401() -> None:
    before = courier.verdict

    def verdict(batch: Batch, answer: Any, now: Any) -> Any:
        means = before(batch, answer, now)
        if isinstance(means, answers.Paused):
            return answers.Settled([], [(n, "dropped", "", "") for n in range(batch.items)])
        return means

    courier.verdict = verdict


def _no_window() -> None:
    Courier._give_up = lambda *_: None  # type: ignore[method-assign]


def _marked_after_the_send() -> None:
    _File.mark = lambda *_: None  # type: ignore[method-assign]


def _deleted_before_the_answer() -> None:
    before = Spool.cut

    def cut(self: Spool, *arguments: Any) -> Batch | None:
        batch = before(self, *arguments)
        if batch is not None:
            batch.home.database.execute("DELETE FROM batch WHERE id = ?", (batch.id,))
        return batch

    Spool.cut = cut  # type: ignore[method-assign]


def _kept(*names: str) -> Callable[[], None]:
    """A child whose worker has these things of the parent's."""

    def patch() -> None:
        before = Worker.__init__

        def init(self: Worker, setup: Any, *, is_child: bool = False) -> None:
            before(self, setup, is_child=is_child)
            if is_child:
                for name in names:
                    setattr(self, name, getattr(_parents[-1], name))
            _parents.append(self)

        Worker.__init__ = init  # type: ignore[method-assign]

    return patch


_parents: list[Worker] = []


def _flush_ignores_the_flight() -> None:
    def is_settled(self: Queue, route: Any, serial: int) -> bool:
        segments = self._lines[route].segments
        return not (segments and segments[0].serial <= serial)

    Queue.is_settled = is_settled  # type: ignore[method-assign]


def _conflict_is_stored() -> None:
    before = answers._settled

    def settled(batch: Batch, body: bytes) -> answers.Settled:
        found = before(batch, body)
        return answers.Settled(found.duplicates, [one for one in found.rejected if one[1] != "conflict"])

    answers._settled = settled


def _no_retry_after() -> None:
    answers.retry_after = lambda *_: None
    before = answers.problem_of

    def problem_of(*arguments: Any) -> Any:
        problem = before(*arguments)
        problem.retry_after_s = None
        return problem

    answers.problem_of = problem_of


def _never_forked() -> None:
    """A child goes on with the worker of its parent: with its queue, and its thread that is not there."""
    client._Recorder._mine = lambda self: self._worker  # type: ignore[method-assign]
    worker.lifetime._open.clear()


def _inbox_forgotten() -> None:
    """Events that have not been booked yet are lost when somebody takes the lock."""
    before = Worker._merge

    def merge(self: Worker) -> bool:
        del self._inbox[1:]
        return before(self)

    Worker._merge = merge  # type: ignore[method-assign]


MUTANTS = {
    "a new id for each attempt": Mutant(_rewritten(_new_id), "faults"),
    "a batch encoded anew": Mutant(_rewritten(_new_moment), "faults"),
    "dropped on 401": Mutant(_dropped_on_401, "faults"),
    "no window of clicks": Mutant(_no_window, "window"),
    "first_sent_ms after the send": Mutant(_marked_after_the_send, "late heir"),
    "deleted before the answer": Mutant(_deleted_before_the_answer, "kills"),
    "the child keeps the queue": Mutant(_kept("_store", "_queue", "_courier", "_inbox"), "forks"),
    "the child keeps the lock": Mutant(_kept("_lock"), "forks"),
    "the child keeps the worker": Mutant(_never_forked, "forks"),
    "flush ignores the batch in flight": Mutant(_flush_ignores_the_flight, "faults"),
    "a conflict is stored": Mutant(_conflict_is_stored, "faults"),
    "the inbox is forgotten": Mutant(_inbox_forgotten, "faults"),
    "Retry-After ignored": Mutant(_no_retry_after, "faults"),
}

if os.environ.get("TALLYBOOK_URL"):
    raise RuntimeError("unset TALLYBOOK_URL: a run has a service of its own")
