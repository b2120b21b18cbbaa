"""Changes that break the promise of the record path, each made to the running code, with the faults that bring it out.

A suite that does not catch them all proves nothing by passing.
"""

import random
import secrets
import time
from typing import Any

from aggregator.sink import configured_pipelines, partition
from aggregator.sink.partition import Partition
from shared.record_log import cursors as cursor
from shared.record_log import dead_letters
from shared.record_log.deduplication import Sieve
from shared.record_log.journal import Journal
from shared.record_log.orphaned_journals import Orphans
from shared.record_log.producer import new_name
from shared.runtime.crash_points import crash_point
from shared.stores import clickhouse
from tests.chaos.clicks.mutants import Mutant
from tests.harness.record_first import record_before_insert
from tests.harness.subjects.sink_mutants import by_the_first_alone


def _no_token() -> None:
    """Each insert has a token of its own, so that a repeat is stored again."""
    insert = clickhouse.ClickHouse.insert

    async def without(self: Any, table: str, rows: bytes, token: str, *form: Any) -> None:
        await insert(self, table, rows, secrets.token_hex(8), *form)

    clickhouse.ClickHouse.insert = without  # type: ignore[method-assign]


def _no_intent() -> None:
    """Whoever comes next does not repeat the range that is pending, but cuts anew."""

    async def forget(self: Any, pending: Any) -> None:
        self._claim = self._claim._replace(pending=None)

    Partition._replay = forget  # type: ignore[method-assign]


def _advanced_before_the_insert() -> None:
    """The cursor moves first."""
    partition.deliver = record_before_insert


def _letters_twice() -> None:
    """A letter has a name of its own, not that of its place, and is written before the cursor moves."""
    record = Partition.record

    async def apart(self: Any, rows: Any, refusal: Any) -> None:
        letters = rows.letters
        if refusal is not None:
            letters = [self._pipeline.letter(rows.batch.records[0], "refused", str(refusal))]
        if letters:
            cursors = self._stores.cursors
            async with cursors.pool.acquire() as connection:
                named = [
                    one._replace(record=one.record._replace(position=(secrets.randbits(48), 0))) for one in letters
                ]
                await dead_letters.write(connection, cursors.log, self._claim, named)
            crash_point("lettered")
        await record(self, rows, refusal)

    async def nothing(*_: Any) -> None:
        """They are written already."""

    Partition.record = apart  # type: ignore[method-assign]
    partition.write = nothing


def _no_fence() -> None:
    """Whoever had the partition once goes on writing."""
    _rid(cursor, "_RENEW", ("AND held.owner IS NOT NULL", ""))
    _rid(cursor, "_RENEW", ("AND held.epoch = mine.epoch", ""))
    for name in ("_INTEND", "_DONE"):
        _rid(cursor, name, ("AND epoch = $5 AND owner IS NOT NULL", "AND $5::bigint IS NOT NULL"))
    _rid(cursor, "_INTEND", ("AND (next_offset, next_seq) = ($7, $8)", "AND ($7::bigint, $8::bigint) IS NOT NULL"))
    _rid(cursor, "_DONE", ("AND (next_offset, next_seq) <= ($7, $8)", ""))
    _rid(partition, "_BOOK", ("AND epoch = $5", "AND $5::bigint IS NOT NULL"))
    insert = Partition.insert

    async def asleep(self: Any, *what: Any) -> Any:
        if random.random() < ASLEEP:
            time.sleep(ASLEEP_S)  # noqa: ASYNC251 - nothing in this process lives on, as under SIGSTOP
        return await insert(self, *what)

    Partition.insert = asleep  # type: ignore[method-assign]


def _rid(module: Any, name: str, change: tuple[str, str]) -> None:
    old, new = change
    text = " ".join(line for line in getattr(module, name).splitlines() if not line.startswith("--"))
    text = " ".join(text.split())
    if old not in text:
        raise AssertionError(f"no longer there: {old}")
    setattr(module, name, text.replace(old, new))


def _replayed_under_new_ids() -> None:
    """What the journal has is sent as something new."""
    send = Orphans._send

    async def renamed(self: Any, append: Any) -> None:
        await send(self, _renamed(append))

    read = Journal.read
    Orphans._send = renamed  # type: ignore[method-assign]
    Journal.read = lambda self, at: _renamed(read(self, at))  # type: ignore[method-assign]


def _renamed(append: Any) -> Any:
    return type(append)(append.topic, append.partition, new_name(), append.seq, append.records)


def _no_marks() -> None:
    """A reader lets through whatever it sees."""
    Sieve.repeats = lambda self, producer, first, records=1: 0  # type: ignore[method-assign]


def _ordinals_ignored() -> None:
    """Of an entry that comes again only the first hit is known."""
    Sieve.repeats = by_the_first_alone(Sieve.repeats)  # type: ignore[method-assign]


def _counted_as_one() -> None:
    """The books take the hits that come together for one."""
    _rid(partition, "_BOOK", ("stored = stored + $8", "stored = stored + least($8, 1)"))


def _nobody_looks_for_ids() -> None:
    """Events that came before are stored again."""

    async def sifted(clickhouse: Any, lines: list[bytes], own: Any) -> list[bytes]:
        return lines

    configured_pipelines.EVENTS = configured_pipelines.EVENTS._replace(sift=sifted)


def _no_look_for_repeats() -> None:
    """The table of page items takes what comes."""
    configured_pipelines.WEB = configured_pipelines.WEB._replace(repeats=None)


#: A zombie does harm if it fell asleep in the midst of a batch: the chance of that, and for how long (the lease of the
#: stage is 2 s).
ASLEEP, ASLEEP_S = 0.02, 5.0

_SINK = "intended=0.05,inserted=0.05"
RECORD_MUTANTS = {
    "no token": Mutant(_no_token, ("swallow_inserts", "kill_aggregator"), _SINK),
    "no intent": Mutant(_no_intent, ("swallow_inserts", "kill_aggregator"), _SINK),
    "advanced before the insert": Mutant(
        _advanced_before_the_insert, ("kill_clickhouse", "kill_aggregator"), "inserted=0.05"
    ),
    "letters twice": Mutant(_letters_twice, ("kill_aggregator", "swallow_commits"), "lettered=0.5"),
    "no fence": Mutant(_no_fence, ("stop_aggregator",)),
    "no marks": Mutant(_no_marks, ("deaf_kafka",)),
    "ordinals ignored": Mutant(_ordinals_ignored, ("deaf_kafka",)),
    "counted as one": Mutant(_counted_as_one, ("kill_worker",)),
    "nobody looks for ids": Mutant(_nobody_looks_for_ids, ("kill_aggregator",), "events_appended=0.03"),
    "no look for repeats": Mutant(_no_look_for_repeats, ("swallow_inserts",)),
    "replayed under new ids": Mutant(_replayed_under_new_ids, ("swallow_redis", "kill_worker", "redis_away")),
}
#: Those that only one log brings out: Streams know a repeat when it comes, Kafka leaves it to the readers.
LOG_OF = {"no marks": "kafka", "ordinals ignored": "kafka"}
