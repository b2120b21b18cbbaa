"""Cache API keys in each worker, and note when each was used last.

Uses are written together every ten seconds. A worker that is killed loses dates, but no counts.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from ingest.caches.cached_table import CachedTable, Table
from shared.api_keys import Key, is_equal
from shared.errors import Unauthorized
from shared.runtime.backoff import jittered
from shared.runtime.tasks import end
from shared.stores.postgres import POSTGRES_ERRORS, Pool, statement
from shared.telemetry.metrics import LOOP_ERRORS

#: Seconds between two writes of uses, the most that a stop waits for the last one, and keys of one statement.
_WRITE_EVERY_S, _WRITE_S, _WRITE_MAX = 10.0, 2.0, 1000
#: Keys whose uses wait for Postgres; of more the oldest are forgotten.
_USED_MAX = 100_000
#: Compared with when there is no such key: an unknown prefix takes as long as a wrong secret.
_NOBODY = bytes(32)

_TABLE = Table(
    name="keys",
    version="SELECT version FROM api_keys_version",
    page=statement("ingest/auth/api_keys.page.sql"),
    before="",
    look_up="SELECT prefix, hash, scopes, expires_at, revoked_at FROM api_keys WHERE prefix = ANY($1::text[])",
)
_USED = statement("ingest/auth/api_keys.used.sql")

log = structlog.get_logger()


class Stored(NamedTuple):
    """Hold what a worker needs of a key."""

    hash: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    is_revoked: bool


def _made(row: Any) -> Stored:
    return Stored(row["hash"], frozenset(row["scopes"]), row["expires_at"], row["revoked_at"] is not None)


def _now() -> datetime:
    return datetime.now(UTC)


class Keys(CachedTable[str, Stored]):
    """Cache the keys in one worker. Keys expire by `clock`."""

    def __init__(self, pool: Pool, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(pool, _TABLE, _made)
        self._clock = clock
        self._used: dict[str, datetime] = {}
        self._writer: asyncio.Task[None] | None = None

    async def scopes(self, key: Key) -> frozenset[str]:
        """Return the scopes of a key. Raise as `checked` does."""
        return (await self.checked(key)).scopes

    async def checked(self, key: Key) -> Stored:
        """Return what is known of a key. Raise Unauthorized, or PostgresUnavailable or Busy if nobody can say."""
        stored = await self.found(key.prefix)
        is_right = is_equal(key, _NOBODY if stored is None else stored.hash)
        if stored is None or not is_right:
            raise Unauthorized("This is not a key.")
        # Only the owner of the secret learns why it is refused.
        return self._used_now(key.prefix, stored)

    async def of(self, prefix: str) -> Stored:
        """Return what is known of the key of this prefix, for whoever has proved that it is theirs. Raise as `checked`
        does."""
        stored = await self.found(prefix)
        if stored is None:
            raise Unauthorized("This key is gone.")
        return self._used_now(prefix, stored)

    def _used_now(self, prefix: str, stored: Stored) -> Stored:
        """Return a key that is good now, and note that it was used. Raise Unauthorized."""
        if stored.is_revoked:
            raise Unauthorized("This key was revoked.")
        now = self._clock()
        if stored.expires_at is not None and stored.expires_at <= now:
            raise Unauthorized("This key has expired.")
        self._note_use(prefix, now)
        return stored

    # -- uses ------------------------------------------------------------------------------------------------------

    def _note_use(self, prefix: str, now: datetime) -> None:
        self._used.pop(prefix, None)  # the latest use stands at the end
        self._used[prefix] = now
        if len(self._used) > _USED_MAX:
            del self._used[next(iter(self._used))]

    async def start(self) -> None:
        """Start to refresh the cache, and to write uses."""
        await super().start()
        self._writer = asyncio.create_task(self._write_uses())

    async def stop(self) -> None:
        """Write the uses that remain, and stop."""
        if self._writer is not None:
            await end(self._writer)
            self._writer = None
            try:
                async with asyncio.timeout(_WRITE_S):
                    await self.write_uses()
            except TimeoutError as error:
                self._note_lost(error)
        await super().stop()

    async def _write_uses(self) -> None:
        while True:
            await asyncio.sleep(jittered(_WRITE_EVERY_S))
            await self.write_uses()

    async def write_uses(self) -> None:
        """Write the uses since the last time. Keep for the next time what Postgres does not take."""
        while self._used:
            batch = dict(list(self._used.items())[:_WRITE_MAX])
            try:
                await self._pool.execute(_USED, list(batch), list(batch.values()))
            except POSTGRES_ERRORS as error:
                self._note_lost(error)
                return
            except Exception as error:  # the next write may succeed
                self._note_lost(error)
                log.exception("key_uses_broke", error=type(error).__name__)
                return
            for prefix, at in batch.items():
                if self._used.get(prefix) == at:
                    del self._used[prefix]

    def _note_lost(self, error: Exception) -> None:
        LOOP_ERRORS.labels("key_uses").inc()
        log.warning("key_uses_waiting", error=type(error).__name__, keys=len(self._used))
