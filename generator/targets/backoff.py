"""Waiting before a repeat: exponential, with full jitter, so that many who fail together do not come back together."""

import random


class Backoff:
    """Waits of one thing that is repeated: up to `first_s`, twice that, and so on up to `most_s`."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._failures = 0

    def wait_s(self) -> float:
        """Seconds to wait after one more failure."""
        bound = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return random.uniform(0, bound)  # noqa: S311 - jitter

    def succeeded(self) -> None:
        """Begin with the first wait again."""
        self._failures = 0
