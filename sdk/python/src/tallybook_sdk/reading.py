"""Ask the service, and ask again where that may help."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from tallybook_sdk.calls import Call
from tallybook_sdk.errors import TallybookError, Unreachable, problem_of
from tallybook_sdk.sending.answers import Answer
from tallybook_sdk.sending.courier import BACKOFF_FIRST_S, BACKOFF_MOST_S
from tallybook_sdk.sending.http import Deadline, Request
from tallybook_sdk.sending.setup import Bell, Setup

T = TypeVar("T")

#: Repeats of one call.
_REPEATS_MAX = 3


class Asking(Generic[T]):
    """One call under way. Another thread may cancel it."""

    def __init__(self, setup: Setup, call: Call[T], random: Callable[[], float]) -> None:
        self._setup, self._call, self._random = setup, call, random
        self._end = time.monotonic() + setup.timeout_s
        self._bell = Bell()
        self._attempt: Deadline | None = None
        self._is_cancelled = False

    def answer(self) -> T:
        """Return the answer. Raises Problem or Unreachable."""
        repeats = 0
        while True:
            outcome, wait_s = self._ask()
            if not isinstance(outcome, TallybookError):
                return outcome
            left_s = self._end - time.monotonic()
            if wait_s is None or repeats == _REPEATS_MAX:
                raise outcome
            wait_s = max(wait_s, self._random() * min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0**repeats))
            if wait_s >= left_s or self._bell.wait(wait_s):
                raise outcome
            repeats += 1

    def cancel(self) -> None:
        """End it at once: shut its socket, and wait no more."""
        self._is_cancelled = True
        self._bell.ring()
        if attempt := self._attempt:
            attempt.cut()

    def _ask(self) -> tuple[T | TallybookError, float | None]:
        """Return the answer or the error, and after how many seconds a repeat may help."""
        setup, call = self._setup, self._call
        headers = {**setup.headers(), **call.headers}
        if call.body is not None:
            headers["content-type"] = "application/json"
        self._attempt = deadline = Deadline(self._end - time.monotonic())
        if self._is_cancelled:
            deadline.cut()
        request = Request(call.method, setup.url + call.path, headers, call.body)
        try:
            answer = setup.transport.send(request, deadline)
        except Exception as error:  # a transport may raise anything
            return Unreachable(f"{request}: {error}"), None if self._is_cancelled else 0.0
        if answer.status in call.also or 200 <= answer.status < 300:
            return self._decoded(answer)
        problem = problem_of(answer.status, answer.headers, answer.body, setup.clock.time())
        problem.request_id = problem.request_id or headers["x-request-id"]
        if answer.status in (401, 403):
            setup.renew()
        is_worth_it = answer.status in (408, 429) or answer.status >= 500
        return problem, (problem.retry_after_s or 0.0) if is_worth_it else None

    def _decoded(self, answer: Answer) -> tuple[T | TallybookError, float | None]:
        try:
            return self._call.decoded(answer.body), None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Unreachable(f"{self._call.path}: the answer cannot be read: {error}"), 0.0
