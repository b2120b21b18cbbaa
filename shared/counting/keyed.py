"""Clicks that carry a key: checked and counted by one script in Redis, then acknowledged.

Noting the key first and counting in the lane afterwards could lose a click: a worker that dies between the two leaves a
key without a click, and the client's repeat would be told that it is a duplicate. So the check and the count are one
atomic step.
"""

import secrets
import struct
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from shared.counting import keys
from shared.errors import RedisUnavailable
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.redis_client import REDIS_ERRORS, Script

#: Entries in one script call: Redis serves nobody else meanwhile (some 2 us each).
_CHUNK = 1000

_KEYED = Script("shared/counting/incarnation.lua", "shared/stores/window.turn.lua", "shared/counting/keyed.lua")


class KeyedClick(NamedTuple):
    """`count` clicks of a banner in a minute, under 16 bytes that name them."""

    minute: int
    banner: int
    count: int  # type: ignore[assignment]
    key: bytes


class Keyed:
    """Counts clicks with keys. Any number of tasks may share one."""

    def __init__(self, settings: Settings, redis: "Redis") -> None:
        self._settings = settings
        self._redis = redis
        #: Ids of one shard, and clicks of one call: no more than half of them.
        self._most = redis_memory.entries(settings, "click_ids", redis_memory.CLICK_ID)
        self._chunk = min(_CHUNK, self._most // 2)

    async def count(self, clicks: Sequence[KeyedClick]) -> list[bool]:
        """For each click, in order: True counted now, False counted before within the window.

        Raises RedisUnavailable; then some may have been counted, and the repeat of the same call counts the others.
        """
        by_shard: dict[int, list[int]] = {}
        for index, click in enumerate(clicks):
            by_shard.setdefault(int.from_bytes(click.key[:4]) % self._settings.shards, []).append(index)
        answers = [False] * len(clicks)
        for shard, indexes in by_shard.items():
            for at in range(0, len(indexes), self._chunk):
                part = indexes[at : at + self._chunk]
                for index, counted in zip(part, await self._apply(shard, [clicks[i] for i in part]), strict=True):
                    answers[index] = counted
        return answers

    async def _apply(self, shard: int, clicks: list[KeyedClick]) -> list[bool]:
        prefix = keys.prefix(shard)
        blob = b"".join(struct.pack("<QQQ16s", *click) for click in clicks)
        arguments = [self._settings.idempotency_window_s, self._most, secrets.token_hex(8), prefix, blob]
        names = ("cur", "live", "keyed", "ids:now", "ids:former", "ids:since")
        try:
            answer = await _KEYED(self._redis, [prefix + name for name in names], arguments)
        except REDIS_ERRORS as error:
            raise RedisUnavailable from error
        return [byte == ord("1") for byte in answer]
