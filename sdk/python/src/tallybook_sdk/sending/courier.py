"""Decide what to send, when, and what an answer means. No thread, no socket, no clock, no randomness of its own.

    next(now)                      Send | Wait | None (nothing to do)
    answered(send, result, now)    book the outcome

Each route has one batch in flight and a backoff of its own, so a full record log never delays clicks. A batch is
repeated with the same bytes until there is an answer. Whoever calls holds the client's lock.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tallybook_sdk.models import Limits
from tallybook_sdk.sending.answers import Answer, Failure, Paused, Repeat, Settled, Split, verdict
from tallybook_sdk.sending.batch import CLICKS, EVENTS, ROUTES, Batch, Instant, Route
from tallybook_sdk.sending.queue import Store
from tallybook_sdk.sending.report import Books, Report, total

_LIMITS = msgspec.json.Decoder(Limits)

#: Backoff: a random part of the first wait, doubled after each failure, up to the longest. In seconds.
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.2, 30.0
#: Seconds until a route that refuses the key, or is not there, is tried again.
PAUSE_S = 30.0
#: Seconds between two questions for the limits, and after one that failed.
LIMITS_AGE_S, LIMITS_RETRY_S = 3600.0, 60.0
#: Seconds before the end of the window of clicks in which none is sent any more, beside the time-out of an attempt.
_MARGIN_S = 5.0
#: Seconds by which the clocks may differ before clicks are corrected.
_OFFSET_MIN_S = 2.0
#: Rejections that wait for the callback. More are counted in the report alone.
_REJECTIONS_MAX = 1000


class Send(NamedTuple):
    """Send this. Without a batch it asks for the limits."""

    batch: Batch | None
    sent_at: Instant


class Wait(NamedTuple):
    """Wait until then, by the clock that never steps, or until there is something new."""

    until: float


class Rejected(NamedTuple):
    """A record that will not be stored: `item` as it was sent, and the reason."""

    route: str
    item: Any
    code: str
    pointer: str
    detail: str


class _Way:
    """The state of one route."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.books = Books()
        #: The batch in flight, and behind it the other parts of one that was split.
        self.batches: deque[Batch] = deque()
        self.failures = 0
        #: Before these moments nothing is sent: the backoff, which `hurry` ends, and `Retry-After`, which holds.
        self.backoff_until = self.held_until = 0.0
        self.last_sent = 0.0
        self.state = "ok"


