"""The RSGI application of one worker. It answers plain clicks by itself, and plain hits (`ingest/plain_hits.py`);
everything else goes on to Starlette.

A plain click is `POST /stats/<banner>` without body and without Idempotency-Key. It costs one addition in shared memory
(`shared/counting/lane.py`) and is answered by 204, at once or when Redis has it. Whatever the lane refuses falls
through to the same route in Starlette (`ingest/clicks.py`), which finds out why and answers with a problem; nothing was
counted then.
"""

import asyncio
import time
from typing import Any

from ingest.app import create_app
from ingest.bridge import RsgiToAsgi
from ingest.inline import install
from ingest.plain_hits import PATHS, PlainHits
from ingest.problems import rendered
from shared.counting.drain import Counter
from shared.errors import RedisUnavailable, TallybookError
from shared.garbage import collect_seldom
from shared.logging import configure
from shared.metrics import HTTP_REQUESTS, HTTP_SECONDS
from shared.process import die_with_parent
from shared.settings import Settings, load

_PREFIX = "/stats/"
_ROUTE = "/stats/{bannerId}"

#: One of so many plain clicks has its time taken: often enough for percentiles, too seldom to cost.
_SAMPLE = 64
#: Seconds between two transfers of the plain clicks' number to the metrics.
_REPORT_S = 1.0
_NO_HEADERS: list[tuple[str, str]] = []


class Ingest:
    """One per worker. Granian calls `__rsgi_init__` before the first request and `__rsgi_del__` after the last."""

    def __init__(self, settings: Settings) -> None:
        self._bridge = RsgiToAsgi(create_app(settings))
        self._settings = settings
        self._counter: Counter | None = None
        self._hits: PlainHits | None = None
        # With a rate limit every click needs to know its client, or its key, and that is the slow twin's work.
        self._is_plain = settings.rate_limit_per_s == 0 and "clicks:write" not in settings.keyed
        self._is_durable = settings.ack == "redis"
        self._answered = self._refused = self._reported = 0
        self._seconds = HTTP_SECONDS.labels(f"POST {_ROUTE}")

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._start())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._stop())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        await self._bridge(scope, protocol)

    def answer(self, scope: Any, protocol: Any) -> bool:
        """Take a plain click or a plain hit. False: it is something else, or was refused; then nothing was done."""
        path = scope.path
        if path in PATHS:
            return self._hits is not None and self._hits.answer(scope, protocol, path)
        if path[:7] != _PREFIX or scope.method != "POST" or not self._is_plain or self._counter is None:
            return False
        headers = scope.headers
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers or "idempotency-key" in headers:
            return False
        began = time.perf_counter() if not self._answered % _SAMPLE else 0.0
        try:
            if not self._counter.add(path[7:]):
                return False
        except (ValueError, TallybookError):
            return False
        self._answered += 1
        if self._is_durable:
            self._counter.promise((protocol, began))
            return True
        protocol.response_empty(204, _NO_HEADERS)
        if began:
            self._seconds.observe(time.perf_counter() - began)
        return True

    def _redeem(self, ticket: Any, is_applied: bool) -> None:
        """Answer a click that waited for Redis."""
        protocol, began = ticket
        if is_applied:
            protocol.response_empty(204, _NO_HEADERS)
        else:  # it is in the lane and will be counted, but that is not what was asked for
            self._refused += 1
            HTTP_REQUESTS.labels(_ROUTE, "POST", "503").inc()
            status, headers, body = rendered(RedisUnavailable(), request_id="")
            protocol.response_bytes(status, headers, body)
        if began:
            self._seconds.observe(time.perf_counter() - began)

    async def _start(self) -> None:
        await self._bridge.startup()
        counter: Counter = self._bridge.state["counter"]
        counter.redeem = self._redeem
        self._counter = counter
        self._hits = PlainHits(self._settings, self._bridge.state)
        self._reporter = asyncio.create_task(self._report())

    async def _stop(self) -> None:
        self._reporter.cancel()
        await self._bridge.shutdown()
        self._transfer()  # with what the shutdown answered

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            self._transfer()

    def _transfer(self) -> None:
        counted = self._answered - self._refused
        HTTP_REQUESTS.labels(_ROUTE, "POST", "204").inc(max(0, counted - self._reported))
        self._reported = max(self._reported, counted)
        if self._hits is not None:
            self._hits.report()


def create() -> Ingest:
    """The application of a worker process, with its settings from the environment: what Granian loads."""
    die_with_parent()
    settings = load()
    configure(settings, "ingest")
    ingest = Ingest(settings)
    collect_seldom()
    install(ingest.answer)
    return ingest
