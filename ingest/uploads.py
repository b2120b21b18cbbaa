"""Uploads under an Idempotency-Key: the first answer is kept in Redis for a day and given again, byte for byte.

An attempt takes the key for a while and works. One that dies leaves it: the next attempt works again, and its events
are duplicates of themselves, so each still counts once. An attempt that was stopped for longer than that finds another
one's answer kept, and gives that.
"""

import contextlib
import secrets
import zlib
from hashlib import blake2b
from typing import NamedTuple

from redis.asyncio import Redis

from shared.errors import Conflict, Invalid, RedisUnavailable
from shared.redis_client import REDIS_ERRORS, Script

#: Seconds for which an answer is kept, and for which an attempt has its key.
KEPT_S, ATTEMPT_S = 86_400, 60

_BEGIN = Script("ingest/uploads.begin.lua")
_FINISH = Script("ingest/uploads.finish.lua")


class Attempt(NamedTuple):
    """An upload that has its key now; `answer` is the kept one, then there is nothing to do."""

    key: str
    token: str
    answer: bytes | None = None


async def begin(redis: "Redis", key: str, body: bytes, kind: str) -> Attempt:
    """Take the key for a body of this kind. Raises Conflict while another attempt has it, Invalid for another body,
    RedisUnavailable."""
    name = blake2b(key.encode("ascii"), digest_size=16, person=b"tallybook.upload").hexdigest()
    attempt = Attempt(f"tallybook:{{events.upload.{name}}}", secrets.token_hex(8))
    digest = blake2b(body, digest_size=16, key=kind.encode()[:64]).digest()
    try:
        verdict, *rest = await _BEGIN(redis, [attempt.key], [digest, attempt.token, ATTEMPT_S, KEPT_S])
    except REDIS_ERRORS as error:
        raise RedisUnavailable("Redis does not answer, so no event was taken. Send the upload again.") from error
    if verdict == b"OTHER":
        detail = "The Idempotency-Key was used with another body."
        raise Invalid(detail, errors=[{"parameter": "Idempotency-Key", "detail": detail}])
    if verdict == b"BUSY":
        raise Conflict("An upload under this Idempotency-Key is being worked on. Repeat it later.", retry_after_s=1)
    return attempt._replace(answer=zlib.decompress(rest[0])) if verdict == b"ANSWER" else attempt


async def finish(redis: "Redis", attempt: Attempt, answer: bytes) -> bytes:
    """Keep the answer, and get the one that is kept. Raises RedisUnavailable: the events are stored, and the next
    attempt says so."""
    try:
        kept = await _FINISH(redis, [attempt.key], [attempt.token, KEPT_S, zlib.compress(answer, 1)])
    except REDIS_ERRORS as error:
        raise RedisUnavailable("Redis did not keep the answer. Send the upload again, under the same key.") from error
    if kept is None:
        raise Conflict("Another attempt has this Idempotency-Key. Repeat it later.", retry_after_s=1)
    return zlib.decompress(kept)


async def abandon(redis: "Redis", attempt: Attempt) -> None:
    """Let the key go after an error, so that the next attempt need not wait."""
    with contextlib.suppress(*REDIS_ERRORS):
        await _FINISH(redis, [attempt.key], [attempt.token, KEPT_S, ""])
