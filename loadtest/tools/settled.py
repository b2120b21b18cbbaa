"""Waits for a count that no longer moves."""

import time
from collections.abc import Callable

#: Seconds between two looks, and until a count that still moves is taken as it is (and then fails the comparison).
_LOOK_S, _GIVE_UP_S = 0.05, 20.0


def settled(count: Callable[[], int]) -> int:
    """The count once two looks agree: requests that the generator dropped at its end may still be worked on."""
    deadline, last = time.monotonic() + _GIVE_UP_S, count()
    while time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        now = count()
        if now == last:
            break
        last = now
    return last
