"""Cache a small Postgres table (banners, trackers, links, API keys) in each worker.

The worker checks the versions of its tables every second, with one statement, and reads a table again when it has
changed. It looks up an unknown id at once, so a new row works immediately. Look-ups are batched, at most ten a
second, and an absent id is remembered for two seconds: a flood of invented ids does not reach Postgres. While
Postgres is away, known rows keep working.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Generic, NamedTuple, TypeVar

import asyncpg
import structlog

from shared.errors import Busy, PostgresUnavailable, TallybookError
from shared.runtime.backoff import Backoff
from shared.runtime.tasks import end
from shared.stores.failures import noted
from shared.stores.postgres import POSTGRES_ERRORS, Pool
from shared.telemetry.metrics import LOOP_ERRORS

_Id = TypeVar("_Id")
_Value = TypeVar("_Value")

#: Seconds between two looks at the table's version, and after a failed one.
_LOOK_S = 1.0
_AFTER_FAILURE_S = (0.25, 2.0)
#: Seconds in which tables that look at the same time find each other, to ask with one statement.
_GATHER_S = 0.005
#: Reading the whole table may take this share of a worker's time: a large one that always changes is read less often.
_LOAD_SHARE = 0.1
#: Rows that are read at once: some 10 ms in which no click is served.
_PAGE_ROWS = 10_000
#: Seconds that a start waits for Postgres before it goes on without.
_START_S = 2.0

#: Seconds between two look-ups of unknown ids, seconds that one may take, ids in one, and ids that may wait for it.
_LOOK_UP_EVERY_S, _LOOK_UP_S, _LOOK_UP_IDS, _WAITING_MAX = 0.1, 1.0, 1000, 10_000
#: Seconds for which an id that was not found is not looked up again, and the most ids of which that is remembered.
_ABSENT_S, _ABSENT_MAX = 2.0, 100_000

log = structlog.get_logger()


class Table(NamedTuple):
    """Name the statements that read a table. The first column of `page` and `look_up` is the id."""

    #: Name in the log, in metrics and in errors.
    name: str
    #: Selects one number, which every change raises.
    version: str
    #: Selects at most $2 rows in the order of ids, behind id $1. The first $1 is `before`.
    page: str
    before: Any
    #: Selects the rows with the ids of the array $1.
    look_up: str


class CachedTable(Generic[_Id, _Value]):
    """Cache the rows of a table in one worker. `made` makes a value of a row."""

    def __init__(self, pool: Pool, table: Table, made: Callable[[Any], _Value]) -> None:
        self._pool, self._table, self._made = pool, table, made
        self._values: dict[_Id, _Value] = {}
        self._version: int | None = None
        self._load_s = 0.0
        self._is_failing = False
        self._absent: OrderedDict[_Id, float] = OrderedDict()
        self._waiting: dict[_Id, asyncio.Future[_Value | None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()

    def is_loaded(self) -> bool:
        """Return whether the table was ever read. Until then each use of a row depends on Postgres."""
        return self._version is not None

    def known(self, one: _Id) -> _Value | None:
        """Return the value of this id, if it is in memory."""
        return self._values.get(one)

    async def found(self, one: _Id) -> _Value | None:
        """Return the value of this id; None when the table has no such row.

        Raise PostgresUnavailable or Busy if nobody can say.
        """
        value = self._values.get(one)
        if value is not None:
            return value
        told = (await self.told([one]))[one]
        if isinstance(told, TallybookError):
            raise told
        return told

    async def told(self, ids: Collection[_Id]) -> "dict[_Id, _Value | TallybookError | None]":
        """Return what `found` would return or raise, for each of the ids that is not in memory."""
        unknown = [one for one in ids if one not in self._values]
        if not self._tasks:
            return dict.fromkeys(unknown, self._away())
        now = time.monotonic()
        sought = {one for one in unknown if self._absent.get(one, 0.0) <= now}
        told: dict[_Id, _Value | TallybookError | None] = dict.fromkeys(unknown)
        new = sought - self._waiting.keys()
        if len(self._waiting) + len(new) > _WAITING_MAX:
            return told | dict.fromkeys(sought, Busy(f"Too many unknown {self._table.name} wait to be looked up."))
        for one in new:
            self._waiting[one] = asyncio.get_running_loop().create_future()
        futures = {one: self._waiting[one] for one in sought}
        if futures:
            self._wake.set()
            await asyncio.wait(futures.values())  # a caller that is cancelled must not cancel the future of others
        for one, future in futures.items():
            told[one] = self._away() if future.cancelled() else future.result()
        return told

    def _away(self) -> PostgresUnavailable:
        return PostgresUnavailable(
            f"Postgres does not answer, and this is none of the known {self._table.name}. Nothing was done; repeat it."
        )

    # -- look-ups --------------------------------------------------------------------------------------------------

    async def _look_up_waiting(self) -> None:
        """Answer all waiting look-ups with one query, then those that came meanwhile."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = list(self._waiting)[:_LOOK_UP_IDS]
                self._answer(batch, await self._look_up(batch))
                await asyncio.sleep(_LOOK_UP_EVERY_S)

    async def _look_up(self, batch: list[_Id]) -> dict[_Id, _Value] | None:
        """Return the values of the ids that the table has; None when Postgres does not answer."""
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                return {row[0]: self._made(row) for row in await self._pool.fetch(self._table.look_up, batch)}
        except POSTGRES_ERRORS as error:
            self._note_failure(error)
        except Exception as error:  # the waiting look-ups need an answer, whatever happened
            self._note_failure(error)
            log.exception("table_refresh_broke", table=self._table.name, error=type(error).__name__)
        return None

    def _answer(self, batch: list[_Id], found: dict[_Id, _Value] | None) -> None:
        until = time.monotonic() + _ABSENT_S
        for one in batch:
            future = self._waiting.pop(one)
            if found is None:
                future.cancel()
                continue
            value = found.get(one)
            if value is not None:  # unless the table was read meanwhile, which may know a newer one
                value = self._values.setdefault(one, value)
            else:
                self._absent[one] = until
                self._absent.move_to_end(one)
            future.set_result(value)
        while len(self._absent) > _ABSENT_MAX:
            self._absent.popitem(last=False)

    # -- the whole table -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the table, if Postgres answers soon, and start to refresh it in the background."""
        try:
            async with asyncio.timeout(_START_S):
                await self._refresh()
        except TimeoutError as error:
            self._note_failure(error)
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._look_up_waiting())]

    async def stop(self) -> None:
        """Stop the background tasks. Fail the look-ups that still wait."""
        await end(*self._tasks)
        self._tasks = []
        self._answer(list(self._waiting), None)

    async def _follow(self) -> None:
        backoff = Backoff(*_AFTER_FAILURE_S)
        while True:
            if self._is_failing:
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()
                await asyncio.sleep(max(_until_tick_s(), self._load_s / _LOAD_SHARE))
            await self._refresh()

    async def _refresh(self) -> None:
        """Read the table if its version has changed. A failure leaves the cache as it was."""
        began = time.monotonic()
        try:
            version = await _version(self._pool, self._table.version)
            if version != self._version:
                self._version, self._values = await self._load()
                self._absent.clear()
                self._load_s = time.monotonic() - began
                took_ms = round(self._load_s * 1000, 1)
                log.info("table_refreshed", table=self._table.name, rows=len(self._values), took_ms=took_ms)
        except POSTGRES_ERRORS as error:
            self._note_failure(error)
        except Exception as error:  # the next refresh may succeed
            self._note_failure(error)
            log.exception("table_refresh_broke", table=self._table.name, error=type(error).__name__)
        else:
            self._is_failing = False

    async def _load(self) -> tuple[int, dict[_Id, _Value]]:
        """Return the version and the rows of the table from one snapshot."""
        values: dict[_Id, _Value] = {}
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            version: int = await connection.fetchval(self._table.version)
            last = self._table.before
            while rows := await connection.fetch(self._table.page, last, _PAGE_ROWS):
                values.update((row[0], self._made(row)) for row in rows)
                last = rows[-1][0]
        return version, values

    def _note_failure(self, error: Exception) -> None:
        LOOP_ERRORS.labels(self._table.name).inc()
        code = noted(error).code
        if not self._is_failing:
            self._is_failing = True
            table, reason = self._table.name, type(error).__name__
            log.warning("table_refresh_failed", table=table, error=reason, code=code, is_loaded=self.is_loaded())


def _until_tick_s() -> float:
    """Return the seconds until all tables of this process look again."""
    return _LOOK_S - time.monotonic() % _LOOK_S


async def _version(pool: Pool, statement: str) -> int:
    """Return what the statement selects. Raises POSTGRES_ERRORS."""
    asked = _asked.get(id(pool)) or _asked.setdefault(id(pool), _Asked(pool))
    asked.statements.append(statement)
    try:
        versions = await asyncio.shield(asked.task)
    except asyncpg.PostgresError:  # it may be the fault of another table
        return int(await pool.fetchval(statement))
    return versions[statement]


class _Asked:
    """Versions that are about to be asked for with one statement, which a stop of one table does not end."""

    def __init__(self, pool: Pool) -> None:
        self.statements = list[str]()
        self.task = asyncio.create_task(self._ask(pool))

    async def _ask(self, pool: Pool) -> dict[str, int]:
        await asyncio.sleep(_GATHER_S)
        del _asked[id(pool)]
        row = await pool.fetchrow("SELECT " + ", ".join(f"({statement})" for statement in self.statements))
        return dict(zip(self.statements, row, strict=True)) if row else {}


#: By the id of its pool.
_asked: dict[int, _Asked] = {}
