"""Events of the crowd, whose uploads are repeated until they are acknowledged, and the books of what must be there."""

import random
import secrets
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

#: Most new events of an upload, and most that came before.
_NEW, _AGAIN = 30, 8
#: Events that an upload may repeat: the last ones.
_LATELY = 400


class EventBooks:
    """Events by id. `fault` notes a broken promise."""

    def __init__(self, fault: Callable[[str, str], None]) -> None:
        self._fault = fault
        self._tried: dict[str, dict[str, Any]] = {}
        self._lately: list[dict[str, Any]] = []
        self.acked: set[str] = set()

    def upload(self, chance: random.Random) -> list[dict[str, Any]]:
        """New events, and some that came before, in any order and one of them perhaps twice."""
        new = [self._made(chance) for _ in range(chance.randint(1, _NEW))]
        self._lately = [*self._lately, *new][-_LATELY:]
        events = [*new, *chance.sample(self._lately, min(len(self._lately), chance.randint(0, _AGAIN)))]
        chance.shuffle(events)
        return events

    def _made(self, chance: random.Random) -> dict[str, Any]:
        identity = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        at = datetime.now(UTC) - timedelta(days=chance.randrange(70))
        event = {"event_id": identity, "occurred_at": at.isoformat(), "user_id": secrets.token_hex(4)}
        self._tried[identity] = event | {"event_type": "view", "properties": {"n": len(self._tried)}}
        return self._tried[identity]

    def take(self, events: Iterable[dict[str, Any]]) -> None:
        """The client was told that each of them is stored."""
        self.acked.update(event["event_id"] for event in events)

    def check_taken(self, acked: set[str], found: set[str]) -> int:
        """E1, at any moment: nothing waits in the log of what was acknowledged by then, so all of it is found. Answers
        how many events are lost."""
        for identity in acked - found:
            self._fault("E1", f"event {identity} was acknowledged and is nowhere")
        return len(acked - found)

    def check(self, rows: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """E1, when all is settled: (id, user) of each row. Answers how many events are lost, and rows too many."""
        found: dict[str, str] = {}
        doubled = 0
        for identity, user in rows:
            if identity in found:
                doubled += 1
                self._fault("E1", f"event {identity} has more than one row")
            found[identity] = user
            if user != self._tried.get(identity, {}).get("user_id"):
                self._fault("E1", f"nobody sent event {identity} of {user}")
        return self.check_taken(self.acked, set(found)), doubled