class Courier:
    """Move records out of a store, route by route."""

    def __init__(
        self, store: Store, *, random: Callable[[], float], timeout_s: float, wants_items: bool = False
    ) -> None:
        self._store, self._random, self._timeout_s = store, random, timeout_s
        self._ways = {route: _Way(route) for route in ROUTES}
        self._limits = Limits()
        #: Bytes of a body that the service takes.
        self.bytes_max = {CLICKS: self._limits.clicks.bytes_max, EVENTS: self._limits.events.bytes_max}
        self._limits_due = float("-inf")
        self._wants_items = wants_items
        #: What the driver passes on outside of the lock: rejections, and how often what went wrong.
        self.rejections: list[Rejected] = []
        self.notices: Counter[tuple[str, str, str]] = Counter()
        #: Seconds that the service's clock is ahead, where that is worth a correction.
        self.offset_s = 0.0

    # -- records -------------------------------------------------------------------------------------------------------

    def books(self, route: Route) -> Books:
        """Return the books of a route."""
        return self._ways[route].books

    def is_due(self, route: Route) -> bool:
        """Return whether something of a route waits, so that the moment to look at it is known."""
        return bool(self._ways[route].batches) or self._store.due(route) is not None

    def reject(self, route: Route, weight: int, rejected: Rejected) -> None:
        """Book records that will not be stored, for a reason."""
        self.books(route).rejected[rejected.code] += weight
        self.notices[route.name, rejected.code, rejected.detail] += weight
        if self._wants_items and len(self.rejections) < _REJECTIONS_MAX:
            self.rejections.append(rejected)

    def adopt(self, now: Instant) -> None:
        """Continue with what processes that are gone have left."""
        batches, weights = self._store.adopt(now)
        for batch in batches:
            self._ways[batch.route].batches.append(batch)
        for route, weight in weights.items():
            self.books(route).adopted += weight

    # -- sending -------------------------------------------------------------------------------------------------------

    def next(self, now: Instant) -> Send | Wait | None:
        """Return what to do now."""
        soonest: float | None = None
        for way in sorted(self._ways.values(), key=lambda way: way.last_sent):
            self._give_up(way, now)
            until = self._ready_at(way)
            if until is not None and until <= now.mono:
                return self._send(way, now)
            if until is not None:
                soonest = until if soonest is None else min(soonest, until)
        return None if soonest is None else Wait(soonest)

    def _ready_at(self, way: _Way) -> float | None:
        due = 0.0 if way.batches else self._store.due(way.route)
        return None if due is None else max(due, way.backoff_until, way.held_until)

    def _send(self, way: _Way, now: Instant) -> Send | Wait | None:
        if way.route.is_windowed and now.mono >= self._limits_due:
            self._limits_due = now.mono + LIMITS_RETRY_S
            return Send(None, now)
        if not way.batches:
            batch = self._store.cut(way.route, self.offset_s, now)
            if batch is None:
                return self.next(now)
            way.batches.append(batch)
        batch = way.batches[0]
        if batch.first_sent is None:
            batch.first_sent = now
            self._store.mark(batch)
        way.last_sent = now.mono
        way.books.requests += 1
        way.books.retries += batch.attempts > 0
        way.books.bytes += len(batch.body)
        batch.attempts += 1
        return Send(batch, now)

    def _give_up(self, way: _Way, now: Instant) -> None:
        """Drop what may have been counted and whose ids the service may have forgotten: a repeat could count twice."""
        if not way.route.is_windowed:
            return
        window_s = self._limits.clicks.window_s - self._timeout_s - _MARGIN_S
        for batch in [one for one in way.batches if one.first_sent and now.since(one.first_sent) >= window_s]:
            way.batches.remove(batch)
            self._drop(way, batch, "outcome_unknown")

    def _book_lost(self) -> None:
        for route, weight in self._store.lost.items():
            self.books(route).dropped["spool_damaged"] += weight
        self._store.lost.clear()

    def _drop(self, way: _Way, batch: Batch, reason: str) -> None:
        way.books.dropped[reason] += batch.weight
        self._store.done(batch)

    # -- answers -------------------------------------------------------------------------------------------------------

    def answered(self, send: Send, answer: Answer | Failure, now: Instant) -> None:
        """Book what an answer says, or that none came."""
        batch = send.batch
        if batch is None:
            self._take_limits(answer, send.sent_at, now)
            return
        way = self._ways[batch.route]
        if not way.batches or way.batches[0] is not batch:  # given up meanwhile
            return
        means = verdict(batch, answer, now)
        if isinstance(means, Settled):
            self._settle(way, batch, means)
        elif isinstance(means, Split):
            self._split(way, send, batch, means)
        else:
            self._put_off(way, send, batch, means, now)

    def _settle(self, way: _Way, batch: Batch, means: Settled) -> None:
        weights = batch.weights() if means.duplicates or means.rejected else []
        duplicate = sum(weights[index] for index in means.duplicates)
        refused = sum(weights[index] for index, *_ in means.rejected)
        way.books.duplicate += duplicate
        way.books.stored += batch.weight - duplicate - refused
        raw = batch.raw() if means.rejected and self._wants_items else []
        for index, code, pointer, detail in means.rejected:
            item = msgspec.json.decode(raw[index]) if raw else None
            self.reject(way.route, weights[index], Rejected(way.route.name, item, code, pointer, detail))
        self._finish(way, batch)

    def _split(self, way: _Way, send: Send, batch: Batch, means: Split) -> None:
        self._forget_attempt(send, batch)
        if batch.items > 1:
            way.batches.popleft()
            way.batches.extendleft(reversed(self._store.split(batch)))
            way.failures = 0
            return
        item = msgspec.json.decode(batch.raw()[0]) if self._wants_items else None
        self.reject(way.route, batch.weight, Rejected(way.route.name, item, means.code, "", means.detail))
        self._finish(way, batch)

    def _finish(self, way: _Way, batch: Batch) -> None:
        way.batches.popleft()
        self._store.done(batch)
        way.failures = 0
        way.backoff_until = way.held_until = 0.0
        way.state = "ok"

    def _put_off(self, way: _Way, send: Send, batch: Batch, means: Paused | Repeat, now: Instant) -> None:
        if isinstance(means, Paused):
            self._forget_attempt(send, batch)
            way.state, wait_s = means.state, PAUSE_S
        else:
            if not means.is_attempt:
                self._forget_attempt(send, batch)
            way.state = "retrying"
            wait_s = self._random() * min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(way.failures, 60))
            if means.retry_after_s is not None:
                way.held_until = now.mono + means.retry_after_s
        way.failures += 1
        way.backoff_until = now.mono + wait_s
        self.notices[way.route.name, way.state, means.detail] += 1

    def _forget_attempt(self, send: Send, batch: Batch) -> None:
        """Forget an attempt that counted nothing. It says nothing about those before."""
        if batch.first_sent is send.sent_at:
            batch.first_sent = None
            self._store.mark(batch)

    # -- limits and clocks ---------------------------------------------------------------------------------------------

    def _take_limits(self, answer: Answer | Failure, sent_at: Instant, now: Instant) -> None:
        if isinstance(answer, Failure) or answer.status not in (200, 404):
            return  # asked again after LIMITS_RETRY_S
        self._limits_due = now.mono + LIMITS_AGE_S
        if answer.status == 404:
            return
        try:
            self._limits = _LIMITS.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        self.bytes_max.update({CLICKS: self._limits.clicks.bytes_max, EVENTS: self._limits.events.bytes_max})
        if isinstance(self._limits.now, datetime):
            half = (now.mono - sent_at.mono) / 2
            offset_s = self._limits.now.timestamp() + half - now.wall
            self.offset_s = offset_s if abs(offset_s) > _OFFSET_MIN_S else 0.0

    # -- flush, close and report ---------------------------------------------------------------------------------------

    def hurry(self) -> dict[Route, int]:
        """Send what is here at once: end every backoff, but keep `Retry-After`. Return the last serial numbers."""
        for way in self._ways.values():
            way.backoff_until = 0.0
        return {route: self._store.seal(route) for route in ROUTES}

    def is_settled(self, serials: Mapping[Route, int]) -> bool:
        """Return whether all is settled that was there when `hurry` returned these numbers."""
        return all(self._store.is_settled(route, serial) for route, serial in serials.items())

    def abandon(self) -> None:
        """Give up what is left. What was sent may be stored or not; what a durable store has stays there."""
        for way in self._ways.values():
            if not self._store.is_durable:
                for batch in way.batches:
                    self._drop(way, batch, "outcome_unknown" if batch.first_sent else "closed")
                if left := self._store.drain(way.route):
                    way.books.dropped["closed"] += left
            way.batches.clear()
        self.end("closed")

    def end(self, state: str) -> None:
        """Note why nothing is sent any more."""
        for way in self._ways.values():
            if way.state != "off":
                way.state = state

    def report(self, now: Instant) -> Report:
        """Return the books of this moment."""
        self._book_lost()
        routes = {}
        for route, way in self._ways.items():
            oldest = self._store.oldest(route)
            age_s = 0.0 if oldest is None else max(0.0, now.mono - oldest)
            routes[route.name] = way.books.snapshot(self._store.weight(route), age_s, way.state)
        return total(routes, self.offset_s)
