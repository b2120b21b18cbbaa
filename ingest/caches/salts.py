"""Cache the salts of visitors in each worker, by the day that they are for."""

from datetime import date

from ingest.caches.cached_table import CachedTable, Table
from shared.stores.postgres import Pool, statement

_TABLE = Table(
    name="web_salts",
    version=statement("ingest/caches/salts.version.sql"),
    page=statement("ingest/caches/salts.page.sql"),
    before=date(1, 1, 1),
    look_up="SELECT day, salt FROM web_salts WHERE day = ANY($1::date[])",
)


class Salts(CachedTable[date, bytes]):
    """Cache the salts in one worker. Only `known` is asked: without its salt a day has no visitors."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, _TABLE, lambda row: bytes(row["salt"]))
