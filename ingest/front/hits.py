"""Store plain hits: those that need nothing but what this worker knows.

A plain hit is a GET of `/track` or `/track.gif`, or a POST of `/track` without a body, of a tracker whose value is
known, while no rate limit is set. It is answered when the log, or the journal, has it. Everything else, and whatever is
to be refused, goes to the same routes behind Granian (`ingest/hits/routes.py`); nothing was stored then.
"""

import re
import time
from collections import Counter
from functools import lru_cache, partial
from typing import NamedTuple
from uuid import UUID

import structlog

from ingest.front.answers import Answers
from ingest.front.connection import Connection
from ingest.front.plain_requests import Plain
from ingest.hits import bots
from ingest.hits.request_facts import Asked
from ingest.hits.routes import ANSWER_HEADERS, GIF, REASONS, UUID_PATTERN
from ingest.http.body_limit import PARAMETERS_MAX, URL_MAX
from ingest.http.problems import rendered
from ingest.state import State
from shared.errors import LogUnavailable, TallybookError
from shared.record_log.producer import Stored
from shared.settings import Settings
from shared.telemetry.metrics import HITS, HITS_BOT, HITS_REJECTED, HTTP_REQUESTS, HTTP_SECONDS

#: The parameter `id` of a query, by its plain name.
_ID = re.compile(rf"(?:^|&)id=({UUID_PATTERN[1:-1]})(?:&|$)".encode())
#: The same name without a value, which counts as another one.
_BARE_ID = re.compile(rb"(?:^|&)id(?:&|$)")
_PIXEL = b"/track.gif"
#: Trackers whose ids are remembered.
_REMEMBERED = 65_536
#: One of so many plain hits has its time taken.
_SAMPLE = 16
#: The answer comes later.
_LATE = b""

log = structlog.get_logger()

_Headers = list[tuple[str, str]]


class _Ticket(NamedTuple):
    """A hit that waits for the log."""

    connection: Connection
    is_pixel: bool
    method: str
    headers: _Headers
    is_bot: bool
    began: float


class Hits:
    """Those of one worker. `state` is what the application's lifespan made; `server` is where the front listens."""

    def __init__(self, settings: Settings, state: State, answers: Answers, server: str) -> None:
        self._is_on = settings.rate_limit_per_s == 0 and "hits:write" not in settings.keyed
        self._value = state.trackers.known
        self._offer = state.hits.offer
        self._recorded = state.recorder.recorded
        self._answers, self._server = answers, server
        fixed = [*ANSWER_HEADERS.items(), ("x-content-type-options", "nosniff")]
        self._of_origin = lru_cache(64)(lambda origin: [*fixed, *state.origins.headers(origin).items()])
        self._taken = 0
        self._stored: Counter[str] = Counter()
        self._bots = 0
        self._answered: Counter[tuple[bool, str, int]] = Counter()

    def take(self, request: Plain, connection: Connection) -> bytes | None:
        """Take a hit, to be answered later. Return None when it cannot be taken; then nothing was done."""
        method, path, query, headers = request.method, request.path, request.query, request.headers
        is_pixel = path == _PIXEL
        found = _ID.search(query)
        if not self._is_on or (is_pixel and method != "GET") or found is None or not _is_plain(query, path):
            return None
        if not headers.keys().isdisjoint(bots.AHEAD):
            return None
        tracker = _tracker(found[1])
        value = self._value(tracker)
        if value is None:
            return None
        self._taken += 1
        began = time.perf_counter() if not self._taken % _SAMPLE else 0.0
        asked = Asked(headers, connection.peer[0], "http", self._server, path, query)
        made = self._recorded(asked, tracker, value)
        origin = headers.get(b"origin")
        answer = self._of_origin(None if origin is None else origin.decode("latin-1"))
        if made.cookie is not None:
            answer = [*answer, ("set-cookie", made.cookie)]
        ticket = _Ticket(connection, is_pixel, method, answer, made.is_bot, began)
        try:
            return _LATE if self._offer(b"", made.record, partial(self._redeem, ticket)) else None
        except Exception as error:  # it may be stored: nobody else may be asked to store it
            log.exception("answer_broke", error=type(error).__name__)
            connection.refuse(self._answers.made(*rendered(LogUnavailable(), path="/track")))
            self._answered[is_pixel, method, 503] += 1
            return _LATE

    def _redeem(self, ticket: _Ticket, outcome: Stored | TallybookError) -> None:
        """Answer a hit of which is known what became of it."""
        connection, is_pixel, method, headers, is_bot, began = ticket
        if isinstance(outcome, TallybookError):
            outcome.headers = {**outcome.headers, **{name: text for name, text in headers if name != "set-cookie"}}
            status, problem, body = rendered(outcome, path="/track")
            connection.answered(self._answers.made(status, problem, body))
            HITS_REJECTED.labels(REASONS.get(outcome.code, "malformed")).inc()
            self._answered[is_pixel, method, status] += 1
            return
        status = 200 if is_pixel else 204
        more = [("content-type", "image/gif")] if is_pixel else []
        connection.answered(self._answers.made(status, [*headers, *more], GIF if is_pixel else b""))
        self._stored[outcome] += 1
        self._bots += is_bot
        self._answered[is_pixel, method, status] += 1
        if began:
            HTTP_SECONDS.labels(f"{method} {_path(is_pixel)}").observe(time.perf_counter() - began)

    def report(self) -> None:
        """Bring the numbers of the hits since the last time into the metrics."""
        answered, self._answered = self._answered, Counter()
        stored, self._stored = self._stored, Counter()
        bots, self._bots = self._bots, 0
        for (is_pixel, method, status), count in answered.items():
            HTTP_REQUESTS.labels(_path(is_pixel), method, str(status)).inc(count)
        for outcome, count in stored.items():
            HITS.labels(outcome).inc(count)
        HITS_BOT.inc(bots)


def _path(is_pixel: bool) -> str:
    return "/track.gif" if is_pixel else "/track"


def _is_plain(query: bytes, path: bytes) -> bool:
    """Whether nothing else in the query can be a parameter `id`, escaped or not, and all of it is within bounds."""
    is_one = query.count(b"id=") == 1 and b"%6" not in query and _BARE_ID.search(query) is None
    return is_one and len(query) <= URL_MAX - len(path) and query.count(b"&") < PARAMETERS_MAX


@lru_cache(_REMEMBERED)
def _tracker(text: bytes) -> UUID:
    return UUID(text.decode())
