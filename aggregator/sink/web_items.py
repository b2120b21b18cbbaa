"""Find items of web pages that are in the log twice, because a page that saw no answer sent them again.

An item is named by its site, its view and its number within the view. A view has one partition, so all of its items are
compared. Whether one is a repeat is decided by what lies before it in its partition, as for page views
(`aggregator/sink/repeated_events.py`): whoever replays the batch comes to the same answer.

Each attempt computes the time anew, from the age that the page says. So the table is asked for the hours of the batch
and for their neighbours.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from shared.record_log.record_log import Batch, Position, Record
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import statement

_KNOWN = statement("aggregator/sink/web_items.known.sql")
#: Items that are asked for at a time.
_PAGE = 2_500
_HOUR_S = 3600
#: The part of a time that names its hour: `2026-03-01 12`.
_HOUR = 13


class _Named(Struct, gc=False):
    """What names an item, and when it was."""

    time: str
    site: str
    view: str
    n: int


_decode = msgspec.json.Decoder(_Named).decode


class _Item(NamedTuple):
    site: str
    view: str
    n: int


async def repeats(clickhouse: ClickHouse, partition: int, batch: Batch) -> frozenset[Position]:
    """Return the records of a batch whose item the table has from before. Raises CLICKHOUSE_ERRORS."""
    first, again, hours = dict[_Item, Position](), set[Position](), dict[_Item, int]()
    for record in batch.records:
        if (found := _found(record)) is None:
            continue
        item, hour = found
        hours[item] = hour
        if first.setdefault(item, record.position) != record.position:
            again.add(record.position)
    items = list(first)
    for begin in range(0, len(items), _PAGE):
        page = items[begin : begin + _PAGE]
        known = await _known(clickhouse, partition, batch.start, page, {hours[item] for item in page})
        again.update(first[item] for item in known if item in first)
    return frozenset(again)


def _found(record: Record) -> tuple[_Item, int] | None:
    """Return the item of a record and the begin of its hour in epoch seconds; None for what can be no row."""
    try:
        named = _decode(record.value)
        hour = datetime.strptime(named.time[:_HOUR], "%Y-%m-%d %H").replace(tzinfo=UTC)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    return _Item(named.site, named.view, named.n), int(hour.timestamp())


async def _known(
    clickhouse: ClickHouse, partition: int, start: Position, items: Sequence[_Item], hours: set[int]
) -> list[_Item]:
    """Return those that the table has from before the position."""
    near = sorted({hour + step * _HOUR_S for hour in hours for step in (-1, 0, 1)})
    rows = await clickhouse.query(
        _KNOWN,
        {
            "partition": partition,
            "offset": start.offset,
            "seq": start.seq,
            "hours": near,
            "sites": [item.site for item in items],
            "views": [item.view for item in items],
            "numbers": [item.n for item in items],
        },
    )
    return [_Item(*row) for row in rows]
