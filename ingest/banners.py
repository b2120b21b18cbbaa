"""Which banners count. With `TALLYBOOK_BANNERS=registered`, those in the table `banners`; a worker keeps them as a set.

The set is read again when the table's version has changed, which is looked at every second. An id that is not in it is
looked up at once, so a banner counts from the moment at which it was added. To keep a flood of invented ids away from
Postgres, one look-up at a time serves all that wait, so many times a second at most, and a "no" is believed for a
while. While Postgres is away the set goes on serving.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import structlog

from shared.errors import Busy, PostgresUnavailable, TallybookError, UnknownBanner
from shared.metrics import LOOP_ERRORS
from shared.postgres import POSTGRES_ERRORS, statement
from shared.settings import Settings
from shared.tasks import end

#: Seconds between two looks at the table's version, and after a failed one.
_LOOK_S = 1.0
_AFTER_FAILURE_S = (0.25, 2.0)
#: Reading the whole table may take this share of a worker's time: a large one that always changes is read less often.
_LOAD_SHARE = 0.1
#: Rows that are read at once: some 5 ms in which no click is served.
_PAGE_ROWS = 10_000
#: Seconds that a start waits for Postgres before it goes on without.
_START_S = 2.0

#: Seconds between two look-ups of unknown ids, seconds that one may take, ids in one, and ids that may wait for it.
_LOOK_UP_EVERY_S, _LOOK_UP_S, _LOOK_UP_IDS, _WAITING_MAX = 0.05, 1.0, 1000, 10_000
#: Seconds for which an id that was not found is not looked up again, and the most ids of which that is remembered.
_ABSENT_S, _ABSENT_MAX = 2.0, 100_000

_PAGE = statement("ingest/banners.page.sql")
_VERSION = "SELECT version FROM banners_version"
_LOOK_UP = "SELECT banner_id FROM banners WHERE banner_id = ANY($1::bigint[])"

_AWAY = (
    "Postgres does not answer, so it is not known whether this banner is registered. Nothing was counted; repeat it."
)

log = structlog.get_logger()


class Banners:
    """The registry as one worker knows it. Await `start` in its event loop; `gate` may be asked from any thread."""

    #: The ids that count; None when all do.
    known: set[int] | None

    def __init__(self, settings: Settings, pool: Any) -> None:
        self._pool = pool
        self.known = None if settings.banners == "open" else set()
        #: Asked before a banner takes a slot in the lane, and raises what `check` raises; None when all banners count.
        self.gate = None if self.known is None else self._refuse_unknown
        self._version: int | None = None
        self._load_s = 0.0
        self._is_failing = False
        self._absent: OrderedDict[int, float] = OrderedDict()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()

    # -- questions -------------------------------------------------------------------------------------------------

    def is_known(self, banner: int) -> bool:
        """Whether the banner counts, as far as this worker knows. Asks nobody."""
        return self.known is None or banner in self.known

    def is_loaded(self) -> bool:
        """Whether the table was ever read. Until then nothing can be counted."""
        return self.known is None or self._version is not None

    async def check(self, banner: int) -> None:
        """Raises UnknownBanner if it does not count, and PostgresUnavailable or Busy if nobody can say."""
        if error := (await self.refusals([banner])).get(banner):
            raise error

    async def refusals(self, banners: Collection[int]) -> dict[int, TallybookError]:
        """Why some of these banners do not count: for each of them what `check` would raise."""
        if self.known is None:
            return {}
        unknown = set(banners) - self.known
        if not unknown:
            return {}
        if not (self.is_loaded() and self._tasks):
            return dict.fromkeys(unknown, PostgresUnavailable(_AWAY))
        now = time.monotonic()
        sought = {banner for banner in unknown if self._absent.get(banner, 0.0) <= now}
        refusals: dict[int, TallybookError] = dict.fromkeys(unknown - sought, UnknownBanner())
        new = sought - self._waiting.keys()
        if len(self._waiting) + len(new) > _WAITING_MAX:
            return refusals | dict.fromkeys(sought, Busy("Too many unknown banners wait to be looked up."))
        for banner in new:
            self._waiting[banner] = asyncio.get_running_loop().create_future()
        futures = {banner: self._waiting[banner] for banner in sought}
        self._wake.set()
        if futures:
            await asyncio.wait(futures.values())
        for banner, future in futures.items():
            if future.cancelled():
                refusals[banner] = PostgresUnavailable(_AWAY)
            elif not future.result():
                refusals[banner] = UnknownBanner()
        return refusals

    def _refuse_unknown(self, banner: int) -> None:
        if not self.is_known(banner):
            raise UnknownBanner if self.is_loaded() else PostgresUnavailable(_AWAY)

    # -- look-ups --------------------------------------------------------------------------------------------------

    async def _look_up_waiting(self) -> None:
        """Answer those that wait, all with one query, then those that came meanwhile."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = list(self._waiting)[:_LOOK_UP_IDS]
                found = await self._look_up(batch)
                self._answer(batch, found)
                await asyncio.sleep(_LOOK_UP_EVERY_S)

    async def _look_up(self, batch: list[int]) -> set[int] | None:
        """Those of the ids that are registered; None when Postgres does not say."""
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                return {row["banner_id"] for row in await self._pool.fetch(_LOOK_UP, batch)}
        except POSTGRES_ERRORS as error:
            self._note_failure(error)
        except Exception as error:  # whatever it is, those that wait have to be answered
            self._note_failure(error)
            log.exception("banners_refresh_broke", error=type(error).__name__)
        return None

    def _answer(self, batch: list[int], found: set[int] | None) -> None:
        until = time.monotonic() + _ABSENT_S
        for banner in batch:
            future = self._waiting.pop(banner)
            if found is None:
                future.cancel()
                continue
            if banner in found and self.known is not None:
                self.known.add(banner)
            else:
                self._absent[banner] = until
                self._absent.move_to_end(banner)
            future.set_result(banner in found)
        while len(self._absent) > _ABSENT_MAX:
            self._absent.popitem(last=False)

    # -- the whole table -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the table, if Postgres answers soon, and begin to follow it in the background."""
        if self.known is None:
            return
        try:
            async with asyncio.timeout(_START_S):
                await self._refresh()
        except TimeoutError as error:
            self._note_failure(error)
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._look_up_waiting())]

    async def stop(self) -> None:
        """End what `start` began. Those that still wait for a look-up are told that Postgres did not answer."""
        await end(*self._tasks)
        self._tasks = []
        self._answer(list(self._waiting), None)

    async def _follow(self) -> None:
        wait_s = _AFTER_FAILURE_S[0]
        while True:
            if self._is_failing:
                await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
                wait_s = min(2 * wait_s, _AFTER_FAILURE_S[1])
            else:
                wait_s = _AFTER_FAILURE_S[0]
                await asyncio.sleep(max(_LOOK_S, self._load_s / _LOAD_SHARE))
            await self._refresh()

    async def _refresh(self) -> None:
        """Read the table if its version is not the one that is known. A failure leaves everything as it was."""
        began = time.monotonic()
        try:
            version = await self._pool.fetchval(_VERSION)
            if version != self._version:
                self._version, self.known = await self._load()
                self._absent.clear()
                self._load_s = time.monotonic() - began
                log.info("banners_refreshed", banners=len(self.known), took_ms=round(self._load_s * 1000, 1))
        except POSTGRES_ERRORS as error:
            self._note_failure(error)
        except Exception as error:  # whatever it is, the table has to be followed
            self._note_failure(error)
            log.exception("banners_refresh_broke", error=type(error).__name__)
        else:
            self._is_failing = False

    async def _load(self) -> tuple[int, set[int]]:
        """The table's version and its ids, as they were at one moment."""
        known: set[int] = set()
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            version: int = await connection.fetchval(_VERSION)
            last = 0
            while rows := await connection.fetch(_PAGE, last, _PAGE_ROWS):
                known.update(row["banner_id"] for row in rows)
                last = rows[-1]["banner_id"]
        return version, known

    def _note_failure(self, error: Exception) -> None:
        LOOP_ERRORS.labels("banners").inc()
        if not self._is_failing:
            self._is_failing = True
            log.warning("banners_refresh_failed", error=type(error).__name__, is_loaded=self.is_loaded())
