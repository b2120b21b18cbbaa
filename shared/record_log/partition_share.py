"""Share the partitions of a topic among any number of processes: each works out its share and takes no more.

Of p partitions and n processes the first p mod n in an order that all agree on take one more than the others. Nobody
assigns anything, so nobody has to be elected; while the list of processes changes, a partition may stay without an
owner for a moment, but never has two.
"""

from typing import NamedTuple

import structlog

from shared.record_log.cursors import Claim, Cursors
from shared.stores.postgres import statement

_BEAT = statement("shared/record_log/partition_share.beat.sql")
_LEAVE = statement("shared/record_log/partition_share.leave.sql")

log = structlog.get_logger()


class Change(NamedTuple):
    """What a balance changed. Surplus is still held: give each back by `release` once its batch is done."""

    gained: list[int]
    lost: list[int]
    surplus: list[int]


class Share:
    """The partitions of one topic that this process reads for one sink. The sink puts each step's claim back into
    `claims`."""

    def __init__(self, cursors: Cursors, topic: str, sink: str) -> None:
        self._cursors = cursors
        self._topic = topic
        self._sink = sink
        self.claims: dict[int, Claim] = {}

    async def balance(self) -> Change:
        """Renew what is held and take what is free, up to a fair share. Call it three times in each lease. Raises
        POSTGRES_ERRORS; then what is held is held until its lease is over."""
        if gone := await self._cursors.free():
            log.info("owners_gone", owners=gone)
        quota = await self._quota()
        lost = await self._renewed()
        gained = []
        if len(self.claims) < quota:
            gained = await self._cursors.claim(self._topic, self._sink, quota - len(self.claims))
            self.claims.update({claim.partition: claim for claim in gained})
        return Change([claim.partition for claim in gained], lost, sorted(self.claims)[quota:])

    async def release(self, partition: int) -> None:
        """Give one partition back. Raises POSTGRES_ERRORS."""
        if claim := self.claims.pop(partition, None):
            await self._cursors.release(claim)

    async def leave(self) -> None:
        """Give everything back and be no longer counted. Raises POSTGRES_ERRORS."""
        for partition in list(self.claims):
            await self.release(partition)
        await self._cursors.pool.execute(_LEAVE, *self._who())

    async def _renewed(self) -> list[int]:
        """Renew what is held, and let go of what is lost."""
        claims = list(self.claims.values())
        lost = await self._cursors.renew(self._topic, self._sink, claims) if claims else []
        for partition in lost:
            del self.claims[partition]
        return lost

    async def _quota(self) -> int:
        row = await self._cursors.pool.fetchrow(_BEAT, *self._who(), self._cursors.lease_s)
        each, more = divmod(row["partitions"], row["members"])
        return int(each + (row["place"] < more))

    def _who(self) -> tuple[str, str, str, str]:
        return self._cursors.log, self._topic, self._sink, self._cursors.owner
