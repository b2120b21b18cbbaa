"""Move events from the outbox in Postgres into `event_log` in ClickHouse, each committed event once.

    claim     the cursor row, under the next epoch               held by another relay: nothing to do
    pick      the rows behind the cursor whose transactions are over, in the order of (xid, id)
    deliver   intend, insert and record (`aggregator/delivery/engine.py`)

All that is known lies in the cursor row: whatever fails, the next relay claims the row and goes on from what it says.
So these are plain functions. `aggregator/outbox/relay_loop.py` calls them for ever; a task of Celery or a line of cron
calls `relay` now and then. They may all do so at once.

**The range of a batch is final.** Rows of transactions older than every running one can neither come nor go. So a
pending range gives the same rows again, byte for byte, and its token ends with a digest of them. Rows that have changed
(a restored database, another version of this file) have another digest, and then the relay asks the table.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from aggregator.delivery.engine import Refusals, deliver
from aggregator.delivery.waits import NeedsRepair
from aggregator.outbox import traces
from shared.integers import fitted_lines
from shared.runtime.process import is_gone
from shared.runtime.tasks import end
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import POSTGRES_ERRORS, statement

_CLAIM = statement("aggregator/outbox/relay.claim.sql")
_PICK = statement("aggregator/outbox/relay.pick.sql")
_INTEND = statement("aggregator/outbox/relay.intend.sql")
_DONE = statement("aggregator/outbox/relay.done.sql")
_BURY = statement("aggregator/outbox/relay.bury.sql")
_REPLAY = statement("aggregator/outbox/relay.replay.sql")
_REBASE = statement("aggregator/outbox/relay.rebase.sql")
_RELEASE = statement("aggregator/outbox/relay.release.sql")
_RENEW = statement("aggregator/outbox/relay.renew.sql")
_HOLD = statement("aggregator/outbox/relay.hold.sql")
_FREE = statement("aggregator/outbox/relay.free.sql")

TABLE = "event_log"
#: What aggregator/outbox/relay.pick.sql writes in a line, and what such lines are called.
COLUMNS = (
    *("event_id", "event_type", "event_date_time", "environment", "event_context", "metadata_version", "context"),
    *("outbox", "outbox_xid", "outbox_id"),
)
FORMAT = "JSONCompactEachRow"
#: What the lines have for a time that is none of ClickHouse's.
NO_TIME = "no DateTime64"
#: A context that is null is refused, and does not become {}. Times are in the form of ClickHouse itself: 25.8 takes
#: parts of a second before 1970 from one that it guesses, instead of adding them.
#: In a list, a truth beside a number is none: 25.8 cannot store it beside 1.5, and others make 1 of it.
AS_WRITTEN = {
    "input_format_null_as_default": 0,
    "date_time_input_format": "basic",
    "input_format_json_read_bools_as_numbers": 0,
    "input_format_json_read_bools_as_strings": 0,
}
#: Seconds for which the cursor is held without a word from its holder.
LEASE_S = 10.0
#: Bytes of the lines of one insert, beside the last row: well below what the gateway takes.
_BATCH_CHARACTERS = 32 << 20
#: Behind every row there can be.
_END = (str((1 << 64) - 1), (1 << 63) - 1)
#: Characters of an explanation that are kept.
_DETAIL_MAX = 1000

_T = TypeVar("_T")


class Lost(Exception):
    """Another relay holds the cursor. What was begun is in the cursor row, and that one finishes it."""


class Damaged(NeedsRepair):
    """What is pending is not what it was when it was noted, and the table has some of it. Audit it (docs/outbox.md)."""


class Younger(NeedsRepair):
    """The outbox holds ids of transactions that this cluster has not given out yet: it was restored into a younger one.
    New events would sort before the cursor and never be read. Rebase it (docs/outbox.md)."""


class Outbox(NamedTuple):
    """What a relay moves events between, and how many at a time."""

    #: Of asyncpg, to the database that has the outbox.
    pool: Any
    clickhouse: ClickHouse
    #: Rows of one insert at most.
    rows: int = 10_000
    #: Seconds that events wait for others, so that inserts are few. 0 takes what there is.
    wait_s: float = 0.0
    name: str = "event_log"


class Pending(NamedTuple):
    """A range from the cursor up to (xid, id) that may be on its way."""

    xid: int
    id: int
    rows: int
    token: str


class Batch(NamedTuple):
    """Rows that follow the cursor; empty when there are none."""

    rows: int
    xid: int
    id: int
    #: Seconds since the oldest of them was written.
    age_s: float
    lines: bytes
    token: str

    @property
    def pending(self) -> Pending:
        """Return what the cursor row says while the batch is on its way."""
        return Pending(self.xid, self.id, self.rows, self.token)

    @property
    def size(self) -> int:
        """The number of its records."""
        return self.rows


class Claim(NamedTuple):
    """The cursor as its holder knows it."""

    source: UUID
    epoch: int
    xid: int
    id: int
    pending: Pending | None
    #: Rows of the next batch at most, while a bad one is looked for.
    most: int | None
    refused: Refusals
    #: The next batch, if it was read while the former one was on its way, and is a full one: those are final.
    ahead: Batch | None = None


class Moved(NamedTuple):
    """What one step did. `more` says that another one would find something at once; if not, `wait_s` says when it
    might, as far as that is known."""

    stored: int = 0
    dead: int = 0
    age_s: float = 0.0
    more: bool = False
    wait_s: float | None = None
    #: Unix times between which ClickHouse took the rows.
    inserted: tuple[float, float] | None = None


async def relay(outbox: Outbox, owner: str, batches: int = 100) -> Moved | None:
    """Move what waits, a number of batches at most; None if another relay is at it. For whoever calls now and then.
    Raises what `step` does: call it again later, for nothing is lost."""
    claim = await claimed(outbox, owner)
    if claim is None:
        return None
    stored = dead = 0
    moved = Moved()
    for _ in range(batches):
        claim, moved = await step(outbox, claim)
        stored, dead = stored + moved.stored, dead + moved.dead
        if not moved.more:
            break
    await release(outbox, claim)
    return moved._replace(stored=stored, dead=dead)


async def claimed(outbox: Outbox, owner: str, lease_s: float = LEASE_S) -> Claim | None:
    """Take the cursor; None if another one holds it. Raises Younger, or one of POSTGRES_ERRORS."""
    row = await outbox.pool.fetchrow(_CLAIM, outbox.name, owner, lease_s)
    if row is None and await _is_freed(outbox):
        row = await outbox.pool.fetchrow(_CLAIM, outbox.name, owner, lease_s)
    if row is None:
        return None
    if row["highest_xid"] >= row["next_xid"]:
        # A statement that waited for the row sees it as another relay left it, but the clock of its own beginning.
        next_xid = await outbox.pool.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())")
        if row["highest_xid"] >= next_xid:
            await release(outbox, _claim(row))
            raise Younger(f"stored up to transaction {row['highest_xid']}, and this cluster is at {next_xid}")
    return _claim(row)


async def _is_freed(outbox: Outbox) -> bool:
    """Free the cursor if its holder has ended on this host. Return whether it is free now."""
    holder = await outbox.pool.fetchval("SELECT owner FROM tallybook_outbox_cursor WHERE name = $1", outbox.name)
    if holder is None or not is_gone(holder):
        return False
    await outbox.pool.execute(_FREE, outbox.name, holder)
    return True


async def hold(outbox: Outbox, claim: Claim, lease_s: float) -> None:
    """Renew the lease beside a step that takes long. It may be lost already. Raises POSTGRES_ERRORS."""
    await outbox.pool.execute(_HOLD, outbox.name, claim.epoch, lease_s)


async def step(outbox: Outbox, claim: Claim, lease_s: float = LEASE_S) -> tuple[Claim, Moved]:
    """Bring one batch to its end: that which is pending, or the next. Raises Lost, Damaged, one of POSTGRES_ERRORS or
    of CLICKHOUSE_ERRORS; `explain` says whether somebody has to mend something. Afterwards claim anew."""
    began = time.time()
    after, moved = await _step(outbox, claim, lease_s)
    if claim.pending is not None or claim.most is not None:  # what lies behind it was never looked at
        moved = moved._replace(more=True)
    if moved.stored and moved.inserted is not None and traces.is_on():
        times = traces.Times(began, *moved.inserted, time.time())
        await traces.tell(outbox.pool, (claim.xid, claim.id), (after.xid, after.id), moved.stored, times)
    return after, moved


async def _step(outbox: Outbox, claim: Claim, lease_s: float) -> tuple[Claim, Moved]:
    most = min(claim.most or outbox.rows, outbox.rows)
    delivery = _Delivery(outbox, claim._replace(ahead=None), lease_s)
    if claim.pending is not None:
        batch = await _again(outbox, claim, claim.pending)
        if batch.token != claim.pending.token and await _is_stored(outbox, claim, batch):
            await delivery.record(batch, None)
            return delivery.claim, delivery.moved
    else:
        batch = claim.ahead or await pick(outbox, claim, most)
        if not batch.rows or (batch.rows < most and 0 <= batch.age_s < outbox.wait_s):
            await delivery.hit(_RENEW)
            return delivery.claim, Moved(age_s=batch.age_s, wait_s=outbox.wait_s - batch.age_s if batch.rows else None)
    try:
        await deliver(delivery, batch)
    finally:
        await delivery.close()
    return delivery.claim, delivery.moved


class _Delivery:
    """One batch of an outbox on its way. `claim` and `moved` say how far it is."""

    def __init__(self, outbox: Outbox, claim: Claim, lease_s: float) -> None:
        self.claim = claim
        self.moved = Moved()
        self._outbox = outbox
        self._lease_s = lease_s
        self._ahead: asyncio.Task[Batch | None] | None = None
        self._inserted: tuple[float, float] | None = None

    @property
    def refused(self) -> Refusals:
        """How ClickHouse refused the last rows."""
        return self.claim.refused

    async def close(self) -> None:
        """Drop what is still being read ahead."""
        if self._ahead is not None:
            await end(self._ahead)
            self._ahead = None

    async def intend(self, batch: Batch) -> None:
        """Note the range and its token, unless a predecessor did."""
        if self.claim.pending != batch.pending:
            await self.hit(_INTEND, str(batch.xid), batch.id, batch.rows, batch.token, self.claim.most)
            self.claim = self.claim._replace(pending=batch.pending)

    def read_ahead(self, batch: Batch) -> None:
        """Read what follows a full batch."""
        if self.claim.most is None and batch.rows >= self._outbox.rows:
            self._ahead = asyncio.create_task(_ahead(self._outbox, self.claim, batch))

    async def insert(self, batch: Batch) -> None:
        """Insert the rows once. Raises CLICKHOUSE_ERRORS."""
        began = time.time()
        await self._outbox.clickhouse.insert(TABLE, batch.lines, batch.token, FORMAT, COLUMNS, AS_WRITTEN)
        self._inserted = (began, time.time())

    async def found(self, batch: Batch) -> int:
        """Return how many rows of the range the table has."""
        return await _found(self._outbox, self.claim, batch)

    def is_unfit(self, batch: Batch) -> bool:
        """Return whether the only row of a batch is one that no such table would take."""
        try:
            _, _, moment, _, event_context, version, context, *_ = json.loads(batch.lines)
        except RecursionError:
            return False
        return moment == NO_TIME or version < 0 or not isinstance(event_context, dict) or not isinstance(context, dict)

    async def half(self, batch: Batch) -> Batch:
        """Return the first half of a batch."""
        await self.close()
        self.claim = self.claim._replace(most=batch.rows // 2)
        return await pick(self._outbox, self.claim, batch.rows // 2)

    async def record(self, batch: Batch, refusal: Exception | None) -> None:
        """Move the cursor behind a batch that is stored, or whose only row becomes a dead letter."""
        outbox, claim, dead = self._outbox, self.claim, int(refusal is not None)
        refused = claim.refused.after(refusal)
        async with outbox.pool.acquire() as connection, connection.transaction():
            if refusal is not None:
                await connection.execute(_BURY, outbox.name, claim.epoch, refused.code, _clean(str(refusal)))
            await self.hit(_DONE, batch.rows - dead, dead, refused.code, outbox.rows, connection=connection)
        is_full = batch.rows >= (claim.most or outbox.rows) or len(batch.lines) >= _BATCH_CHARACTERS
        most = claim.most * 2 if claim.most and claim.most * 2 < outbox.rows else None
        ahead = None if self._ahead is None else await self._ahead
        self.claim = claim._replace(xid=batch.xid, id=batch.id, pending=None, most=most, refused=refused, ahead=ahead)
        self.moved = Moved(batch.rows - dead, dead, batch.age_s, more=is_full, inserted=self._inserted)

    async def patiently(self, store: str, step: Callable[[], Awaitable[_T]]) -> _T:
        """Run the step once: whoever called the relay repeats it, from the cursor row."""
        return await step()

    async def hit(self, sql: str, *arguments: Any, connection: Any = None) -> None:
        """Run an update of the cursor row, which has to be of our epoch. Raises Lost."""
        name, epoch = self._outbox.name, self.claim.epoch
        status = await (connection or self._outbox.pool).execute(sql, name, epoch, self._lease_s, *arguments)
        if status != "UPDATE 1":
            raise Lost(f"the outbox {name} is held by another relay, no more as epoch {epoch}")


async def _ahead(outbox: Outbox, claim: Claim, batch: Batch) -> Batch | None:
    """Return what follows a full batch that is on its way, if that is a full one, too."""
    try:
        following = await pick(outbox, claim._replace(xid=batch.xid, id=batch.id), outbox.rows)
    except POSTGRES_ERRORS:  # it is read again, and then the error is dealt with
        return None
    return following if following.rows == outbox.rows else None


async def pick(outbox: Outbox, claim: Claim, most: int, end: tuple[str, int] = _END) -> Batch:
    """Return the rows that follow the cursor, a number of them at most, up to `end`."""
    row = await outbox.pool.fetchrow(_PICK, str(claim.xid), claim.id, *end, most, _BATCH_CHARACTERS, claim.source)
    if not row["rows"]:
        return Batch(0, claim.xid, claim.id, 0.0, b"", "")
    lines = fitted_lines(row["lines"].encode())
    digest = hashlib.blake2b(lines, digest_size=12).hexdigest()
    xid, id_ = row["last"]
    token = f"outbox-{claim.source}-{claim.xid}.{claim.id}-{xid}.{id_}-{digest}"
    return Batch(row["rows"], xid, id_, row["age_s"], lines, token)


async def release(outbox: Outbox, claim: Claim) -> None:
    """Give the cursor back, so that nobody waits for the lease. It may be lost already."""
    await outbox.pool.execute(_RELEASE, outbox.name, claim.epoch)


async def replay_dead(outbox: Outbox, event_ids: list[UUID] | None = None) -> int:
    """Publish dead letters again, those of these events or all that wait. Return how many. Can be repeated."""
    return int(await outbox.pool.fetchval(_REPLAY, outbox.name, event_ids))


async def rebase(outbox: Outbox, opened_at: datetime) -> int:
    """After a restore into a younger cluster, with every relay stopped: let the old events that wait sort before all
    new ones, and forget those that were delivered. `opened_at` is when the application could first write to the
    restored database. Return how many events wait now. Raises Damaged, POSTGRES_ERRORS or CLICKHOUSE_ERRORS."""
    row = await outbox.pool.fetchrow("SELECT * FROM tallybook_outbox_cursor WHERE name = $1", outbox.name)
    claim = _claim(row)
    xid, id_, pending = claim.xid, claim.id, claim.pending
    if pending is not None:
        found = await _found(outbox, claim, pending)
        if found not in (0, pending.rows):
            raise Damaged(f"of {pending.rows} pending rows up to {pending.xid}.{pending.id} {found} are stored")
        if found:
            xid, id_ = pending.xid, pending.id
    return int(await outbox.pool.fetchval(_REBASE, outbox.name, opened_at, str(xid), id_))


def _claim(row: Any) -> Claim:
    pending = None
    if row["pending_xid"] is not None:
        pending = Pending(row["pending_xid"], row["pending_id"], row["pending_rows"], row["pending_token"])
    refused = Refusals(row["refused_code"], row["refused_times"])
    return Claim(row["source"], row["epoch"], row["xid"], row["id"], pending, row["most"], refused)


async def _again(outbox: Outbox, claim: Claim, pending: Pending) -> Batch:
    """Read exactly the range that is pending."""
    batch = await pick(outbox, claim, pending.rows + 1, (str(pending.xid), pending.id))
    if batch.rows != pending.rows:
        raise Damaged(f"{pending.rows} rows were pending up to {pending.xid}.{pending.id}, and {batch.rows} are there")
    return batch


async def _is_stored(outbox: Outbox, claim: Claim, batch: Batch) -> bool:
    """Whether the table has a range whose rows have changed since it was noted. Some of it is nothing that could be
    decided here."""
    found = await _found(outbox, claim, batch)
    if found not in (0, batch.rows):
        raise Damaged(f"of {batch.rows} pending rows that have changed up to {batch.xid}.{batch.id} {found} are stored")
    return found > 0


async def _found(outbox: Outbox, claim: Claim, batch: Batch | Pending) -> int:
    """Return how many rows of a range the table has."""
    places = {"of": str(claim.source), "x": claim.xid, "i": claim.id, "hx": batch.xid, "hi": batch.id}
    rows = await outbox.clickhouse.query(
        "SELECT count() FROM event_log WHERE outbox = {of:UUID} AND (outbox_xid, outbox_id) > ({x:UInt64}, {i:UInt64})"
        " AND (outbox_xid, outbox_id) <= ({hx:UInt64}, {hi:UInt64})",
        places,
    )
    return int(rows[0][0])


def _clean(detail: str) -> str:
    """Text that Postgres takes: without NUL and without halves of characters."""
    return detail[:_DETAIL_MAX].replace("\0", "\\0").encode(errors="backslashreplace").decode()
