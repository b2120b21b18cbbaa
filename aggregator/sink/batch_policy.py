"""Cut records into batches by number, by time, or by whichever comes first."""

import math
from typing import Literal, NamedTuple

from shared.record_log.record_log import Limit

Cut = Literal["batch", "time", "hybrid"]

#: Records of one insert at most, however long it was waited for them.
RECORDS_MAX = 500_000


class Policy(NamedTuple):
    """One way to cut.

    - `batch`: at `records`. What does not fill a batch waits for others, however long; a stop stores nothing of it.
    - `time`: `wait_s` seconds after the reading began, whatever has come.
    - `hybrid`: at `records` or after `wait_s`, whatever comes first.

    The bytes of an insert are bounded in any case.
    """

    cut: Cut = "hybrid"
    records: int = 10_000
    wait_s: float = 1.0

    def limit(self, most_bytes: int) -> Limit:
        """Return the policy as the limit of a read."""
        return Limit(
            records=RECORDS_MAX if self.cut == "time" else self.records,
            bytes=most_bytes,
            wait_s=math.inf if self.cut == "batch" else self.wait_s,
        )
