"""Keep the tables in shape: make partitions ahead, drop old ones, prune old ledger rows.

Whatever is removed on purpose is added to `click_carry` in the same transaction, so ledger and statistics stay
comparable.
"""

import structlog

from shared.counting.cells import MINUTE_BITS
from shared.settings import Settings
from shared.stores.postgres import Pool, statement

_AHEAD = statement("aggregator/clicks/retention.ahead.sql")
_EXPIRED = statement("aggregator/clicks/retention.expired.sql")
_PRUNE = statement("aggregator/clicks/retention.prune.sql")

#: Sums of a partition by the name of the carry row that takes them. The names of partitions are ours.
_SUMS = "SELECT 'stats_dropped' AS name, coalesce(sum(count), 0)::bigint AS clicks FROM {partition}"
_SUMS_BY_KIND = (
    "SELECT 'stats_dropped:' || kind AS name, sum(count)::bigint AS clicks FROM {partition} GROUP BY kind ORDER BY kind"
)
_CARRY = (
    "INSERT INTO click_carry AS carry (name, clicks) SELECT * FROM unnest($1::text[], $2::bigint[]) "
    "ON CONFLICT (name) DO UPDATE SET clicks = carry.clicks + EXCLUDED.clicks"
)

#: Months for which partitions are made ahead, the current one included.
_MONTHS_AHEAD = 3

log = structlog.get_logger()


class Upkeep:
    """Call each of the three from time to time; any number of aggregators may do so at once."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool

    async def make_partitions(self) -> int:
        """Make the partitions of this and the next months. Return how many were missing."""
        made = int(await self._pool.fetchval(_AHEAD, _MONTHS_AHEAD))
        if made:
            log.info("partitions_made", partitions=made)
        return made

    async def drop_expired(self) -> list[str]:
        """Drop partitions of months that ended before the retention. Return their names."""
        if (days := self._settings.kept_days("clicks")) is None:
            return []
        dropped = []
        for row in await self._pool.fetch(_EXPIRED, days):
            await self._drop(row["partition"], _SUMS_BY_KIND if row["has_kinds"] else _SUMS)
            dropped.append(row["partition"])
        return dropped

    async def _drop(self, partition: str, sums: str) -> None:
        """Sum it into the carry and drop it, in one transaction that gives up rather than queue behind a long
        reader."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '1s'")
            await connection.execute(f"LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")
            rows = await connection.fetch(sums.format(partition=partition))
            carried = {str(row["name"]): int(row["clicks"]) for row in rows}
            await connection.execute(_CARRY, list(carried), list(carried.values()))
            await connection.execute(f"DROP TABLE {partition}")
        log.info("partition_dropped", partition=partition, clicks=sum(carried.values()))

    async def prune_ledger(self) -> int:
        """Prune ledger rows that no Redis and no backup can bring back. Return how many."""
        pruned = int(await self._pool.fetchval(_PRUNE, self._settings.ledger_days, MINUTE_BITS))
        if pruned:
            log.info("ledger_pruned", rows=pruned)
        return pruned
