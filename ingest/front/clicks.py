"""Count plain clicks: one addition in shared memory, answered by 204 at once or when Redis has it.

Whatever the lane refuses goes to the same route behind Granian (`ingest/clicks/routes.py`), which finds out why and
answers with a problem; nothing was counted then.
"""

import time
from functools import partial

import structlog

from ingest.front.answers import Answers
from ingest.front.connection import Connection
from ingest.front.plain_requests import Plain, clicked
from ingest.http.problems import rendered
from shared.counting.drain import Counter
from shared.errors import RedisUnavailable, TallybookError
from shared.settings import Settings
from shared.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS

_ROUTE = "/stats/{bannerId}"
#: One of so many clicks has its time taken: often enough for percentiles, too seldom to cost.
_SAMPLE = 64
#: The answer comes later.
_LATE = b""

log = structlog.get_logger()


class Clicks:
    """Those of one worker."""

    def __init__(self, settings: Settings, counter: Counter, answers: Answers) -> None:
        self._counter, self._answers = counter, answers
        # With a rate limit every click needs to know its client, or its key: that is the other route's work.
        self._is_on = settings.rate_limit_per_s == 0 and "clicks:write" not in settings.keyed
        self._is_durable = settings.ack == "redis"
        self._counted = self._answered = self._refused = 0
        self._seconds = HTTP_SECONDS.labels(f"POST {_ROUTE}")

    def take_buffer(self, buffer: bytes, connection: Connection) -> bytes | None:
        """Count the one click that a buffer is, as `take` does; None also when it is anything else."""
        banner = clicked(buffer)
        if not banner or not self._is_on:
            return None
        if self._is_durable or not self._counted % _SAMPLE:
            return self._count(banner, connection)
        try:
            if not self._counter.add(banner):
                return None
        except (ValueError, TallybookError):
            return None
        self._counted += 1
        self._answered += 1
        return self._answers.click

    def take(self, request: Plain, connection: Connection) -> bytes | None:
        """Count a click. Return its answer; empty when it comes later, None when nothing was counted."""
        if not self._is_on or b"idempotency-key" in request.headers:
            return None
        return self._count(request.banner, connection)

    def _count(self, banner: str, connection: Connection) -> bytes | None:
        began = time.perf_counter() if not self._counted % _SAMPLE else 0.0
        try:
            if not self._counter.add(banner):
                return None
        except (ValueError, TallybookError):
            return None
        # It counts: whatever breaks from here on, nobody else may be asked to count it.
        try:
            return self._answer(connection, began)
        except Exception as error:
            log.exception("answer_broke", error=type(error).__name__)
            if not self._is_durable:
                return self._answers.click
            connection.refuse(self._answers.made(*rendered(RedisUnavailable(), path="/stats/1")))
            self._refused += 1
            return _LATE

    def _answer(self, connection: Connection, began: float) -> bytes:
        self._counted += 1
        if self._is_durable:
            self._counter.promise(partial(self._redeem, connection, began))
            return _LATE
        self._answered += 1
        if began:
            self._seconds.observe(time.perf_counter() - began)
        return self._answers.click

    def _redeem(self, connection: Connection, began: float, is_applied: bool) -> None:
        """Answer a click that waited for Redis."""
        if is_applied:
            connection.answered(self._answers.click)
            self._answered += 1
        else:  # it is in the lane and will be counted, but that is not what was asked for
            connection.answered(self._answers.made(*rendered(RedisUnavailable(), path="/stats/1")))
            self._refused += 1
        if began:
            self._seconds.observe(time.perf_counter() - began)

    def report(self) -> None:
        """Bring the number of clicks since the last time into the metrics."""
        answered, self._answered = self._answered, 0
        refused, self._refused = self._refused, 0
        HTTP_REQUESTS.labels(_ROUTE, "POST", "204").inc(answered)
        if refused:
            HTTP_REQUESTS.labels(_ROUTE, "POST", "503").inc(refused)
