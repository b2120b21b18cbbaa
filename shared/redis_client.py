"""Connections to Redis or Valkey, and scripts kept in `.lua` files.

redis-py repeats a command by itself when its connection breaks (ten times by default), and a repeated increment is a
wrong number. So every connection made here repeats nothing: whoever may repeat does it above a script that knows what
it has already applied.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from shared.settings import Settings

#: What a call can raise when Redis is away, slow or refuses.
REDIS_ERRORS = (RedisError, OSError, asyncio.TimeoutError)

#: Connections of one process. A drain needs one; reads and keyed clicks share the rest and wait for a free one.
_CONNECTIONS = 32

_ROOT = Path(__file__).parent.parent


def connect(settings: Settings, url: str | None = None) -> "Redis":
    """A client with a pool of its own, which connects at first use and never repeats a command: of the URL, else of
    the one in the settings. Close it with `aclose()`."""
    url = url or settings.redis_url
    if url is None:
        raise ValueError("TALLYBOOK_REDIS_URL is not set; `tallybook up` sets it for its children")
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "max_connections": _CONNECTIONS,
        "timeout": settings.redis_timeout_s,
    }
    pool = BlockingConnectionPool.from_url(url, **options)
    return Redis.from_pool(pool)


class Script:
    """A Lua script made of the files, joined in order and named by their paths from the root of the packages. It is
    sent by its hash and loaded where it is missing."""

    def __init__(self, *files: str) -> None:
        self.source = "\n".join((_ROOT / name).read_text() for name in files)
        self._sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: "Redis", keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run it once. Raises one of REDIS_ERRORS; then the outcome is unknown, unless Redis answered with the
        error."""
        try:
            return await redis.evalsha(self._sha, len(keys), *keys, *arguments)
        except NoScriptError:  # nothing ran: the server does not know the script (a new one, or after SCRIPT FLUSH)
            return await redis.eval(self.source, len(keys), *keys, *arguments)
