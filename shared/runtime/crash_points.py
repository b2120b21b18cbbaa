"""Kill the process at named points, for tests.

`TALLYBOOK_CRASH="sealed=0.01,after_commit=0.05"` gives each named point a probability; without it a point costs one
call that does nothing. A point that is taken is `kill -9` of oneself: no handler, no flush. It writes only its name.
"""

import os
import random
import signal
from collections.abc import Callable


def _nothing(name: str) -> None:
    """Do nothing: no crash points are armed."""


def _armed(spec: str) -> Callable[[str], None]:
    chances = {name: float(chance) for name, _, chance in (part.partition("=") for part in spec.split(","))}

    def crash_here(name: str) -> None:
        if random.random() < chances.get(name, 0.0):  # noqa: S311 - no secret
            os.write(2, f"crash_point {name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return crash_here


crash_point: Callable[[str], None] = (
    _armed(os.environ["TALLYBOOK_CRASH"]) if "TALLYBOOK_CRASH" in os.environ else _nothing
)
