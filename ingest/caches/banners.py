"""Which banners count. With `TALLYBOOK_BANNERS=registered`, those in the table `banners`: all of them in the memory of
each worker (`ingest/caches/cached_table.py`). Else every banner counts, and nobody is asked."""

from collections.abc import Collection

from ingest.caches.cached_table import Followed, Table
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


class Banners(Followed[int, bool]):
    """The registry as one worker knows it. Await `start` in its event loop; `gate` may be asked from any thread."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        super().__init__(pool, _TABLE, lambda row: True)
        self._is_open = settings.banners == "open"
        #: Asked before a banner takes a slot in the lane, and raises what `check` raises; None when all banners count.
        self.gate = None if self._is_open else self._refuse_unknown

    def is_loaded(self) -> bool:
        """Whether the table was ever read. Until then nothing can be counted."""
        return self._is_open or super().is_loaded()

    async def start(self) -> None:
        """Begin to follow the table, unless all banners count."""
        if not self._is_open:
            await super().start()

    async def check(self, banner: int) -> None:
        """Raises UnknownBanner if it does not count, and PostgresUnavailable or Busy if nobody can say."""
        if error := (await self.refusals([banner])).get(banner):
            raise error

    async def refusals(self, banners: Collection[int]) -> dict[int, TallybookError]:
        """Why some of these banners do not count: for each of them what `check` would raise."""
        if self._is_open:
            return {}
        if not self.is_loaded():
            return dict.fromkeys(banners, self._away())
        told = await self.told(banners)
        return {banner: said or UnknownBanner() for banner, said in told.items() if said is not True}

    def _refuse_unknown(self, banner: int) -> None:
        if not self.known(banner):
            raise UnknownBanner if self.is_loaded() else self._away()
