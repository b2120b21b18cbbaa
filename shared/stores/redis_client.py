"""Connect to Redis or Valkey, and run scripts from `.lua` files.

redis-py repeats a command by itself when its connection breaks (ten times by default), and a repeated increment is a
wrong number. So every connection made here repeats nothing: whoever may repeat does it above a script that knows what
it has already applied.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from shared.settings import Settings
from shared.stores.redis_cluster import SUFFIX, Cluster, connect_cluster

#: Errors of a call while Redis is away, slow or refuses, or while a cluster lacks the node that it needs.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError, asyncio.TimeoutError)

#: Connections of one client. A drain needs one; reads and keyed clicks share the rest and wait for a free one.
_CONNECTIONS = 32

_ROOT = Path(__file__).parent.parent.parent


def connect(settings: Settings, url: str | None = None) -> "Redis":
    """A client with a pool of its own, which connects at first use and never repeats a command: of the URL, else of
    the one in the settings. Close it with `aclose()`.

    That of a cluster is typed as the other one: all that is used here, both have.
    """
    url = url or settings.redis_url
    if url is None:
        raise ValueError("TALLYBOOK_REDIS_URL is not set; `tallybook up` sets it for its children")
    patience_s = settings.redis_timeout_s
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": patience_s,
        "socket_connect_timeout": patience_s,
    }
    if url.partition("://")[0].endswith(SUFFIX):
        return cast("Redis", connect_cluster(url, places=_CONNECTIONS, patience_s=patience_s, **options))
    return _Client.from_pool(
        BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS, timeout=patience_s, **options)
    )


class _Client(Redis):
    """A client of one server."""

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send one command. Raises REDIS_ERRORS."""
        try:
            return await super().execute_command(*args, **kwargs)  # type: ignore[no-untyped-call]
        except RuntimeError as error:  # what uvloop says of a connection that broke before it was written to
            raise RedisConnectionError("The connection was closed meanwhile.") from error


async def masters(redis: "Redis | Cluster") -> dict[str, dict[str, Any]]:
    """Return the arguments that send a command without a key to each master of a cluster, or to the only server, by
    name: `redis.ping(**to)`. Raises REDIS_ERRORS."""
    if not isinstance(redis, Cluster):
        return {"redis": {}}
    await redis.initialize()
    return {f"redis {node.name}": {"target_nodes": node} for node in redis.get_primaries()}


class Script:
    """A Lua script, joined from files that are named from the root of the packages. It is sent by its hash, in a
    cluster to the node that owns its keys, and loaded where it is missing."""

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
