"""Forgetting what every sink has stored, in either log, and never more than that."""

from shared.record_log.cursors import Cursors
from shared.record_log.record_log import Log

#: Seconds for which records are kept after the last sink is done with them, for repairs.
KEEP_S = 3600.0
#: Seconds between two trims. Half of a partition in Redis may fill in a few seconds; brokers have disks.
TRIM_S = {"streams": 2.0, "kafka": 30.0}


async def trim(log: Log, cursors: Cursors, topic: str, keep_s: float = KEEP_S) -> None:
    """Trim all partitions of a topic behind their slowest sinks; one that no sink reads is left alone. Raises
    LogUnavailable and POSTGRES_ERRORS."""
    for partition, slowest in (await cursors.slowest(topic)).items():
        if partition < log.partitions:
            await log.trim(topic, partition, slowest, keep_s)
