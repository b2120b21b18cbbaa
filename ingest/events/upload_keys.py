"""Keep the first answer to an upload under an Idempotency-Key for a day, and give it again, byte for byte.

An attempt takes the key for a while and works. One that dies leaves it: the next attempt works again, and its events
are duplicates of themselves, so each still counts once. An attempt that was stopped for longer than that finds another
one's answer kept, and gives that.

What is kept is bounded in time and in bytes (`shared/stores/redis_memory.py`). Of too many answers the oldest are
forgotten, and their uploads may be sent again like those whose attempt died.

    tallybook:{events.uploads.<shard>}:now       hash     name -> body, token, end of the attempt, answer
    tallybook:{events.uploads.<shard>}:former    hash     what `now` was before
    tallybook:{events.uploads.<shard>}:book      hash     since: when `now` began; bytes, former: of the answers
"""

import contextlib
import secrets
import zlib
from hashlib import blake2b
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.errors import Conflict, Invalid, RedisUnavailable
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.redis_client import REDIS_ERRORS, Script

#: Seconds for which an answer is kept at least, and for which an attempt has its key.
KEPT_S, ATTEMPT_S = 86_400, 60

_BEGIN = Script("ingest/events/upload_keys.turn.lua", "ingest/events/upload_keys.begin.lua")
_FINISH = Script("ingest/events/upload_keys.turn.lua", "ingest/events/upload_keys.finish.lua")


class Attempt(NamedTuple):
    """Hold an upload that has its key. With an `answer`, which was kept, nothing remains to do."""

    name: bytes
    head: bytes
    answer: bytes | None = None


class Uploads:
    """Access the kept answers from one worker. Tasks may share it."""

    def __init__(self, settings: Settings, redis: "Redis", *, bytes_max: int | None = None) -> None:
        self._shards = settings.shards
        self._redis = redis
        bytes_max = redis_memory.bound(settings, "answers") if bytes_max is None else bytes_max
        self._bounds = [KEPT_S, max(1, bytes_max // settings.shards)]

    async def begin(self, key: str, body: bytes, kind: str, caller: str = "") -> Attempt:
        """Take the caller's key for a body of this kind. Raises Conflict while another attempt has it, Invalid for
        another body, RedisUnavailable."""
        # A key has no line end, so nobody means another one's.
        whole = f"{caller}\n{key}".encode(errors="surrogatepass")
        name = blake2b(whole, digest_size=16, person=b"tallybook.upload").digest()
        digest = blake2b(body, digest_size=16, key=kind.encode()[:64]).digest()
        attempt = Attempt(name, digest + secrets.token_bytes(8))
        try:
            verdict, *rest = await self._run(_BEGIN, attempt, ATTEMPT_S)
        except REDIS_ERRORS as error:
            await self.abandon(attempt)  # which it may have all the same
            raise RedisUnavailable("Redis does not answer, so no event was taken. Send the upload again.") from error
        if verdict == b"OTHER":
            detail = "The Idempotency-Key was used with another body."
            raise Invalid(detail, errors=[{"parameter": "Idempotency-Key", "detail": detail}])
        if verdict == b"BUSY":
            raise Conflict("An upload under this Idempotency-Key is being worked on. Repeat it later.")
        return attempt._replace(answer=zlib.decompress(rest[0])) if verdict == b"ANSWER" else attempt

    async def finish(self, attempt: Attempt, answer: bytes) -> bytes:
        """Keep the answer, and return the kept one.

        Raise RedisUnavailable: the events are stored, and the next attempt says so.
        """
        try:
            kept = await self._run(_FINISH, attempt, zlib.compress(answer, 1))
        except REDIS_ERRORS as error:
            raise RedisUnavailable(
                "Redis did not keep the answer. Send the upload again, under the same key."
            ) from error
        if kept is None:
            raise Conflict("Another attempt has this Idempotency-Key. Repeat it later.")
        return zlib.decompress(kept)

    async def abandon(self, attempt: Attempt) -> None:
        """Release the key after an error, so that the next attempt need not wait."""
        with contextlib.suppress(*REDIS_ERRORS):
            await self._run(_FINISH, attempt, "")

    async def _run(self, script: Script, attempt: Attempt, more: Any) -> Any:
        of = f"tallybook:{{events.uploads.{int.from_bytes(attempt.name[:4]) % self._shards}}}:"
        keys = [of + "now", of + "former", of + "book"]
        return await script(self._redis, keys, [*self._bounds, attempt.name, attempt.head, more])
