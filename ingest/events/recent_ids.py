"""Report recent duplicates and conflicts, best effort. The sink makes the final decision.

    claim     before the append: take the ids that nobody has
    confirm   after the append: from now on a repeat is a duplicate, and need not be appended

Between the two, and for ever if the worker dies there, a repeat of the same content is appended again. So no client is
told "duplicate" of an event that is nowhere. Another content is a conflict while the claim is young. Later it takes the
id over. All events of an upload are claimed under one name, and `confirm` confirms the name. The sink is
`aggregator/sink/event_blocks.py`.

    tallybook:{events.ids.<shard>}:now       hash     id -> content, claim; claim -> nothing, once confirmed
    tallybook:{events.ids.<shard>}:former    hash     what `now` was before
    tallybook:{events.ids.<shard>}:since     string   when `now` began
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from shared.errors import RedisUnavailable
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.redis_client import REDIS_ERRORS, Script

#: Events in one script call: Redis serves nobody else meanwhile (some 2 us each), and Lua unpacks some thousand values.
_CHUNK = 1000
#: Seconds after which a claim without confirmation is of a worker that died: longer than an append may take.
HOLD_S = 60
#: Seconds for which a repeated event is reported as one, if memory suffices.
WINDOW_S = 3600

_CLAIM = Script("shared/stores/window.turn.lua", "ingest/events/recent_ids.claim.lua")
_CONFIRM = Script("ingest/events/recent_ids.confirm.lua")

#: What the script says of an event.
NEW, STORED, CLAIMED, OTHER = b"nspc"


class Claim(NamedTuple):
    """Hold the verdict on each event of an upload, in order: NEW, STORED, CLAIMED or OTHER.

    Events that are NEW or CLAIMED bear the name now, in the shards.
    """

    name: bytes
    shards: Sequence[int]
    verdicts: bytes


class EventWindow:
    """Access the window from one worker. Tasks may share it.

    Events are given by their names (`named` in `shared/events/rows.py`): 16 bytes of the id and 8 of the content.
    """

    def __init__(self, settings: Settings, redis: "Redis") -> None:
        self._settings = settings
        self._redis = redis
        #: Entries of one shard, and events of one call: no more than half of them.
        self._most = redis_memory.entries(settings, "event_ids", redis_memory.EVENT_ID)
        self._chunk = min(_CHUNK, max(1, self._most // 2 - 1))

    async def claim(self, events: Sequence[bytes]) -> Claim:
        """Claim the ids that nobody has. No id may be given twice. Raise RedisUnavailable."""
        name, pieces = secrets.token_bytes(8), self._by_shard(events)
        try:  # at once, so that they share an fsync
            answers = await asyncio.gather(
                *(self._claim(name, shard, [events[at] for at in places]) for shard, places in pieces)
            )
        except REDIS_ERRORS as error:
            raise RedisUnavailable("Redis does not answer, so no event was taken. Send the upload again.") from error
        verdicts = bytearray(len(events))
        for (_, places), answer in zip(pieces, answers, strict=True):
            for place, verdict in zip(places, answer, strict=True):
                verdicts[place] = verdict
        return Claim(name, sorted({shard for shard, _ in pieces}), bytes(verdicts))

    async def confirm(self, claim: Claim) -> None:
        """Note that all claimed events are in the log. Raise REDIS_ERRORS."""
        arguments = [WINDOW_S, claim.name]
        await asyncio.gather(*(_CONFIRM(self._redis, [_prefix(shard) + "now"], arguments) for shard in claim.shards))

    async def _claim(self, name: bytes, shard: int, events: Sequence[bytes]) -> bytes:
        of = _prefix(shard)
        arguments = [WINDOW_S, self._most, HOLD_S, name, b"".join(events)]
        answer: bytes = await _CLAIM(self._redis, [of + "now", of + "former", of + "since"], arguments)
        return answer

    def _by_shard(self, events: Sequence[bytes]) -> list[tuple[int, Sequence[int]]]:
        """Return the places of events by shard, in pieces of one script call."""
        shards, chunk = self._settings.shards, self._chunk
        if shards == 1:
            return [(0, range(at, min(at + chunk, len(events)))) for at in range(0, len(events), chunk)]
        found: dict[int, list[int]] = {}
        for place, event in enumerate(events):
            found.setdefault(int.from_bytes(event[:4]) % shards, []).append(place)
        return [
            (shard, places[at : at + chunk]) for shard, places in found.items() for at in range(0, len(places), chunk)
        ]


def _prefix(shard: int) -> str:
    return f"tallybook:{{events.ids.{shard}}}:"
