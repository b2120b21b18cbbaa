"""Cache the trackers and their values in each worker."""

from uuid import UUID

from ingest.caches.cached_table import CachedTable, Table
from shared.errors import UnknownTracker
from shared.stores.postgres import Pool, statement
from shared.uuid7 import NIL

_TABLE = Table(
    name="trackers",
    version="SELECT version FROM trackers_version",
    page=statement("ingest/caches/trackers.page.sql"),
    before=NIL,
    look_up="SELECT uuid, value FROM trackers WHERE uuid = ANY($1::uuid[])",
)


class Trackers(CachedTable[UUID, str]):
    """Cache the trackers in one worker."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, _TABLE, lambda row: str(row["value"]))

    async def value(self, tracker: UUID) -> str:
        """Return the value of the tracker. Raise UnknownTracker, or PostgresUnavailable or Busy if nobody can say."""
        value = await self.found(tracker)
        if value is None:
            raise UnknownTracker
        return value
