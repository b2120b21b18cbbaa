"""The relay: from the outbox in Postgres into `event_log` in ClickHouse, each committed event once.

    claim     the cursor row, under the next epoch               held by another one: nothing to do
    pick      the rows behind the cursor whose transactions are over, in the order of (xid, id)
    intend    note the range and the token of its insert         refused: another one has the cursor, drop the batch
    insert    under that token
    done      the cursor, and a dead letter if there is one, in one transaction

All that is known lies in the cursor row: whatever fails, whoever comes next claims the row and goes on from what it
says. So these are plain functions: `aggregator/outbox/relay_loop.py` calls them for ever, a task of Celery or a line of
cron calls `relay` now and then, and they may all do so at once.

**The range of a batch is final.** Rows of transactions older than every running one can neither come nor go, so what is
pending gives the same rows again, byte for byte, and its token says so: it ends with a digest of them. Rows that are
not what they were (a restored database, another version of this file) have another digest, and then the table is asked.

**A batch that holds a row which ClickHouse refuses** shrinks to its first half, down to one row, which becomes a dead
letter; then batches grow again. First the table is asked whether it has anything of the range: if so, a view failed
after the rows were written, and another token would store them twice; that is a matter of set-up.
"""

import asyncio
import hashlib
import json
import time
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from aggregator.outbox import traces
from shared.integers import fitted_lines
from shared.runtime.crash_points import crash_point
from shared.runtime.process import is_gone
from shared.runtime.tasks import end
from shared.stores.clickhouse import CLICKHOUSE_ERRORS, ClickHouse, classify
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
#: Rows in a row that ClickHouse refuses with one code, after which it is not the rows' fault.
IN_A_ROW = 10
#: Seconds for which the cursor is held without a word from its holder.
LEASE_S = 10.0
#: Bytes of the lines of one insert, beside the last row: well below what the gateway takes.
_BATCH_CHARACTERS = 32 << 20
#: Behind every row there can be.
_END = (str((1 << 64) - 1), (1 << 63) - 1)
#: Characters of an explanation that are kept.
_DETAIL_MAX = 1000


class Lost(Exception):
    """Another relay holds the cursor. What was begun is in the cursor row, and that one finishes it."""


class Damaged(Exception):
    """What is pending is not what it was when it was noted, and the table has some of it. Audit it (docs/outbox.md)."""


class Younger(Exception):
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
        """What the cursor row says while it is on its way."""
        return Pending(self.xid, self.id, self.rows, self.token)


