"""What the clients know, and what they found wrong: the judge of a run, which believes no number of the service."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.counting import cells, keys

#: Minutes and kinds in which the ledger and the statistics differ (I3). $1: seconds in a minute.
UNEQUAL = """
SELECT kind, minute, ledger.clicks AS ledger, stats.clicks AS stats
FROM (SELECT cell >> 40 AS kind, cell % (1::bigint << 40) AS minute, sum(clicks)::bigint AS clicks
      FROM (SELECT split_part(incarnation, ':', 1)::bigint AS cell, clicks FROM click_ledger) AS named
      GROUP BY 1, 2) AS ledger
FULL JOIN (SELECT kind, (extract(epoch FROM "timestamp") / $1)::bigint AS minute, sum(count)::bigint AS clicks
           FROM (SELECT 0::bigint AS kind, "timestamp", count FROM click_stats
                 UNION ALL SELECT kind, "timestamp", count FROM banner_stats) AS counted
           GROUP BY 1, 2) AS stats USING (kind, minute)
WHERE ledger.clicks IS DISTINCT FROM stats.clicks
"""
#: What the tables have of each kind and banner.
COUNTED = """
SELECT kind, banner_id, sum(count)::bigint AS n
FROM (SELECT 0 AS kind, banner_id, count FROM click_stats
      UNION ALL SELECT kind, banner_id, count FROM banner_stats) AS all_of
GROUP BY 1, 2
"""
_IN_LEDGER = "SELECT incarnation FROM click_ledger WHERE incarnation = ANY($1)"
#: Broken promises of one kind that are told in full.
_DETAILS = 5


class Violation(NamedTuple):
    """A promise that was broken."""

    invariant: str
    detail: str


class Books:
    """Clicks per banner: tried, and acknowledged. What is no click of a person stands under its cell, kind * 2^40 +
    banner. What was tried and not acknowledged may have been counted or not."""

    def __init__(self) -> None:
        self.attempted: Counter[int] = Counter()
        self.acked: Counter[int] = Counter()
        #: The highest total that anybody has read.
        self.seen: Counter[int] = Counter()
        #: How requests and reads ended.
        self.outcomes: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.broken: Counter[str] = Counter()

    def fault(self, invariant: str, detail: str) -> None:
        """Note a broken promise; only the first few of a kind with their details."""
        self.broken[invariant] += 1
        if self.broken[invariant] <= _DETAILS:
            self.violations.append(Violation(invariant, detail))

    def is_caught(self) -> bool:
        """Whether a count or a read was wrong, which is more than an answer that was none."""
        return any(name.startswith("I") for name in self.broken)

    def floor(self, banners: list[int]) -> dict[int, int]:
        """What a read that begins now must show at least: what is acknowledged, and no less than was read before."""
        return {banner: max(self.acked[banner], self.seen[banner]) for banner in banners}

    def check_read(self, floor: Mapping[int, int], totals: Mapping[int, int]) -> None:
        """Compare what was read, between the floor of its beginning and what has been tried until now."""
        self.outcomes["read"] += 1
        for banner, total in totals.items():
            if not floor[banner] <= total <= self.attempted[banner]:
                self.fault(
                    "I2",
                    f"banner {banner}: read {total}, of at least {floor[banner]} and at most {self.attempted[banner]}",
                )
            self.seen[banner] = max(self.seen[banner], min(total, self.attempted[banner]))

    def check_counted(self, counted: Mapping[int, int]) -> None:
        """Compare what is in the tables at the end."""
        for banner in sorted(self.attempted.keys() | counted.keys()):
            total = counted.get(banner, 0)
            if not self.acked[banner] <= total <= self.attempted[banner]:
                self.fault(
                    "I1",
                    f"banner {banner}: {self.acked[banner]} acknowledged, {total} counted, "
                    f"{self.attempted[banner]} attempted",
                )

    def check_account(self, difference: int, forgotten: int) -> None:
        """Compare what the service's accounts are short of with what Redis forgot when it was put back (I7)."""
        if difference != -forgotten:
            self.fault("I7", f"the accounts differ by {difference}, and Redis has forgotten {forgotten} clicks")

    def lost(self, counted: Mapping[int, int]) -> int:
        """Acknowledged clicks that are not there."""
        return sum(max(0, acked - counted.get(banner, 0)) for banner, acked in self.acked.items())

    def doubled(self, counted: Mapping[int, int]) -> int:
        """Clicks that are there and that nobody made."""
        return sum(max(0, total - self.attempted[banner]) for banner, total in counted.items())


class Seals:
    """Minutes of a shard are sealed together (I9): once the ledger has an incarnation, none that was open before it
    began may still be open, if its minute is no later.

    No clock is asked: one seal looks at all incarnations of its shard at one moment.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._run = ""
        self._audits = 0
        #: Incarnation -> its shard, its minute, and the audit that saw it first.
        self._seen: dict[str, tuple[int, int, int]] = {}

    async def check(self, stage: Any, books: Books) -> None:
        """Look at the ledger, then at Redis past its proxy. Raises POSTGRES_ERRORS and REDIS_ERRORS."""
        self._audits += 1
        async with stage.database() as connection:
            sealed = [row["incarnation"] for row in await connection.fetch(_IN_LEDGER, list(self._seen))]
        faults = []
        run = await self._run_of(stage)
        if run != self._run:  # put back to an older copy, maybe: what was sealed may be open again
            self._seen, self._run, sealed = {}, run, []
        for shard in range(self._shards):
            found = await stage.redis.hgetall(keys.prefix(shard) + "cur")
            for name in (value.decode() for field, value in found.items() if field != b"#run"):
                _, minute, first = self._seen.setdefault(name, (shard, cells.minute_of(name), self._audits))
                for other in sealed:
                    of_shard, of_minute, began = self._seen[other]
                    if of_shard == shard and began > first and of_minute >= minute:
                        faults.append(f"{name} is open, but {other}, which began later, is in the ledger")
                        break
        if await self._run_of(stage) == run:
            for fault in faults:
                books.fault("I9", fault)

    async def _run_of(self, stage: Any) -> str:
        return str((await stage.redis.info("server"))["run_id"])
