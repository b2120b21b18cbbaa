"""Tell the application what went wrong: callbacks, and lines of the log that never hold a payload."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from tallybook_sdk.sending.courier import Rejected

#: Seconds between two lines of the log about the same thing.
_LOG_EVERY_S = 60.0
#: Seconds by which the clocks may differ before the log says so.
_OFFSET_LOG_S = 5.0

logger = logging.getLogger("tallybook_sdk")
logger.addHandler(logging.NullHandler())


class Teller:
    """Call back and log, outside of the client's lock."""

    def __init__(self, on_reject: Callable[[Rejected], object] | None) -> None:
        self._on_reject = on_reject
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def tell(
        self, rejections: Sequence[Rejected], notices: Mapping[tuple[str, str, str], int], offset_s: float
    ) -> None:
        """Call back and log, outside of the lock. Never log a payload: of a rejection only its code."""
        for rejected in rejections:
            try:
                if self._on_reject:
                    self._on_reject(rejected)
            except Exception:
                logger.exception("on_reject failed")
        for (route, code, detail), count in notices.items():
            if code == "retrying":
                self._say(logging.WARNING, route, code, count, f"no success yet, repeating: {detail[:300]}")
            elif code in ("unauthorized", "misconfigured"):
                self._say(logging.ERROR, route, code, count, f"paused until the settings are mended: {detail[:300]}")
            else:
                self._say(logging.WARNING, route, code, count, f"rejected: {code}")
        if abs(offset_s) > _OFFSET_LOG_S:
            self._say(logging.WARNING, "clicks", "clock", 1, f"this clock is off by {offset_s:.0f} s")

    def _say(self, level: int, route: str, code: str, count: int, text: str) -> None:
        """Log once a minute for each route and code, with how often it happened."""
        now = time.monotonic()
        next_at, unsaid = self._said.get((route, code), (0.0, 0))
        if now < next_at:
            self._said[route, code] = (next_at, unsaid + count)
            return
        self._said[route, code] = (now + _LOG_EVERY_S, 0)
        logger.log(level, "%s: %s (%d times)", route, text, unsaid + count)
