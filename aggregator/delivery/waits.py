"""Explain why a store keeps a delivery waiting, and say for how long.

No try is the last one: an acknowledged record is never given up, and a store that is away returns or is mended.
"""

from typing import NamedTuple

from shared.errors import LogUnavailable
from shared.record_log.record_log import LogDamaged
from shared.runtime.backoff import Backoff
from shared.stores.clickhouse import Class
from shared.stores.failures import noted

#: Seconds between two tries at what a person has to mend. The first waits are short: it may mend itself.
SETUP_S, _SETUP_FIRST_S = 30.0, 1.0
#: Seconds of the first wait and of the longest, by the class of the error.
_WAITS: dict[Class, tuple[float, float]] = {
    "unknown": (0.1, 30.0),
    "overload": (1.0, 60.0),
    "readonly": (0.1, 30.0),
}
#: Characters of a reason that are kept.
_REASON_MAX = 400


class NeedsRepair(Exception):
    """Data that no repeat makes right: a person has to repair it before the delivery goes on."""


class Obstacle(NamedTuple):
    """Why a step failed: the class and the code of the error, and its words, which Postgres can store."""

    kind: Class
    code: str
    reason: str


def explain(error: Exception) -> Obstacle:
    """Say what a failed step waits for, and count a store that refuses. An error that blames no record is of set-up."""
    _, kind, code = noted(error)
    if kind == "data" or isinstance(error, LogDamaged | NeedsRepair):
        kind = "setup"
    cause = error.__cause__ if isinstance(error, LogUnavailable) and error.__cause__ is not None else error
    return Obstacle(kind, code, str(cause).replace("\0", "")[:_REASON_MAX] or type(cause).__name__)


def wait_s(kind: Class, failures: int) -> float:
    """Return the seconds to wait after a failure that followed so many others."""
    if kind not in _WAITS:
        return Backoff(_SETUP_FIRST_S, SETUP_S, (0.75, 1.25)).after(failures)
    return Backoff(*_WAITS[kind], (0.0, 1.0)).after(failures)
