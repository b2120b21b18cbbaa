"""Report liveness, readiness, and where every click and record is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.state import Request
from shared.counting import keys
from shared.counting.accounting import Account, account
from shared.record_log.accounting import TableAccount, accounts
from shared.stores.failures import judge
from shared.stores.postgres import statement
from shared.stores.redis_client import masters

State = Literal["ok", "degraded", "unavailable"]

#: Share of the lane's ring at which a worker says that it is in trouble, and at which it says that it is full.
_LANE_DEGRADED, _LANE_UNAVAILABLE = 0.5, 0.99
#: Seconds that a closed minute may wait for Postgres before the aggregator is called late.
_LATE_S = 30.0
#: Seconds for which the answer of a store is reused, so that probes are no load.
_BELIEVED_S = 1.0
#: Seconds that a store may take to answer.
_PATIENCE_S = 1.0

_SINKS = statement("ingest/http/health.sinks.sql")
_OUTBOX = statement("ingest/http/health.outbox.sql")


class Live(Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Struct):
    """`degraded`: clicks are accepted, but something that they or the reads need is away. `unavailable`: they are
    not."""

    status: State
    checks: Annotated[
        dict[str, State],
        Meta(
            description="State of lanes, redis, postgres, minutes, banners, trackers, keys, log, its sinks, and outbox"
        ),
    ]
    reasons: Annotated[
        list[str],
        Meta(description="What is not well and why, as `redis: NOAUTH`: the code of the error; `logs` have the rest"),
    ] = []


class Probe:
    """Check the stores, at most once a second."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._states: dict[str, State] = {}
        self._late_since: dict[bytes, float] = {}
        self._lock = asyncio.Lock()
        self._reasons: dict[str, list[str]] = {}

    @property
    def reasons(self) -> list[str]:
        """Return why stores are not well, and why sinks and the outbox stand still."""
        return [reason for _, reasons in sorted(self._reasons.items()) for reason in reasons]

    async def states(self, request: Request) -> dict[str, State]:
        """Return the state of each store."""
        async with self._lock:
            if time.monotonic() - self._asked_at > _BELIEVED_S:
                names = (
                    *(("redis", self._redis), ("postgres", _postgres)),
                    *(("minutes", self._minutes), ("sinks", self._sinks), ("outbox", self._outbox)),
                )
                self._reasons = {}
                states = await asyncio.gather(*(self._asked(name, check, request) for name, check in names))
                self._states = dict(zip((name for name, _ in names), states, strict=True))
                self._asked_at = time.monotonic()
            return dict(self._states)

    async def _asked(self, name: str, check: Callable[[Request], Awaitable[State]], request: Request) -> State:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await check(request)
        except Exception as error:  # any failure means that the store is not known to be well
            failure = judge(error)
            if failure.kind == "setup":
                self._reasons[name] = [f"{name}: {failure.code}"]
            return "degraded"

    async def _redis(self, request: Request) -> State:
        redis, counter = request.state.redis, request.state.counter
        for to in (await masters(redis)).values():
            await redis.ping(**to)
        if counter.redis_failing_s() <= _BELIEVED_S:
            return "ok"
        self._reasons["redis"] = [f"redis: {counter.trouble}"]
        return "degraded"

    async def _minutes(self, request: Request) -> State:
        """Return degraded when a part of a past minute has waited too long for an aggregator.

        A late click opens a minute that is long over, so its age says nothing. The wait counts from the first sight
        of the part.
        """
        settings, now = request.state.settings, time.monotonic()
        over = time.time() - settings.minute_s - settings.grace_s - _LATE_S
        seen: dict[bytes, float] = {}
        for shard in range(settings.shards):
            oldest = await request.state.redis.zrange(keys.prefix(shard) + "live", 0, 0, withscores=True)
            for name, minute in cast(list[tuple[bytes, float]], oldest):
                if minute * settings.minute_s < over:
                    seen[name] = self._late_since.get(name, now)
        self._late_since = seen
        return "degraded" if any(now - since >= _LATE_S for since in seen.values()) else "ok"

    async def _sinks(self, request: Request) -> State:
        """Return degraded when a partition of the log has no owner, or an owner that waits: its records wait too."""
        rows = await request.state.pool.fetch(_SINKS)
        self._reasons["sinks"] = [f"{row['sink']}: {row['reason']}" for row in rows]
        return "degraded" if rows else "ok"

    async def _outbox(self, request: Request) -> State:
        """Return degraded when no relay takes waiting events, or a transaction holds them up."""
        rows = await request.state.outbox_pool.fetch(_OUTBOX, _LATE_S)
        self._reasons["outbox"] = [f"outbox: {row['reason']}" for row in rows]
        return "degraded" if rows else "ok"


async def _postgres(request: Request) -> State:
    await request.state.pool.fetchval("SELECT 1")
    return "ok"


async def live(request: Request) -> Response:
    """Answer without asking a store, because a restart would not bring one back."""
    return as_json(Live())


async def ready(request: Request) -> Response:
    """Answer 200 while clicks are accepted. `status` says whether all is well."""
    fill = request.state.counter.fill_ratio()
    checks: dict[str, State] = {
        "lanes": "unavailable" if fill >= _LANE_UNAVAILABLE else "degraded" if fill >= _LANE_DEGRADED else "ok",
        "banners": "ok" if request.state.banners.is_loaded() else "unavailable",
        "trackers": "ok" if request.state.trackers.is_loaded() else "degraded",
        **_keys(request),
        "log": "degraded" if _log_reasons(request) else "ok",
        **await request.state.probe.states(request),
    }
    worst: State = "ok"
    for state in ("degraded", "unavailable"):
        if state in checks.values():
            worst = state
    reasons = [*_log_reasons(request), *request.state.probe.reasons]
    return as_json(Ready(worst, checks, reasons), status=503 if worst == "unavailable" else 200)


def _keys(request: Request) -> dict[str, State]:
    """Return the state of the keys, where any are needed. Until they are read once, each depends on Postgres."""
    keys = request.state.keys
    return {} if keys is None else {"keys": "ok" if keys.is_loaded() else "degraded"}


def _log_reasons(request: Request) -> list[str]:
    """Return why the log takes no records, if that lasts for a while."""
    producers = (request.state.hits, request.state.events)
    codes = {producer.trouble for producer in producers if producer.failing_s() > _BELIEVED_S}
    return sorted(f"log: {code}" for code in codes)


class Accounts(Account, frozen=True, rename="camel"):
    """Clicks by where they are, and rows of each table of ClickHouse."""

    records: dict[str, TableAccount]


async def accounting(request: Request) -> Response:
    """Report where every accepted click and record is."""
    state = request.state
    async with state.stock_taking:  # it reads everything that is open in Redis: one at a time
        clicks = await account(state.settings, state.redis, state.pool, state.reader.fleet)
        records = await accounts(state.log, state.pool, state.settings.journal_dir)
        return as_json(Accounts(**msgspec.structs.asdict(clicks), records=records))
