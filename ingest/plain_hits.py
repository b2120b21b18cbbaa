"""Hits that need nothing but what this worker knows, answered without Starlette.

A plain hit is a GET of `/track` or `/track.gif`, or a POST of `/track` without a body, of a tracker whose value is
known, while no rate limit is set. Its record is made in the thread in which Granian hands it over, and it is answered
in the event loop when the log, or the journal, has it. Everything else, and whatever is to be refused, goes to the same
routes in Starlette (`ingest/track.py`); nothing was stored then.
"""

import re
import time
from collections import Counter
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import UUID

from ingest import cookie, hits
from ingest.address import base, last, query_text
from ingest.body import PARAMETERS_MAX, URL_MAX
from ingest.client import truncated
from ingest.problems import rendered
from ingest.track import ANSWER_HEADERS, GIF, REASONS, UUID_PATTERN
from shared.errors import TallybookError
from shared.log.producer import Stored
from shared.metrics import HITS, HITS_BOT, HITS_REJECTED, HTTP_REQUESTS, HTTP_SECONDS
from shared.settings import Settings
from shared.uuid7 import NIL, uuid7_text

#: The parameter `id` of a query, by its plain name.
_ID = re.compile(rf"(?:^|&)id=({UUID_PATTERN[1:-1]})(?:&|$)")
_PIXEL = "/track.gif"
PATHS = frozenset({"/track", _PIXEL})
#: Headers with which a hit is none, or has a body that would have to be looked at.
_OTHERS = frozenset({*hits.AHEAD, "transfer-encoding", "expect"})
_NIL = str(NIL)
#: Trackers whose ids are kept in the forms that a hit needs.
_REMEMBERED = 65_536
#: One of so many plain hits has its time taken.
_SAMPLE = 16


class _Tracker(NamedTuple):
    """A tracker's id: to look it up, as it is written, and as the key of its records."""

    uuid: UUID
    text: str
    key: bytes


class _Ticket(NamedTuple):
    """A hit that waits for the log."""

    protocol: Any
    path: str
    method: str
    headers: list[tuple[str, str]]
    is_bot: bool
    began: float


class PlainHits:
    """Those of one worker. `state` is what the application's lifespan made."""

    def __init__(self, settings: Settings, state: dict[str, Any]) -> None:
        self._is_limited = settings.rate_limit_per_s > 0 or "hits:write" in settings.keyed
        self._is_truncating = settings.track_ip == "truncated"
        self._honours_dnt = settings.honour_dnt
        self._value = state["trackers"].known
        self._offer = state["hits"].offer
        self._client, self._cookie = state["client"], state["cookie"]
        fixed = [*ANSWER_HEADERS.items(), ("x-content-type-options", "nosniff")]
        origins = state["origins"]
        self._of_origin = lru_cache(64)(lambda origin: [*fixed, *origins.headers(origin).items()])
        self._taken = 0
        self._stored: Counter[str] = Counter()
        self._bots = 0
        self._answered: Counter[tuple[str, str, int]] = Counter()

    def answer(self, scope: Any, protocol: Any, path: str) -> bool:
        """Take a plain hit, to be answered later. False: it is something else, or cannot be taken; nothing was done."""
        method, query = scope.method, scope.query_string
        if self._is_limited or not (method == "GET" or (method == "POST" and path != _PIXEL)):
            return False
        headers = _plain_headers(scope.headers)
        found = _ID.search(query)
        if headers is None or found is None or not _is_plain(query, path):
            return False
        tracker = _tracker(found[1])
        value = self._value(tracker.uuid)
        if value is None:
            return False
        self._taken += 1
        began = time.perf_counter() if not self._taken % _SAMPLE else 0.0
        record, answer, is_bot = self._made(scope, headers, tracker, value, path + query_text(query.encode()))
        done = partial(self._redeem, _Ticket(protocol, path, method, answer, is_bot, began))
        is_taken: bool = self._offer(tracker.key, record, done)
        return is_taken

    def _made(
        self, scope: Any, headers: dict[str, str], tracker: _Tracker, value: str, target: str
    ) -> tuple[bytes, list[tuple[str, str]], bool]:
        """The record of a hit, the headers of its answer, and whether a machine sent it."""
        given, epoch_ms, user = headers.get, time.time_ns() // 1_000_000, _NIL
        address, is_proxied = self._client.found(scope.client.rpartition(":")[0], given("x-forwarded-for", ""))
        scheme, host = "", ""
        if is_proxied:
            scheme, host = last(given("x-forwarded-proto", "")), last(given("x-forwarded-host", ""))
        url = base(scope.scheme, scheme, host or given("host", ""), scope.server) + target
        answer = self._of_origin(given("origin"))
        is_private = given("sec-gpc") == "1" or (self._honours_dnt and given("dnt") == "1")
        if not is_private:
            user = cookie.user_id((given("cookie", ""),)) or uuid7_text(epoch_ms)
            answer = [*answer, ("set-cookie", self._cookie.header(user))]
        if is_private or self._is_truncating:
            address = truncated(address)
        hit = hits.made(tracker.text, value, user, address, given("user-agent", "")[: hits.USER_AGENT_MAX], url)
        return hits.encoded(hit), answer, hit.is_bot

    def _redeem(self, ticket: _Ticket, outcome: Stored | TallybookError) -> None:
        """Answer a hit of which is known what became of it."""
        protocol, path, method, headers, is_bot, began = ticket
        if isinstance(outcome, TallybookError):
            outcome.headers = {**outcome.headers, **{name: text for name, text in headers if name != "set-cookie"}}
            status, problem, body = rendered(outcome)
            HITS_REJECTED.labels(REASONS.get(outcome.code, "malformed")).inc()
            self._answered[path, method, status] += 1
            protocol.response_bytes(status, problem, body)
            return
        self._stored[outcome] += 1
        self._bots += is_bot
        if path == _PIXEL:
            self._answered[path, method, 200] += 1
            protocol.response_bytes(200, [*headers, ("content-type", "image/gif")], GIF)
        else:
            self._answered[path, method, 204] += 1
            protocol.response_empty(204, headers)
        if began:
            HTTP_SECONDS.labels(f"{method} {path}").observe(time.perf_counter() - began)

    def report(self) -> None:
        """Bring the numbers of the hits since the last time into the metrics."""
        answered, self._answered = self._answered, Counter()
        stored, self._stored = self._stored, Counter()
        bots, self._bots = self._bots, 0
        for (path, method, status), count in answered.items():
            HTTP_REQUESTS.labels(path, method, str(status)).inc(count)
        for outcome, count in stored.items():
            HITS.labels(outcome).inc(count)
        HITS_BOT.inc(bots)


def _plain_headers(headers: Any) -> dict[str, str] | None:
    """The headers by name; None where one came twice, is not of ASCII (`items` leaves such out), or asks for more than
    a plain hit."""
    pairs, names = headers.items(), headers.keys()
    given = dict(pairs)
    if len(pairs) != len(names) or len(given) != len(names) or not _OTHERS.isdisjoint(given):
        return None
    return given if given.get("content-length", "0") == "0" else None


def _is_plain(query: str, path: str) -> bool:
    """Whether nothing else in the query can be a parameter `id`, escaped or not, and all of it is within bounds."""
    is_one = query.count("id=") == 1 and "%6" not in query
    return is_one and len(query) <= URL_MAX - len(path) and query.count("&") < PARAMETERS_MAX


@lru_cache(_REMEMBERED)
def _tracker(text: str) -> _Tracker:
    uuid = UUID(text)
    return _Tracker(uuid, str(uuid), uuid.bytes)
