"""Which trackers there are, and their values: all of them in the memory of each worker.

The table is read again when its version has changed, which is looked at every second, so a new value is in hits from
then on. An id that is not known is looked up at once, so a tracker works from the moment at which it was added. To keep
a flood of invented ids away from Postgres, one look-up at a time serves all that wait, so many times a second at most,
and a "no" is believed for a while. While Postgres is away the known trackers go on working.
"""

import asyncio
import random
import time
from collections import OrderedDict
from typing import Any
from uuid import UUID

import structlog

from shared.errors import Busy, PostgresUnavailable, UnknownTracker
from shared.metrics import LOOP_ERRORS
from shared.postgres import POSTGRES_ERRORS, statement
from shared.tasks import end
from shared.uuid7 import NIL

#: Seconds between two looks at the table's version, and after a failed one.
_LOOK_S = 1.0
_AFTER_FAILURE_S = (0.25, 2.0)
#: Reading the whole table may take this share of a worker's time: a large one that always changes is read less often.
_LOAD_SHARE = 0.1
#: Rows that are read at once: some 10 ms in which no hit is served.
_PAGE_ROWS = 10_000
#: Seconds that a start waits for Postgres before it goes on without.
_START_S = 2.0

#: Seconds between two look-ups of unknown ids, seconds that one may take, ids in one, and ids that may wait for it.
_LOOK_UP_EVERY_S, _LOOK_UP_S, _LOOK_UP_IDS, _WAITING_MAX = 0.1, 1.0, 1000, 10_000
#: Seconds for which an id that was not found is not looked up again, and the most ids of which that is remembered.
_ABSENT_S, _ABSENT_MAX = 2.0, 100_000

_PAGE = statement("ingest/trackers.page.sql")
_VERSION = "SELECT version FROM trackers_version"
_LOOK_UP = "SELECT uuid, value FROM trackers WHERE uuid = ANY($1::uuid[])"

_AWAY = "Postgres does not answer, so it is not known whether there is such a tracker. Nothing was counted; repeat it."

log = structlog.get_logger()


class Trackers:
    """The trackers as one worker knows them. Await `start` in its event loop."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._values: dict[UUID, str] = {}
        self._version: int | None = None
        self._load_s = 0.0
        self._is_failing = False
        self._absent: OrderedDict[UUID, float] = OrderedDict()
        self._waiting: dict[UUID, asyncio.Future[str | None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()

    def is_loaded(self) -> bool:
        """Whether the table was ever read. Until then each hit depends on Postgres."""
        return self._version is not None

    def known(self, tracker: UUID) -> str | None:
        """The value that the tracker has now, if it is in memory. From any thread."""
        return self._values.get(tracker)

    async def value(self, tracker: UUID) -> str:
        """The value that the tracker has now. Raises UnknownTracker, and PostgresUnavailable or Busy if nobody can
        say."""
        value = self._values.get(tracker)
        if value is not None:
            return value
        if self._absent.get(tracker, 0.0) > time.monotonic():
            raise UnknownTracker
        if not self._tasks:
            raise PostgresUnavailable(_AWAY)
        future = self._waiting.get(tracker)
        if future is None:
            if len(self._waiting) >= _WAITING_MAX:
                raise Busy("Too many unknown trackers wait to be looked up.")
            future = self._waiting[tracker] = asyncio.get_running_loop().create_future()
            self._wake.set()
        await asyncio.wait((future,))  # others may wait for the same: none of them may cancel it
        if future.cancelled():
            raise PostgresUnavailable(_AWAY)
        found = future.result()
        if found is None:
            raise UnknownTracker
        return found

    # -- look-ups --------------------------------------------------------------------------------------------------

    async def _look_up_waiting(self) -> None:
        """Answer those that wait, all with one query, then those that came meanwhile."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = list(self._waiting)[:_LOOK_UP_IDS]
                self._answer(batch, await self._look_up(batch))
                await asyncio.sleep(_LOOK_UP_EVERY_S)

    async def _look_up(self, batch: list[UUID]) -> dict[UUID, str] | None:
        """The values of those that there are; None when Postgres does not say."""
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                return {row["uuid"]: row["value"] for row in await self._pool.fetch(_LOOK_UP, batch)}
        except POSTGRES_ERRORS as error:
            self._note_failure(error)
        except Exception as error:  # whatever it is, those that wait have to be answered
            self._note_failure(error)
            log.exception("trackers_refresh_broke", error=type(error).__name__)
        return None

    def _answer(self, batch: list[UUID], found: dict[UUID, str] | None) -> None:
        until = time.monotonic() + _ABSENT_S
        for tracker in batch:
            future = self._waiting.pop(tracker)
            if found is None:
                future.cancel()
                continue
            value = found.get(tracker)
            if value is not None:  # unless the table was read meanwhile, which may know a newer one
                value = self._values.setdefault(tracker, value)
            else:
                self._absent[tracker] = until
                self._absent.move_to_end(tracker)
            future.set_result(value)
        while len(self._absent) > _ABSENT_MAX:
            self._absent.popitem(last=False)

    # -- the whole table -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the table, if Postgres answers soon, and begin to follow it in the background."""
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
                self._version, self._values = await self._load()
                self._absent.clear()
                self._load_s = time.monotonic() - began
                log.info("trackers_refreshed", trackers=len(self._values), took_ms=round(self._load_s * 1000, 1))
        except POSTGRES_ERRORS as error:
            self._note_failure(error)
        except Exception as error:  # whatever it is, the table has to be followed
            self._note_failure(error)
            log.exception("trackers_refresh_broke", error=type(error).__name__)
        else:
            self._is_failing = False

    async def _load(self) -> tuple[int, dict[UUID, str]]:
        """The table's version and its rows, as they were at one moment."""
        values: dict[UUID, str] = {}
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            version: int = await connection.fetchval(_VERSION)
            last = NIL
            while rows := await connection.fetch(_PAGE, last, _PAGE_ROWS):
                values.update((row["uuid"], row["value"]) for row in rows)
                last = rows[-1]["uuid"]
        return version, values

    def _note_failure(self, error: Exception) -> None:
        LOOP_ERRORS.labels("trackers").inc()
        if not self._is_failing:
            self._is_failing = True
            log.warning("trackers_refresh_failed", error=type(error).__name__, is_loaded=self.is_loaded())
