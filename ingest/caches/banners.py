"""Decide which banners count.

With `TALLYBOOK_BANNERS=registered`, the banners of the table `banners` count, which each worker caches. Otherwise every
banner counts, and Postgres is never asked.
"""

from collections.abc import Collection

from ingest.caches.cached_table import CachedTable, Table
from shared.errors import TallybookError, UnknownBanner
from shared.settings import Settings
from shared.stores.postgres import Pool, statement

_TABLE = Table(
    name="banners",
    version="SELECT version FROM banners_version",
    page=statement("ingest/caches/banners.page.sql"),
    before=0,
    look_up="SELECT banner_id FROM banners WHERE banner_id = ANY($1::bigint[])",
)


class Banners(CachedTable[int, bool]):
    """Cache the registry in one worker."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        super().__init__(pool, _TABLE, lambda row: True)
        self._is_open = settings.banners == "open"
        #: Called before a banner takes a slot in the lane. It raises what `check` raises; None when all banners count.
        self.gate = None if self._is_open else self._refuse_unknown

    def is_loaded(self) -> bool:
        """Return whether the table was ever read. Until then nothing can be counted."""
        return self._is_open or super().is_loaded()

    async def start(self) -> None:
        """Start to refresh the cache, unless all banners count."""
        if not self._is_open:
            await super().start()

    async def check(self, banner: int) -> None:
        """Raise UnknownBanner if it does not count, and PostgresUnavailable or Busy if nobody can say."""
        if error := (await self.refusals([banner])).get(banner):
            raise error

    async def refusals(self, banners: Collection[int]) -> dict[int, TallybookError]:
        """Return the error that `check` would raise, for each of these banners that does not count."""
        if self._is_open:
            return {}
        if not self.is_loaded():
            return dict.fromkeys(banners, self._away())
        told = await self.told(banners)
        return {banner: said or UnknownBanner() for banner, said in told.items() if said is not True}

    def _refuse_unknown(self, banner: int) -> None:
        if not self.known(banner):
            raise UnknownBanner if self.is_loaded() else self._away()
