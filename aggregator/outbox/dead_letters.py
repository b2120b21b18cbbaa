"""Events that ClickHouse refused for good, in the database of the outbox: looked at, published again, or given up.

A letter is known by the id of its event. Publishing again is an INSERT into the outbox in the transaction that marks
the letter (`aggregator/outbox/relay.py`), so it happens once, however often it is repeated.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from aggregator.outbox.relay import Outbox, replay_dead
from shared.stores.postgres import statement

_LISTED = statement("aggregator/outbox/dead_letters.listed.sql")
_MEND = statement("aggregator/outbox/dead_letters.mend.sql")
_DROP = statement("aggregator/outbox/dead_letters.drop.sql")


class Letter(NamedTuple):
    """A dead letter as it is kept; `event_context` is JSON as the application wrote it."""

    event_id: UUID
    event_type: str
    event_date_time: datetime
    environment: str
    event_context: str
    metadata_version: int
    reason: str
    detail: str
    buried_at: datetime
    replayed_at: datetime | None


async def listed(outbox: Outbox, most: int, *, event_id: UUID | None = None, settled: bool = False) -> list[Letter]:
    """The oldest letters that wait for somebody, of one event if its id is given; with `settled` those too that were
    published again. Raises POSTGRES_ERRORS."""
    return [Letter(*row) for row in await outbox.pool.fetch(_LISTED, outbox.name, event_id, settled, most)]


async def replay_mended(outbox: Outbox, event_id: UUID, event_context: str) -> int:
    """Publish the letters of an event again, with another context, which is a JSON object. Return how many waited.
    Raises POSTGRES_ERRORS, and then nothing has changed."""
    async with outbox.pool.acquire() as connection, connection.transaction():
        await connection.execute(_MEND, outbox.name, event_id, event_context)
        return await replay_dead(outbox._replace(pool=connection), [event_id])


async def drop(outbox: Outbox, event_ids: Sequence[UUID]) -> int:
    """Give letters up, for good. Return how many waited. Raises POSTGRES_ERRORS."""
    return int(await outbox.pool.fetchval(_DROP, outbox.name, list(event_ids)))
