"""The fast window: which ids came lately, and with what content. It is there to say so, not to be exact: that is the
sink (`aggregator/events.py`), and whatever is forgotten or unsure here goes to the log once more.

    claim     before the log: an id that nobody has is ours now
    confirm   after it: from now on a repeat is a duplicate and need not go to the log

Between the two, and for ever if the worker dies there, a repeat of the same content goes to the log as well, so nobody
is told "duplicate" of an event that is nowhere. Another content is a conflict while the claim is young; after that it
takes the id over.

    tallybook:{events.ids.<shard>}:now       hash     id -> content, claim
    tallybook:{events.ids.<shard>}:former    hash     what `now` was before
    tallybook:{events.ids.<shard>}:since     string   when `now` began
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from shared.errors import RedisUnavailable
from shared.redis_client import REDIS_ERRORS, Script
from shared.settings import Settings

#: Events in one script call: Redis serves nobody else meanwhile (some 1 us each), and Lua unpacks some thousand values.
_CHUNK = 1000
#: Seconds after which a claim without confirmation is of a worker that died: longer than an append may take.
HOLD_S = 60

_CLAIM = Script("shared/event_window.claim.lua")
_CONFIRM = Script("shared/event_window.confirm.lua")

#: What the script says of an event.
NEW, STORED, CLAIMED, OTHER = b"nspc"


class Named(NamedTuple):
    """An event as the window knows it: 16 bytes of its id and 8 of its content."""

    id: bytes
    content: bytes


class EventWindow:
    """The window as one worker sees it. Any number of tasks may share one."""

    def __init__(self, settings: Settings, redis: "Redis") -> None:
        self._settings = settings
        self._redis = redis

    async def claim(self, events: Sequence[Named]) -> list[int]:
        """For each event, in order, NEW, STORED, CLAIMED or OTHER; no id may be there twice. Raises
        RedisUnavailable."""
        verdicts = [NEW] * len(events)
        pieces = self._by_shard(events)
        try:  # at once, so that they share an fsync
            answers = await asyncio.gather(
                *(self._claim(shard, [events[at] for at in places]) for shard, places in pieces)
            )
        except REDIS_ERRORS as error:
            raise RedisUnavailable("Redis does not answer, so no event was taken. Send the upload again.") from error
        for (_, places), answer in zip(pieces, answers, strict=True):
            for place, verdict in zip(places, answer, strict=True):
                verdicts[place] = verdict
        return verdicts

    async def confirm(self, events: Sequence[Named]) -> None:
        """These are in the log. Raises REDIS_ERRORS."""
        pieces = self._by_shard(events)
        await asyncio.gather(*(self._confirm(shard, [events[at] for at in places]) for shard, places in pieces))

    async def _claim(self, shard: int, events: Sequence[Named]) -> bytes:
        of, settings = _prefix(shard), self._settings
        most = max(1, settings.events_window_ids // settings.shards)
        arguments = [settings.events_window_s, most, HOLD_S, _blob(events)]
        answer: bytes = await _CLAIM(self._redis, [of + "now", of + "former", of + "since"], arguments)
        return answer

    async def _confirm(self, shard: int, events: Sequence[Named]) -> None:
        await _CONFIRM(self._redis, [_prefix(shard) + "now"], [self._settings.events_window_s, _blob(events)])

    def _by_shard(self, events: Sequence[Named]) -> list[tuple[int, list[int]]]:
        """Places of events, in pieces of one script call."""
        shards = self._settings.shards
        if shards == 1:
            return [(0, list(range(at, min(at + _CHUNK, len(events))))) for at in range(0, len(events), _CHUNK)]
        found: dict[int, list[int]] = {}
        for place, event in enumerate(events):
            found.setdefault(int.from_bytes(event.id[:4]) % shards, []).append(place)
        return [
            (shard, places[at : at + _CHUNK]) for shard, places in found.items() for at in range(0, len(places), _CHUNK)
        ]


def _blob(events: Sequence[Named]) -> bytes:
    return b"".join(part for event in events for part in event)


def _prefix(shard: int) -> str:
    return f"tallybook:{{events.ids.{shard}}}:"
