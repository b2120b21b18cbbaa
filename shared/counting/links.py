"""Count clicks of links that lead only so many people on (`max_clicks`), in Redis.

The look at what was taken and the count are one script. In two steps two workers could take the last click both.
A click whose answer is lost has used one up. All such links share the keys of shard 0, because raising
TALLYBOOK_SHARDS must not let a link begin again.
"""

import secrets
import struct

from redis.asyncio import Redis

from shared.counting import keys
from shared.errors import RedisUnavailable
from shared.stores.redis_client import REDIS_ERRORS, Script

_TAKE = Script("shared/counting/incarnation.lua", "shared/counting/links.take.lua")
_SHARD = 0


class LinkClicks:
    """Takes clicks of limited links. Any number of tasks may share one."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def take(self, slug: str, most: int, minute: int, banner: int) -> bool:
        """Count one click of the banner in the minute. Return False, and count nothing, if `most` were taken.

        Raises RedisUnavailable; then one may be taken.
        """
        prefix = keys.prefix(_SHARD)
        names = [*(prefix + name for name in ("cur", "live", "keyed")), keys.link_key(_SHARD, slug)]
        arguments = [most, secrets.token_hex(8), prefix, struct.pack("<QQQ", minute, banner, 1)]
        try:
            return bool(await _TAKE(self._redis, names, arguments))
        except REDIS_ERRORS as error:
            raise RedisUnavailable from error

    async def taken(self, slug: str) -> int:
        """Return how many clicks of the link were taken. Raises RedisUnavailable."""
        try:
            return int(await self._redis.get(keys.link_key(_SHARD, slug)) or 0)
        except REDIS_ERRORS as error:
            raise RedisUnavailable from error
