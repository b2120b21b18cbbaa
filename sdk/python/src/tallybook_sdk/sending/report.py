"""Where every record is: the books of a client, and the snapshot of them that `report()` returns."""

from collections import Counter

import msgspec


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of a client, in total or of one route. Clicks and impressions are counted by their `count`.

    recorded + adopted = stored + duplicate + sum(rejected) + sum(dropped) + pending
    """

    #: Calls of this process, and records of former processes that were found in the spool.
    recorded: int = 0
    adopted: int = 0
    #: What an answer called accepted, and what an answer called a duplicate: an earlier attempt had been accepted.
    stored: int = 0
    duplicate: int = 0
    #: By the code of the reason.
    rejected: dict[str, int] = {}
    #: By reason: queue_full, closed, outcome_unknown, off, spool_damaged.
    dropped: dict[str, int] = {}
    #: Neither sent nor given up yet, or sent and not answered yet.
    pending: int = 0
    #: Seconds since the oldest pending record; 0 without one.
    oldest_pending_s: float = 0.0
    #: Requests that records were sent with, how many of them were repeats, and the bytes of their bodies.
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    #: ok, retrying, unauthorized, misconfigured, closed, off.
    state: str = "ok"
    #: Seconds that the service's clock is ahead of this one.
    clock_offset_s: float = 0.0
    #: The same of each route.
    routes: dict[str, "Report"] = {}

    @property
    def difference(self) -> int:
        """Return what the books miss. It is 0 at every moment."""
        settled = self.stored + self.duplicate + sum(self.rejected.values()) + sum(self.dropped.values())
        return self.recorded + self.adopted - settled - self.pending


class Books:
    """Count what became of the records of one route. Whoever writes holds the client's lock."""

    def __init__(self) -> None:
        self.recorded = self.adopted = self.stored = self.duplicate = 0
        self.requests = self.retries = self.bytes = 0
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def snapshot(self, pending: int, oldest_pending_s: float, state: str) -> Report:
        """Return the books of this moment."""
        return Report(
            recorded=self.recorded,
            adopted=self.adopted,
            stored=self.stored,
            duplicate=self.duplicate,
            rejected=dict(self.rejected),
            dropped=dict(self.dropped),
            pending=pending,
            oldest_pending_s=oldest_pending_s,
            requests=self.requests,
            retries=self.retries,
            bytes=self.bytes,
            state=state,
        )


#: States of routes from good to bad: a client is as well as its worst route.
_STATES = ("ok", "retrying", "misconfigured", "unauthorized", "closed", "off")


def total(routes: dict[str, Report], clock_offset_s: float) -> Report:
    """Return the sum of the routes."""
    of = list(routes.values())
    rejected: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for one in of:
        rejected.update(one.rejected)
        dropped.update(one.dropped)
    return Report(
        recorded=sum(one.recorded for one in of),
        adopted=sum(one.adopted for one in of),
        stored=sum(one.stored for one in of),
        duplicate=sum(one.duplicate for one in of),
        rejected=dict(rejected),
        dropped=dict(dropped),
        pending=sum(one.pending for one in of),
        oldest_pending_s=max(one.oldest_pending_s for one in of),
        requests=sum(one.requests for one in of),
        retries=sum(one.retries for one in of),
        bytes=sum(one.bytes for one in of),
        state=max((one.state for one in of), key=_STATES.index),
        clock_offset_s=clock_offset_s,
        routes=routes,
    )
