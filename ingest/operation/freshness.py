"""Say until when the tables of ClickHouse are complete, and how long a minute of clicks has waited for Postgres.

The clock of a record is that of the record log: when it came in. So a table is complete for what came in before
`freshUntil`. What happened earlier and comes in later is no part of that.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from msgspec import UNSET, Meta, Struct, UnsetType, field
from starlette.responses import Response

from ingest.http.json_answers import as_json
from ingest.http.query import query
from ingest.state import Request, State
from shared.counting import keys
from shared.errors import LogUnavailable, RedisUnavailable, TallybookError
from shared.record_log.record_log import Limit, LogDamaged, Position
from shared.stores.postgres import rows, statement
from shared.stores.redis_client import REDIS_ERRORS

#: Seconds for which what was found is reused.
_BELIEVED_S = 1.0
#: Entries of the outbox that are counted.
_COUNTED_MOST = 100_000
#: The table of the outbox.
_EVENT_LOG = "event_log"
#: How the oldest record is read.
_ONE = Limit(records=1, bytes=1 << 20, wait_s=0)

_SINKS = statement("ingest/operation/freshness.sinks.sql")
_OUTBOX = statement("ingest/operation/freshness.outbox.sql")


class TableFreshness(Struct, kw_only=True, rename="camel"):
    """How far behind a table of ClickHouse is."""

    fresh_until: Annotated[datetime, Meta(tz=True, description="Everything that came in before is in the table")]
    oldest_s: Annotated[float, Meta(ge=0, description="Seconds since the oldest waiting record came in; 0 without one")]
    waiting: Annotated[int, Meta(ge=0, description="Records on their way; one of events holds up to 1,000 events")]
    state: Annotated[Literal["moving", "stopped"], Meta(description="`stopped`: something has to be mended first")]
    reason: Annotated[str, Meta(description="Why it is stopped: the code of the error")] | UnsetType = UNSET


class MinutesFreshness(Struct, kw_only=True, rename="camel"):
    """How long clicks wait for Postgres. They are counted meanwhile."""

    oldest_s: Annotated[
        float, Meta(ge=0, description="Seconds since the end of the oldest minute that is not in Postgres; 0 without")
    ]


class Freshness(Struct, kw_only=True, rename="camel"):
    """How far behind what is stored is."""

    as_of: Annotated[datetime, Meta(tz=True, description="When this was true, in UTC")]
    tables: Annotated[dict[str, TableFreshness], Meta(description="By table of ClickHouse")] = field(
        default_factory=dict
    )
    minutes: MinutesFreshness


class Clock:
    """Look at the stores of one worker, at most once a second."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")
        self._found: Freshness | None = None

    async def now(self, state: State) -> Freshness:
        """Return how far behind everything is. Raise PostgresUnavailable, RedisUnavailable or LogUnavailable."""
        async with self._lock:
            if self._found is None or time.monotonic() - self._asked_at > _BELIEVED_S:
                asked_at = time.monotonic()
                self._found = await _looked(state)
                self._asked_at = asked_at
            return self._found

    async def until(self, state: State, table: str) -> datetime | UnsetType:
        """Return the moment until which a table is complete; UNSET where nobody can say."""
        try:
            found = (await self.now(state)).tables.get(table)
        except TallybookError:
            return UNSET
        return UNSET if found is None else found.fresh_until


async def freshness(request: Request) -> Response:
    """Return how far behind the tables and minutes are."""
    query(request, ())
    return as_json(await request.state.freshness.now(request.state))


async def _looked(state: State) -> Freshness:
    as_of = time.time()  # before the looks: what comes in meanwhile is behind it
    tables: dict[str, TableFreshness] = {}
    by_sink: dict[str, list[Any]] = {}
    for row in await rows(state.pool, _SINKS, state.log.name):
        by_sink.setdefault(row["sink"], []).append(row)
    for sink, cursors in by_sink.items():
        try:
            stocks = [await _waiting(state, row) for row in cursors]
        except LogDamaged as error:  # trimmed between two looks; a repeat begins with a new one
            raise LogUnavailable from error
        oldest = [at for _, at in stocks if at is not None]
        reasons = [row["reason"] for row in cursors if row["reason"]]
        tables[sink] = _table(as_of, sum(waiting for waiting, _ in stocks), oldest, reasons)
    for row in await rows(state.outbox_pool, _OUTBOX, _COUNTED_MOST):
        oldest = [row["oldest"].timestamp()] if row["oldest"] else []
        tables[_EVENT_LOG] = _table(as_of, row["waiting"], oldest, [row["reason"]] if row["reason"] else [])
    minutes = MinutesFreshness(oldest_s=await _oldest_minute_s(state, as_of))
    return Freshness(as_of=_moment(as_of), tables=tables, minutes=minutes)


async def _waiting(state: State, row: Mapping[str, Any]) -> tuple[int, float | None]:
    """Return how many records of a partition wait for a sink, and when the oldest came in, in epoch seconds."""
    at = Position(row["next_offset"], row["next_seq"])
    stock = await state.log.stock(row["topic"], row["partition"], at)
    if not stock.waiting:
        return 0, None
    reader = state.log.reader(row["topic"], row["partition"], row["sink"])
    try:
        records = (await reader.read(at, {}, _ONE)).records
    finally:
        await reader.close()
    return stock.waiting, records[0].time_ms / 1000 if records else None


def _table(as_of: float, waiting: int, oldest: Sequence[float], reasons: Sequence[str]) -> TableFreshness:
    until = min([as_of, *oldest])
    return TableFreshness(
        fresh_until=_moment(until),
        oldest_s=round(as_of - until, 3),
        waiting=waiting,
        state="stopped" if reasons else "moving",
        reason=reasons[0] if reasons else UNSET,
    )


async def _oldest_minute_s(state: State, now: float) -> float:
    oldest = now
    try:
        for shard in range(state.settings.shards):
            live = await state.redis.zrange(keys.prefix(shard) + "live", 0, 0, withscores=True)
            for _, minute in cast(list[tuple[bytes, float]], live):
                oldest = min(oldest, (minute + 1) * state.settings.minute_s)
    except REDIS_ERRORS as error:
        raise RedisUnavailable from error
    return round(now - oldest, 3)


def _moment(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)
