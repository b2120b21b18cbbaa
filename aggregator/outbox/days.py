"""The days of the outbox: partitions made ahead, and dropped when all of their events are relayed. Rows are never
deleted, so nothing has to be vacuumed, however long a transaction is open.

A publisher is never in the way of these, nor they in its: a partition is attached, which locks out nobody; it is
emptied under a lock on itself alone, which a day that is over has no writers for; and the drop of the empty table,
which needs the lock of the whole outbox for a moment, gives up rather than queue in front of publishers.
"""

import asyncpg
import structlog

from shared.stores.postgres import Pool, statement

_AHEAD = statement("aggregator/outbox/days.ahead.sql")
_OVER = statement("aggregator/outbox/days.over.sql")

#: Days for which partitions are made ahead.
DAYS_AHEAD = 7
#: The partition for whatever no other one takes.
DEFAULT = "tallybook_outbox_default"

log = structlog.get_logger()


async def make_days(pool: Pool) -> int:
    """Make the partitions of today and the coming week. Return how many were missing. Raises POSTGRES_ERRORS: also
    when the DEFAULT partition holds events of such a day, until `drop_relayed` has emptied it."""
    made = int(await pool.fetchval(_AHEAD, DAYS_AHEAD))
    if made:
        log.info("outbox_days_made", partitions=made)
    return made


async def drop_relayed(pool: Pool) -> list[str]:
    """Drop the partitions of days that are over and relayed, and empty the DEFAULT one if it is. Return their names.
    One that somebody still writes to or reads is left for the next time."""
    dropped = []
    for partition in [*(row["partition"] for row in await pool.fetch(_OVER)), DEFAULT]:
        try:
            if await _emptied(pool, partition) and partition != DEFAULT:
                await _dropped(pool, partition)
                dropped.append(partition)
        except asyncpg.LockNotAvailableError:
            log.debug("outbox_day_in_use", partition=partition)
    if dropped:
        log.info("outbox_days_dropped", partitions=dropped)
    return dropped


async def _emptied(pool: Pool, partition: str) -> bool:
    """Truncate it if every event in it lies before the slowest cursor; its writers have ended when the lock is ours."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        await connection.execute(f"LOCK TABLE ONLY {partition} IN ACCESS EXCLUSIVE MODE")
        waiting = await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {partition} AS event, tallybook_outbox_cursor AS cursor"  # noqa: S608
            " WHERE (event.xid, event.id) > (cursor.xid, cursor.id))"
        )
        if not waiting:
            await connection.execute(f"TRUNCATE ONLY {partition}")
        return not waiting


async def _dropped(pool: Pool, partition: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '50ms'")
        await connection.execute(f"DROP TABLE {partition}")
