"""Decide when a dead child is started again."""

import time

from shared.runtime.backoff import Backoff

#: Seconds to wait after the first death, and at most.
_FIRST_S, _MOST_S = 0.2, 5.0
#: Seconds of life after which a death counts as the first one again.
_SETTLED_S = 10.0


class Restarts:
    """The waits of a child: 0.2 s after a death, twice that after the next, 5 s at most. A life of 10 s resets them."""

    def __init__(self) -> None:
        #: Deaths in a row, each less than 10 s after a start.
        self.deaths = 0
        self._backoff = Backoff(_FIRST_S, _MOST_S, jitter=(1.0, 1.0))
        self._born_at = 0.0
        self._due_at = 0.0
        self._is_dead = False

    def started(self) -> None:
        """Note that the child was started."""
        self._born_at, self._is_dead = time.monotonic(), False

    def died(self) -> float | None:
        """Note that the child is dead. Return the seconds to wait, or None if the death was noted before."""
        if self._is_dead:
            return None
        self._is_dead = True
        now = time.monotonic()
        self.deaths = self.deaths + 1 if now - self._born_at < _SETTLED_S else 1
        wait_s = self._backoff.after(self.deaths - 1)
        self._due_at = now + wait_s
        return wait_s

    def is_due(self) -> bool:
        """Return whether a dead child may be started again."""
        return time.monotonic() >= self._due_at
