"""Which trackers there are, and their values: all of them in the memory of each worker
(`ingest/caches/cached_table.py`)."""

from uuid import UUID

from ingest.caches.cached_table import Followed, Table
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


class Trackers(Followed[UUID, str]):
    """The trackers as one worker knows them. Await `start` in its event loop."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, _TABLE, lambda row: str(row["value"]))

    async def value(self, tracker: UUID) -> str:
        """The value that the tracker has now. Raises UnknownTracker, and PostgresUnavailable or Busy if nobody can
        say."""
        value = await self.found(tracker)
        if value is None:
            raise UnknownTracker
        return value
