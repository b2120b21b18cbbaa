"""Follow plain links: one addition in shared memory, then a 302 to a destination that this worker knows.

A plain link is a GET of a known and open link without `max_clicks`, by somebody who looks like a person, while no rate
limit is set. Everything else goes to the route behind Granian (`ingest/links/routes.py`); nothing was counted then.
"""

import time
from functools import lru_cache, partial

import structlog

from ingest.caches.links import Link
from ingest.front.answers import Answers, begun
from ingest.front.connection import Connection
from ingest.front.plain_requests import Plain
from ingest.hits import bots
from ingest.http.body_limit import PARAMETERS_MAX, URL_MAX
from ingest.links.location import location
from ingest.links.routes import ANSWER_HEADERS
from ingest.state import State
from shared.errors import TallybookError
from shared.settings import Settings
from shared.telemetry.metrics import HTTP_REQUESTS, HTTP_SECONDS, LINKS

#: What the paths of links begin with.
PREFIX = b"/r/"
_ROUTE = "/r/{slug}"
#: One of so many has its time taken.
_SAMPLE = 64
#: Headers of every 302 behind its location, as the routes and their middleware write them.
_HEADERS = (*ANSWER_HEADERS.items(), ("x-content-type-options", "nosniff"), ("content-length", "0"))
#: Locations of rows whose answers are kept, and user agents of so many bytes of which is known whose they are: 4 MB.
_REMEMBERED, _AGENT_MAX = 4096, 512
#: The answer comes later.
_LATE = b""

log = structlog.get_logger()


class Links:
    """Those of one worker. `state` is what the application's lifespan made."""

    def __init__(self, settings: Settings, state: State, answers: Answers) -> None:
        self._is_on = settings.rate_limit_per_s == 0
        self._is_durable = settings.ack == "redis"
        self._known, self._counter, self._answers = state.links.known, state.counter, answers
        self._taken = self._answered = 0
        self._seconds = HTTP_SECONDS.labels(f"GET {_ROUTE}")

    def take(self, request: Plain, connection: Connection) -> bytes | None:
        """Count a click of a link. Return the 302; empty when it comes later, None when nothing was counted."""
        began = time.perf_counter() if not self._taken % _SAMPLE else 0.0
        link = self._known(request.path[len(PREFIX) :].decode())
        if link is None or not self._is_plain(link, request):
            return None
        begin = _of_row(link.location) if link.is_fixed else _begun(location(link, request.query))
        try:
            if not self._counter.add(link.banner):
                return None
        except (ValueError, TallybookError):
            return None
        # It counts: whatever breaks from here on, whoever clicked is led on, and nobody else is asked to count it.
        self._taken += 1
        made = self._answers.dated(begin)
        try:
            if self._is_durable:
                self._counter.promise(partial(self._redeem, connection, made, began))
                return _LATE
            self._note(began)
        except Exception as error:
            log.exception("answer_broke", error=type(error).__name__)
        return made

    def _is_plain(self, link: Link, request: Plain) -> bool:
        if not self._is_on or not link.is_unlimited or time.time() >= link.expires_s:
            return False
        headers, query = request.headers, request.query
        if query and (len(query) > URL_MAX - len(request.path) or query.count(b"&") >= PARAMETERS_MAX):
            return False
        agent = headers.get(b"user-agent", b"")
        is_machine = _is_machine(agent) if len(agent) <= _AGENT_MAX else bots.is_bot(bots.user_agent(headers))
        return not is_machine and headers.keys().isdisjoint(bots.AHEAD)

    def _redeem(self, connection: Connection, made: bytes, began: float, is_applied: bool) -> None:
        """Lead on whoever waited for Redis, whatever Redis said: the click is in the lane."""
        connection.answered(made)
        self._note(began)

    def _note(self, began: float) -> None:
        self._answered += 1
        if began:
            self._seconds.observe(time.perf_counter() - began)

    def report(self) -> None:
        """Bring the number of clicks since the last time into the metrics."""
        answered, self._answered = self._answered, 0
        HTTP_REQUESTS.labels(_ROUTE, "GET", "302").inc(answered)
        LINKS.labels("person").inc(answered)


def _begun(to: str) -> bytes:
    return begun(302, (("location", to), *_HEADERS))


@lru_cache(_REMEMBERED)
def _is_machine(agent: bytes) -> bool:
    return bots.is_bot(bots.user_agent({b"user-agent": agent}))


_of_row = lru_cache(_REMEMBERED)(_begun)
