"""Forgetting what every sink has stored, in either log, and never more than that."""

import time

from shared.record_log.cursors import Cursors
from shared.record_log.record_log import Log, Position

#: Seconds for which records are kept after the last sink is done with them, for repairs.
KEEP_S = 3600.0
#: Seconds between two trims. Half of a partition in Redis may fill in a few seconds; brokers have disks.
TRIM_S = {"streams": 2.0, "kafka": 30.0}
#: Seconds after which a partition is trimmed again although no sink has moved: its records grow old meanwhile.
_AGAIN_S = 10.0


class Trimmer:
    """Trim partitions behind their slowest sinks; one that no sink reads is left alone."""

    def __init__(self, log: Log, cursors: Cursors, keep_s: float = KEEP_S) -> None:
        self._log, self._cursors, self._keep_s = log, cursors, keep_s
        #: Where each partition was trimmed up to, and when that is to be done again.
        self._done: dict[tuple[str, int], tuple[Position, float]] = {}

    async def trim(self, *topics: str) -> None:
        """Trim all partitions of the topics. Raises LogUnavailable and POSTGRES_ERRORS."""
        now = time.monotonic()
        for (topic, partition), slowest in (await self._cursors.slowest(*topics)).items():
            last, again = self._done.get((topic, partition), (None, 0.0))
            if partition >= self._log.partitions or (slowest == last and now < again):
                continue
            await self._log.trim(topic, partition, slowest, self._keep_s)
            self._done[topic, partition] = slowest, now + _AGAIN_S
