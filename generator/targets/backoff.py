"""Back off exponentially, with full jitter, so that senders that fail together retry apart."""

import random


class Backoff:
    """The waits of one retried action: up to `first_s`, twice that, and so on up to `most_s`."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._failures = 0

    def wait_s(self) -> float:
        """Return the seconds to wait after one more failure."""
        bound = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return random.uniform(0, bound)  # noqa: S311 - jitter
