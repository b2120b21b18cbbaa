"""Keep the cursor of each sink in Postgres: the one thing about the record log that must not be lost.

A sink's life with one partition:

    claim     the position `next`, its marks, and what a predecessor left pending
    replay    if something is pending: exactly that range again, under its token, then done
    read      a batch [next, end)
    intend    note end, rows and version            before the first byte goes to the sink
    insert    under a token made of [next, end)     until the sink has acknowledged it
    done      next = end, with the batch's marks

Whoever claims a partition gets the next epoch, and every later write says `WHERE epoch = mine`: a process that was
stopped for a minute, lost its partition and goes on, hits no row and learns it by OwnershipLost. The lease only decides
when a partition may be taken over; being late costs work, never correctness. Nobody waits for the lease of a process
that ran on this host and has ended.

A Claim is a value: each step returns the next one. If Postgres did not answer, the step is repeated with the same
claim; if the transaction around a `done` was rolled back, the former claim is still the true one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared.record_log.deduplication import Mark
from shared.record_log.record_log import Position
from shared.runtime.process import is_gone
from shared.stores.postgres import Connection, Pool, statement

#: Seconds for which a partition belongs to a process that says nothing. Its owner renews it three times as often.
LEASE_S = 10.0

_REGISTER = statement("shared/record_log/cursors.register.sql")
_CLAIM = statement("shared/record_log/cursors.claim.sql")
_MARKS = statement("shared/record_log/cursors.marks.sql")
_RENEW = statement("shared/record_log/cursors.renew.sql")
_OWNERS = statement("shared/record_log/cursors.owners.sql")
_FREE = statement("shared/record_log/cursors.free.sql")
_INTEND = statement("shared/record_log/cursors.intend.sql")
_DONE = statement("shared/record_log/cursors.done.sql")
_RELEASE = statement("shared/record_log/cursors.release.sql")
_SLOWEST = statement("shared/record_log/cursors.slowest.sql")
_PRUNE = statement("shared/record_log/cursors.prune.sql")


class OwnershipLost(Exception):
    """Another process holds the partition now. Drop the batch and everything that was read; it is not lost."""


class Pending(NamedTuple):
    """What may be on its way into the sink: everything before `end`, with its rows and the transform that made them."""

    end: Position
    rows: int
    version: int


class Claim(NamedTuple):
    """A partition that this process holds for a sink, under an epoch."""

    topic: str
    partition: int
    sink: str
    epoch: int
    next: Position
    pending: Pending | None
    marks: Mapping[str, Mark]


class Cursors:
    """The cursors of one log as one process sees them. `owner` is unique to the process and its life. All methods
    raise POSTGRES_ERRORS; those that write for a claim raise OwnershipLost."""

    def __init__(self, pool: Pool, log: str, owner: str, lease_s: float = LEASE_S) -> None:
        self.pool = pool
        self.log = log
        self.owner = owner
        self.lease_s = lease_s
        self._freeing = asyncio.Lock()

    async def register(self, topic: str, sink: str, partitions: int) -> None:
        """Make the sink known, at the beginning of what the log holds. From then on nothing is trimmed before it."""
        await self.pool.execute(_REGISTER, self.log, topic, sink, partitions)

    async def claim(self, topic: str, sink: str, most: int) -> list[Claim]:
        """Take at most so many partitions that are free, or whose owner's lease is over."""
        async with self.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_CLAIM, self.log, topic, sink, self.owner, self.lease_s, most)
            return [
                Claim(
                    topic,
                    row["partition"],
                    sink,
                    row["epoch"],
                    Position(row["next_offset"], row["next_seq"]),
                    _pending(row),
                    await self._marks(connection, topic, row["partition"], sink),
                )
                for row in rows
            ]

    async def free(self) -> list[str]:
        """Free the partitions of processes that ended here without giving them back. Return their names."""
        async with self._freeing:  # or a claim would pass over the rows that another task is freeing
            owners = [row["owner"] for row in await self.pool.fetch(_OWNERS, self.log)]
            gone = [owner for owner in owners if owner != self.owner and is_gone(owner)]
            if gone:
                await self.pool.execute(_FREE, self.log, gone)
        return gone

    async def renew(self, topic: str, sink: str, claims: Sequence[Claim]) -> list[int]:
        """Hold the partitions of a sink for another lease. Return those that are lost."""
        held = [claim.partition for claim in claims], [claim.epoch for claim in claims]
        rows = await self.pool.fetch(_RENEW, self.log, topic, sink, *held, self.lease_s)
        return sorted({*held[0]} - {row["partition"] for row in rows})

    async def intend(self, claim: Claim, end: Position, rows: int, version: int) -> Claim:
        """Note that [next, end) is about to be inserted as so many rows."""
        status = await self.pool.execute(_INTEND, *self._key(claim), self.lease_s, *claim.next, *end, rows, version)
        _check_one(status, claim)
        return claim._replace(pending=Pending(end, rows, version))

    async def done(
        self, claim: Claim, end: Position, marks: Mapping[str, Mark], connection: Connection | None = None
    ) -> Claim:
        """Note that everything before `end` is in the sink. With a connection it is part of its transaction: of dead
        letters, or of the rows themselves where the sink is Postgres."""
        if claim.pending is not None and claim.pending.end != end:
            raise ValueError(f"the range up to {claim.pending.end} is pending, not the one up to {end}")
        moved = await (connection or self.pool).fetchval(
            _DONE,
            *self._key(claim),
            self.lease_s,
            *end,
            list(marks),
            [mark.seq for mark in marks.values()],
            [mark.place for mark in marks.values()],
        )
        if moved != 1:
            raise _lost(claim)
        return claim._replace(next=end, pending=None, marks={**claim.marks, **marks})

    async def release(self, claim: Claim) -> None:
        """Give the partition back, so that nobody waits for the lease. It may be lost already."""
        await self.pool.execute(_RELEASE, *self._key(claim))

    async def slowest(self, *topics: str) -> dict[tuple[str, int], Position]:
        """Return the least position of all sinks in each partition that a sink reads, by topic and number."""
        rows = await self.pool.fetch(_SLOWEST, self.log, topics)
        return {(topic, partition): Position(*position) for topic, partition, *position in rows}

    async def prune_marks(self, days: int) -> int:
        """Forget the marks of producers that sent nothing for so many days. Return how many. A repeat that comes
        later than that would count again."""
        return int(await self.pool.fetchval(_PRUNE, self.log, days))

    def _key(self, claim: Claim) -> tuple[str, str, int, str, int]:
        return self.log, claim.topic, claim.partition, claim.sink, claim.epoch

    async def _marks(self, connection: Connection, topic: str, partition: int, sink: str) -> dict[str, Mark]:
        rows = await connection.fetch(_MARKS, self.log, topic, partition, sink)
        return {row["producer"]: Mark(row["seq"], row["place"]) for row in rows}


def _pending(row: Any) -> Pending | None:
    if row["pending_offset"] is None:
        return None
    end = Position(row["pending_offset"], row["pending_seq"])
    return Pending(end, row["pending_rows"], row["pending_version"])


def _check_one(status: str, claim: Claim) -> None:
    if status != "UPDATE 1":
        raise _lost(claim)


def _lost(claim: Claim) -> OwnershipLost:
    return OwnershipLost(f"{claim.sink} has lost {claim.topic}.{claim.partition}, which it held as epoch {claim.epoch}")
