"""Events that are in the log twice because somebody sent them twice: found by what they say, not by where they lie.

An event is known by its page, its user and its time. Only records of one partition are compared; the key of a message
decides the partition, so those with one key are always compared.

Whether a record is a repeat is decided by what lies *before* it in its partition: earlier in its batch, or in the table
from before the batch. All that is stored when a batch begins, and the rows of the batch itself are never looked at. So
whoever replays the batch comes to the same answer, wherever the first attempt was cut short. A set of ids that are
marked as seen could not do that: the replay would find all of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aggregator.sink.page_views import view_of
from aggregator.sink.pipelines import Refused
from shared.record_log.record_log import Batch, Position, Record
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import statement

_KNOWN = statement("aggregator/sink/repeated_events.known.sql")
#: Events that are asked for at a time.
_PAGE = 2_500
_HOUR_MS = 3_600_000


class _Event(NamedTuple):
    page: str
    user: str
    ms: int


async def repeats(clickhouse: ClickHouse, partition: int, batch: Batch) -> frozenset[Position]:
    """Return the records of a batch whose event the table has from before. Raises CLICKHOUSE_ERRORS."""
    first, again = dict[_Event, Position](), set[Position]()
    for record in batch.records:
        event = _event(record)
        if event is not None and first.setdefault(event, record.position) != record.position:
            again.add(record.position)
    events = list(first)
    for begin in range(0, len(events), _PAGE):
        known = await _known(clickhouse, partition, batch.start, events[begin : begin + _PAGE])
        again.update(first[event] for event in known)
    return frozenset(again)


def _event(record: Record) -> _Event | None:
    try:
        view, ms = view_of(record)
    except Refused:
        return None
    return _Event(view.page_id, view.user_id, ms)


async def _known(clickhouse: ClickHouse, partition: int, start: Position, events: Sequence[_Event]) -> list[_Event]:
    """Return those that the table has from before the position."""
    rows = await clickhouse.query(
        _KNOWN,
        {
            "partition": partition,
            "offset": start.offset,
            "seq": start.seq,
            "hours": sorted({event.ms // _HOUR_MS * 3600 for event in events}),
            "pages": [event.page for event in events],
            "users": [event.user for event in events],
            "times": [event.ms for event in events],
        },
    )
    return [_Event(*row) for row in rows]
