"""How long to wait before a step is repeated. There is no last time: what was acknowledged to a client is never given
up, and whatever is away comes back or is mended."""

import random

from shared.stores.clickhouse import Class

#: Seconds of the first wait and of the longest, by the class of the error. They double in between.
_WAITS: dict[Class, tuple[float, float]] = {
    "unknown": (0.1, 30.0),
    "overload": (1.0, 60.0),
    "readonly": (0.1, 30.0),
}
#: Seconds between two looks at something that a person has to mend. The first waits are short: it may mend itself.
SETUP_S, _SETUP_FIRST_S = 30.0, 1.0


def wait_s(kind: Class, failures: int) -> float:
    """Seconds to wait after so many failures in a row before this one. From none to twice the former bound, so that
    many processes that failed together do not come back together."""
    if kind not in _WAITS:
        most = min(SETUP_S, _SETUP_FIRST_S * 2.0 ** min(failures, 20))
        return most * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
    first, longest = _WAITS[kind]
    return random.uniform(0.0, min(longest, first * 2.0 ** min(failures, 20)))  # noqa: S311 - jitter
