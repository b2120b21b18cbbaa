"""Connect to a Redis or Valkey Cluster as to a single server: repeat nothing, and wait for a free connection."""

import asyncio
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import parse_url
from redis.exceptions import ClusterError
from redis.exceptions import ConnectionError as RedisConnectionError

#: What the scheme of a cluster's URL ends with: `redis+cluster://[user:password@]host:port[,host:port...]`.
SUFFIX = "+cluster"


class Cluster(RedisCluster):
    """Sends a command to the node that owns its keys, and once more if that one says MOVED, ASK or TRYAGAIN, so that it
    did nothing.

    The second time goes to the owner too, whom MOVED names. ASK is not followed: it leads to a node that has received
    a part of the slot's keys and takes the others for new: a script would open an incarnation again, forget idempotency
    keys, and read too little. The node that still owns the slot refuses what it cannot do whole, so a script waits
    until the slot has moved.
    """

    #: Answers that `_execute_command` deals with in one call, where the second would be that to ASKING.
    RedisClusterRequestTTL = 1

    def __init__(self, *, places: int, patience_s: float, **options: Any) -> None:
        # Steps: by default every fifth MOVED would close all connections, also those on which others wait for answers.
        super().__init__(max_connections=2 * places, reinitialize_steps=0, **options)
        self._places = asyncio.Semaphore(places)
        self._patience_s = patience_s

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send one command, once a connection is free: redis-py would refuse while all are taken."""
        async with asyncio.timeout(self._patience_s):
            await self._places.acquire()
        try:
            await self.initialize()  # without it redis-py sends the first command to any node
            try:
                return await super().execute_command(*args, **kwargs)
            except ClusterError as error:
                if type(error) is not ClusterError:  # a kind of its own, such as ClusterDownError
                    raise
                return await super().execute_command(*args, **kwargs)  # MOVED, ASK or TRYAGAIN
        # Another caller met a cluster that is down and closed all connections, or uvloop found this one closed.
        except (AttributeError, RuntimeError) as error:
            raise RedisConnectionError("The connection was closed meanwhile.") from error
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Close every connection. redis-py would leave them open if the last command failed."""
        await super().aclose()
        nodes = {*self.nodes_manager.nodes_cache.values(), *self.nodes_manager.startup_nodes.values()}
        await asyncio.gather(*(node.disconnect() for node in nodes))


def connect_cluster(url: str, *, places: int, patience_s: float, **options: Any) -> Cluster:
    """Return a client that knows the nodes of the URL, and finds the others at first use."""
    first, *others = urls_of_nodes(url)
    nodes = [parse_url(other) for other in others]
    startup = [ClusterNode(node["host"], node.get("port", 6379)) for node in nodes]
    client = Cluster.from_url(first, startup_nodes=startup, places=places, patience_s=patience_s, **options)
    return cast("Cluster", client)


def urls_of_nodes(url: str) -> list[str]:
    """Return the URL of each node as if it stood alone."""
    parts = urlsplit(url)
    scheme = parts.scheme.removesuffix(SUFFIX)
    credentials, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(scheme=scheme, netloc=credentials + at + host)) for host in hosts.split(",")]
