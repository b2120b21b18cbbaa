"""Report what each use of Redis takes, and what it may take (`shared/stores/redis_memory.py`)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from shared.counting import keys
from shared.record_log.streams import prefix
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.redis_client import connect, masters
from shared.telemetry.metrics import REDIS_BOUND, REDIS_USED

#: Questions to Redis at the same time: clicks go first.
_AT_ONCE = 8


@asynccontextmanager
async def redis_uses(settings: Settings, redis: "Redis") -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Give what updates the metrics. It raises REDIS_ERRORS."""
    url = settings.log_url
    if url is None or url == settings.redis_url:
        yield lambda: _report(settings, redis, redis)
    elif url.startswith("kafka://"):
        yield lambda: _report(settings, redis, None)
    else:
        log = connect(settings, url)
        try:
            yield lambda: _report(settings, redis, log)
        finally:
            await log.aclose()


async def _report(settings: Settings, redis: "Redis", log: "Redis | None") -> None:
    """The log may be elsewhere, or None where it is no Redis."""
    for use, used in {**await _windows(settings, redis), **(await _topics(settings, log) if log else {})}.items():
        _set(use, used, redis_memory.bound(settings, use))
    servers = [await _fullest(one, settings.redis_memory_bytes) for one in {redis, log} if one is not None]
    _set("total", *max(servers, key=lambda server: server[0] / server[1]))


def _set(use: str, used: int, bound: int) -> None:
    REDIS_USED.labels(use).set(used)
    REDIS_BOUND.labels(use).set(bound)


async def _topics(settings: Settings, log: "Redis") -> dict[str, int]:
    """Bytes of each topic of the log, by the books of its partitions."""
    books = {
        topic: await _gathered(
            [log.hmget(prefix(topic, number) + "book", ["bytes", "gone"]) for number in range(settings.log_partitions)]
        )
        for topic in redis_memory.TOPICS
    }
    return {topic: sum(int(came or 0) - int(gone or 0) for came, gone in found) for topic, found in books.items()}


async def _windows(settings: Settings, redis: "Redis") -> dict[str, int]:
    """Bytes of each window, by its entries."""
    shards, halves = range(settings.shards), ("now", "former")

    async def hashes(name: str) -> int:
        asked = [redis.hlen(f"tallybook:{{{name}.{shard}}}:{half}") for shard in shards for half in halves]
        return sum(await _gathered(asked))

    click_ids = await _gathered([redis.scard(f"{keys.prefix(shard)}ids:{half}") for shard in shards for half in halves])
    answers = await _gathered(
        [redis.hmget(f"tallybook:{{events.uploads.{shard}}}:book", ["bytes", "former"]) for shard in shards]
    )
    return {
        "event_ids": await hashes("events.ids") * redis_memory.EVENT_ID,
        "click_ids": sum(click_ids) * redis_memory.CLICK_ID,
        "answers": sum(int(part or 0) for parts in answers for part in parts)
        + await hashes("events.uploads") * redis_memory.ANSWER,
        "limits": (await hashes("limits.clients") + await hashes("limits.keys")) * redis_memory.LIMIT,
    }


async def _fullest(redis: "Redis", memory_bytes: int) -> tuple[int, int]:
    """(bytes used, bytes that it may use) of the fullest master."""
    found = [await redis.info("memory", **to) for to in (await masters(redis)).values()]
    servers = [(int(info["used_memory"]), int(info.get("maxmemory") or memory_bytes)) for info in found]
    return max(servers, key=lambda server: server[0] / server[1])


async def _gathered(questions: list[Any]) -> list[Any]:
    """Every answer, in order, a few at a time."""
    answers = list[Any]()
    for at in range(0, len(questions), _AT_ONCE):
        answers += await asyncio.gather(*questions[at : at + _AT_ONCE])
    return answers
