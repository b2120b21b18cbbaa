"""Waits between repeats: exponential, capped, with jitter, so that those who failed together return one by one."""

import random

#: Doublings after which a wait is at its cap, whatever the first one was.
_DOUBLINGS_MAX = 60

#: Not the shared source of `random`: whoever seeds that would make processes return together.
_chance = random.Random()  # noqa: S311 - jitter


def jittered(bound_s: float, factor: tuple[float, float] = (0.5, 1.0)) -> float:
    """Return the bound times a random factor of the range."""
    return bound_s * _chance.uniform(*factor)


class Backoff:
    """Wait up to `first_s`, then twice as long each time, up to `most_s`. `jitter` is the range of the factor."""

    def __init__(self, first_s: float, most_s: float, jitter: tuple[float, float] = (0.5, 1.0)) -> None:
        self._first_s, self._most_s, self._jitter = first_s, most_s, jitter
        #: Failures in a row.
        self.failures = 0

    def after(self, failures: int) -> float:
        """Return the seconds to wait after a failure that followed so many others."""
        bound = min(self._most_s, self._first_s * 2.0 ** min(failures, _DOUBLINGS_MAX))
        return jittered(bound, self._jitter)

    def next_s(self) -> float:
        """Count one more failure and return the seconds to wait after it."""
        self.failures += 1
        return self.after(self.failures - 1)

    def reset(self) -> None:
        """Begin with the first wait again."""
        self.failures = 0
