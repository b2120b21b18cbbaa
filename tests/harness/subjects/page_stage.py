"""Page views on real stores: a log, sinks that can be killed, and the ledger that all tables are compared with."""

import itertools
import time
from collections import Counter
from typing import Any

from aggregator.sink import audit
from aggregator.sink.batch_policy import Policy
from aggregator.sink.configured_pipelines import PAGE_VIEWS
from aggregator.sink.partition import Stores
from aggregator.sink.pipelines import Pipeline
from aggregator.sink.sink import Sink
from shared.record_log import dead_letters
from shared.record_log.accounting import account
from shared.record_log.cursors import Cursors
from shared.record_log.record_log import Log
from shared.stores.clickhouse import ClickHouse
from tests.harness.subjects.pages import HOUR_MS, MINUTE_MS, MINUTES_DAYS, Bucket, Sent, buckets, rows
from tests.harness.subjects.sinks import LEASE_S, Sinks
from tests.harness.wait import until

TOPIC = "page_views"
#: Small batches, so that there are many.
POLICY = Policy("hybrid", 100, 0.05)

_RAW = "SELECT page_id, user_id, toUnixTimestamp64Milli(event_time), duration_ms, is_bounce FROM page_views_raw"
_ENDED = "SELECT sum(rows_stored + rows_dead_lettered + rows_duplicate) FROM sink_cursor WHERE topic = $1"
_SUMS = (
    "SELECT toUnixTimestamp({0}) AS begin, page_id, sum(views), sum(bounces), sum(duration), uniqMerge(users)"
    " FROM page_views_agg_{0} GROUP BY begin, page_id"
)


class Stage(Sinks):
    """The stores, what was sent, and the sinks."""

    def __init__(self, log: Log, pool: Any, tables: ClickHouse) -> None:
        super().__init__(pool)
        self.log, self.tables = log, tables
        self.sent: list[Sent] = []
        self._seqs: Counter[int] = Counter()
        self._owners = itertools.count()

    def sink(self, pipeline: Pipeline = PAGE_VIEWS, policy: Policy = POLICY, **stores: Any) -> Sink:
        """One of a new process, which runs."""
        cursors = Cursors(self.pool, self.log.name, f"owner {next(self._owners)}", LEASE_S)
        made = {"log": self.log, "cursors": cursors, "clickhouse": self.tables, "limit": policy.limit(16 << 20)}
        return self.run(Sink(Stores(**{**made, **stores}), pipeline))

    async def append(self, sent: list[Sent]) -> None:
        """As tallybook itself appends: each partition's share at once."""
        shares: dict[int, list[Sent]] = {}
        for one in sent:
            shares.setdefault(self.log.partition_of(one.key), []).append(one)
        for partition, share in shares.items():
            self._seqs[partition] += 1
            await self.log.append(
                TOPIC,
                partition,
                [(one.key, one.value) for one in share],
                producer="tests",
                seq=self._seqs[partition],
            )
        self.sent += sent

    async def drained(self) -> None:
        """Wait until nothing is in flight."""
        await until(self._is_drained, "every record is somewhere")

    async def _is_drained(self) -> bool:
        taken = await account(self.log, self.pool, PAGE_VIEWS)
        ended = await self.pool.fetchval(_ENDED, TOPIC)
        return taken.in_flight == 0 and (ended or 0) >= len(self.sent)

    async def check(self, *, without_repeats: bool = False) -> None:
        """Raw rows, minutes, hours, dead letters and books: each equal to what was sent."""
        good = [one for one in self.sent if one.kind in ("view", "repeat")]
        bad = [one for one in self.sent if one.kind not in ("view", "repeat")]
        if without_repeats:  # two views of one page, user and millisecond are one event, whoever meant what
            good = list({(one.page, one.user, one.ms): one for one in reversed(good)}.values())
        repeats = len(self.sent) - len(good) - len(bad)
        assert Counter(map(tuple, await self.tables.query(_RAW))) == rows(good)
        kept_s = time.time() - MINUTES_DAYS * 86_400  # of older minutes some have expired
        minutes = {key: one for key, one in (await self.sums("minute")).items() if key[0] > kept_s}
        assert minutes == {key: one for key, one in buckets(good, MINUTE_MS).items() if key[0] > kept_s}
        assert await self.sums("hour") == buckets(good, HOUR_MS)
        letters = await dead_letters.listed(self.pool, 100_000, settled=True)
        refused = Counter((one.reason, one.key, one.value) for one in letters)
        assert refused == Counter((one.kind, one.key, one.value) for one in bad)
        assert await audit.doubles(self.tables, "page_views_raw", days=10_000) == 0
        taken = await account(self.log, self.pool, PAGE_VIEWS)
        others = taken.accepted - len(self.sent)  # offsets before the first message, aborted messages, and markers
        assert others == 0 or self.log.name == "kafka"
        assert (taken.stored, taken.dead_lettered, taken.skipped) == (len(good), len(bad), repeats + others)
        assert (taken.in_flight, taken.difference) == (0, 0)

    async def sums(self, step: str) -> dict[tuple[int, str], Bucket]:
        """What a table of sums has."""
        found = await self.tables.query(_SUMS.format(step))
        return {(begin, page): Bucket(*sums) for begin, page, *sums in found}