class Claim(NamedTuple):
    """The cursor as its holder knows it."""

    source: UUID
    epoch: int
    xid: int
    id: int
    pending: Pending | None
    #: Rows of the next batch at most, while a bad one is looked for.
    most: int | None
    #: The code with which ClickHouse refused the last rows, and how many in a row.
    refused: tuple[str | None, int]
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
    """Whether the cursor was held by a process that has ended on this host; if so, it is free now."""
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
    of CLICKHOUSE_ERRORS; `classify` says whether somebody has to mend something. Afterwards claim anew."""
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
    if claim.pending is not None:
        batch = await _again(outbox, claim, claim.pending)
        if batch.token != claim.pending.token and await _is_stored(outbox, claim, batch):
            return await _done(outbox, claim, batch, lease_s)
    else:
        batch = claim.ahead or await pick(outbox, claim, most)
        claim = claim._replace(ahead=None)
        if not batch.rows or (batch.rows < most and 0 <= batch.age_s < outbox.wait_s):
            await _one(outbox, _RENEW, claim, lease_s)
            return claim, Moved(age_s=batch.age_s, wait_s=outbox.wait_s - batch.age_s if batch.rows else None)
    crash_point("outbox_picked")
    while True:
        if claim.pending != batch.pending:
            claim = await _intend(outbox, claim, batch, lease_s)
        crash_point("outbox_intended")
        began, ahead = time.time(), asyncio.create_task(_ahead(outbox, claim, batch))
        try:
            await outbox.clickhouse.insert(TABLE, batch.lines, batch.token, FORMAT, COLUMNS, AS_WRITTEN)
        except CLICKHOUSE_ERRORS as error:
            if not await _is_of_a_row(outbox, claim, batch, error):
                raise
            if batch.rows == 1:
                return await _done(outbox, claim, batch, lease_s, error)
            claim = claim._replace(most=batch.rows // 2)
            batch = await pick(outbox, claim, batch.rows // 2)
        else:
            inserted = (began, time.time())
            crash_point("outbox_inserted")
            claim, moved = await _done(outbox, claim, batch, lease_s)
            return claim._replace(ahead=await ahead), moved._replace(inserted=inserted)
        finally:
            if not ahead.done():
                await end(ahead)


async def _ahead(outbox: Outbox, claim: Claim, batch: Batch) -> Batch | None:
    """What follows a full batch that is on its way, if that is a full one, too."""
    if claim.most is not None or batch.rows < outbox.rows:
        return None
    try:
        following = await pick(outbox, claim._replace(xid=batch.xid, id=batch.id), outbox.rows)
    except POSTGRES_ERRORS:  # it is read again, and then the error is dealt with
        return None
    return following if following.rows == outbox.rows else None


async def pick(outbox: Outbox, claim: Claim, most: int, end: tuple[str, int] = _END) -> Batch:
    """The rows that follow the cursor, a number of them at most, up to `end`."""
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
    """Publish dead letters again, those of these events or all that wait; answers how many. Can be repeated."""
    return int(await outbox.pool.fetchval(_REPLAY, outbox.name, event_ids))


async def rebase(outbox: Outbox, opened_at: datetime) -> int:
    """After a restore into a younger cluster, with every relay stopped: let the old events that wait sort before all
    new ones, and forget those that were delivered. `opened_at` is when the application could first write to the
    restored database. Answers how many events wait now. Raises Damaged, POSTGRES_ERRORS or CLICKHOUSE_ERRORS."""
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
    refused = (row["refused_code"], row["refused_times"])
    return Claim(row["source"], row["epoch"], row["xid"], row["id"], pending, row["most"], refused)


async def _again(outbox: Outbox, claim: Claim, pending: Pending) -> Batch:
    """Exactly the range that is pending."""
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
    """Rows that the table has of a range."""
    places = {"of": str(claim.source), "x": claim.xid, "i": claim.id, "hx": batch.xid, "hi": batch.id}
    rows = await outbox.clickhouse.query(
        "SELECT count() FROM event_log WHERE outbox = {of:UUID} AND (outbox_xid, outbox_id) > ({x:UInt64}, {i:UInt64})"
        " AND (outbox_xid, outbox_id) <= ({hx:UInt64}, {hi:UInt64})",
        places,
    )
    return int(rows[0][0])


async def _intend(outbox: Outbox, claim: Claim, batch: Batch, lease_s: float) -> Claim:
    await _one(outbox, _INTEND, claim, lease_s, str(batch.xid), batch.id, batch.rows, batch.token, claim.most)
    return claim._replace(pending=batch.pending)


async def _is_of_a_row(outbox: Outbox, claim: Claim, batch: Batch, error: Exception) -> bool:
    """Whether one of the rows is to blame, and not the table or a view behind it."""
    if classify(error) != "data":
        return False
    code, in_a_row = claim.refused
    if batch.rows == 1 and code == _code(error) and in_a_row >= IN_A_ROW - 1 and not _is_unfit(batch):
        return False
    return await _found(outbox, claim, batch) == 0


def _is_unfit(batch: Batch) -> bool:
    """Whether the only row of a batch is one that no such table would take, however many of its kind there are."""
    try:
        _, _, moment, _, event_context, version, context, *_ = json.loads(batch.lines)
    except RecursionError:
        return False
    return moment == NO_TIME or version < 0 or not isinstance(event_context, dict) or not isinstance(context, dict)


async def _done(
    outbox: Outbox, claim: Claim, batch: Batch, lease_s: float, refusal: Exception | None = None
) -> tuple[Claim, Moved]:
    dead = int(refusal is not None)
    code = None if refusal is None else _code(refusal)
    async with outbox.pool.acquire() as connection, connection.transaction():
        if refusal is not None:
            await connection.execute(_BURY, outbox.name, claim.epoch, code, _clean(str(refusal)))
        arguments = (batch.rows - dead, dead, code, outbox.rows)
        await _one(outbox, _DONE, claim, lease_s, *arguments, connection=connection)
    crash_point("outbox_done")
    is_full = batch.rows >= (claim.most or outbox.rows) or len(batch.lines) >= _BATCH_CHARACTERS
    most = claim.most * 2 if claim.most and claim.most * 2 < outbox.rows else None
    refused = (code, claim.refused[1] + 1 if code == claim.refused[0] else 1) if dead else (None, 0)
    claim = claim._replace(xid=batch.xid, id=batch.id, pending=None, most=most, refused=refused)
    return claim, Moved(batch.rows - dead, dead, batch.age_s, more=is_full)


async def _one(outbox: Outbox, sql: str, claim: Claim, lease_s: float, *more: Any, connection: Any = None) -> None:
    """Run an update that has to hit the one row of our epoch."""
    status = await (connection or outbox.pool).execute(sql, outbox.name, claim.epoch, lease_s, *more)
    if status != "UPDATE 1":
        raise Lost(f"the outbox {outbox.name} is held by another relay, no more as epoch {claim.epoch}")


def _code(error: Exception) -> str:
    return str(getattr(error, "code", None) or type(error).__name__)


def _clean(detail: str) -> str:
    """Text that Postgres takes: without NUL and without halves of characters."""
    return detail[:_DETAIL_MAX].replace("\0", "\\0").encode(errors="backslashreplace").decode()
