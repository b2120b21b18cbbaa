"""Share out the memory of Redis. Each use has a bound in bytes, and 28 % are left for clicks and the server itself.

Everything but clicks stops at its bound: the log refuses appends, and windows forget their oldest half. So open minutes
and pages of lanes always find room, whatever is uploaded and however long a sink is away. The bounds hold for each
server: in a cluster every master has room for all uses, wherever the slots of their keys lie.

Costs are upper bounds of what Redis 7 and Valkey 9 take, with what their allocator adds.
"""

from collections.abc import Mapping
from types import MappingProxyType

from shared.settings import Settings

#: Percent of `redis_memory_bytes` for each use. Topics of the log bear their names.
SHARES: Mapping[str, int] = MappingProxyType(
    {"hits": 13, "events": 13, "page_views": 10, "web": 10, "event_ids": 10, "click_ids": 8, "answers": 4, "limits": 4}
)
#: Uses that are topics of the log.
TOPICS = ("hits", "events", "page_views", "web")
#: Bytes of one entry in the window of event ids, of click ids, and of arrival times of clients.
EVENT_ID, CLICK_ID, LIMIT = 112, 80, 96
#: Bytes of an upload beside its answer (`ingest/events/upload_keys.turn.lua`).
ANSWER = 160


def bound(settings: Settings, use: str) -> int:
    """Return the bytes that a use may take."""
    return settings.redis_memory_bytes * SHARES[use] // 100


def partition_bounds(settings: Settings) -> dict[str, int]:
    """Return the bytes that one partition of each topic may take."""
    return {topic: bound(settings, topic) // settings.log_partitions for topic in TOPICS}


def entries(settings: Settings, use: str, cost: int) -> int:
    """Return how many entries of that cost one shard of a window may hold."""
    return max(2, bound(settings, use) // settings.shards // cost)
