"""A page view on its way from a record of the log to a row of `page_views_raw`.

A row is RowBinary, for which the engine takes half the time that JSON takes it.

The records may come from programs that are not ours, so nothing is taken for granted: what can be no row is refused
here, with the reason, before ClickHouse is asked. Names that are not known are left out.

The row is a pure function of the record. That includes the two things that look like a clock: `processed_time` is when
the record came into the log, and a view is too old or too early against that moment. So whoever replays a range, a
minute or a week later, makes the same rows of it, and the same dead letters.
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aggregator.sink.pipelines import Refused
from shared.addresses import NO_ADDRESS, packed
from shared.events.rows import sized
from shared.moments import TimedDecoder
from shared.record_log.record_log import Record

#: Reasons for which a page view is refused; `refused` is ClickHouse's own word.
REASONS = ("malformed", "columns", "empty_page_id", "negative_duration", "time_out_of_range", "refused")

#: How far the time of an event may lie before and after the moment at which the log got it. Rows live for 30 days, and
#: an insert whose rows are of too many months is refused by ClickHouse as a whole.
_PAST_MS, _FUTURE_MS = 30 * 86_400_000, 86_400_000
#: Milliseconds from 2001 to 2106, where ClickHouse reads a number as seconds and a DateTime holds it. A topic of Kafka
#: without LogAppendTime may claim any time for the log's own.
_FIRST_MS, _LAST_MS = 1_000_000_000_000, 4_294_967_295_000
#: What a UInt32 holds: 49 days.
_DURATION_MAX = 2**32 - 1
#: Characters that are kept of a user agent.
_USER_AGENT_MAX = 1024
#: The columns of a row in its order: those of a fixed size come first.
COLUMNS = (
    "event_time",
    "processed_time",
    "duration_ms",
    "ip_address",
    "is_bounce",
    "log_partition",
    "log_offset",
    "log_seq",
    "page_id",
    "user_id",
    "user_agent",
    "region",
)
_FIXED = struct.Struct("<qqI16s?HQI").pack
#: What stands before a text of so many bytes. A character has four at most.
_SIZES = tuple(sized(bytes(size))[:-size] if size else sized(b"") for size in range(4 * _USER_AGENT_MAX + 1))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

_Name = Annotated[str, Meta(max_length=512)]
_Some = Annotated[str, Meta(min_length=1, max_length=512)]


class PageView(Struct, gc=False):
    """An event as its producer wrote it."""

    page_id: _Name
    user_id: _Some
    view_duration_ms: int
    timestamp: Annotated[datetime, Meta(tz=True)]
    is_bounce: bool
    user_agent: str | None = None
    ip_address: Annotated[str, Meta(max_length=64)] | None = None
    region: Annotated[str, Meta(max_length=64)] | None = None


_decode = TimedDecoder(PageView, "timestamp").decode


def view_of(record: Record) -> tuple[PageView, int]:
    """The event of a record that can be a row, and its time: milliseconds since 1970, which is how exactly it is kept.
    Raises Refused."""
    try:
        view = _decode(record.value)
    except msgspec.ValidationError as error:
        raise Refused("columns", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("malformed", str(error)) from None
    if not view.page_id:
        raise Refused("empty_page_id", "page_id is empty")
    if view.view_duration_ms < 0:
        raise Refused("negative_duration", f"view_duration_ms is {view.view_duration_ms}")
    if view.view_duration_ms > _DURATION_MAX:
        raise Refused("columns", f"view_duration_ms is {view.view_duration_ms}, and {_DURATION_MAX} is the most")
    event_ms = (view.timestamp - _EPOCH) // _MS
    ahead_ms = event_ms - record.time_ms
    is_near = -_PAST_MS <= ahead_ms <= _FUTURE_MS
    if not (is_near and _FIRST_MS <= event_ms <= _LAST_MS and record.time_ms >= _FIRST_MS):
        raise Refused("time_out_of_range", f"timestamp lies {ahead_ms / 1000:.0f} s from the log's own time")
    if view.ip_address:
        _address(view.ip_address)
    return view, event_ms


def row(partition: int, record: Record) -> bytes:
    """Return the row of a record: COLUMNS in RowBinary. Raises Refused."""
    (view, event_ms), (offset, seq) = view_of(record), record.position
    page, user, region = view.page_id.encode(), view.user_id.encode(), (view.region or "").encode()
    agent = (view.user_agent or "")[:_USER_AGENT_MAX].encode()
    address = _address(view.ip_address) if view.ip_address else NO_ADDRESS
    duration, is_bounce, came_ms = view.view_duration_ms, view.is_bounce, record.time_ms
    try:
        fixed = _FIXED(event_ms, came_ms, duration, address, is_bounce, partition, offset, seq)
    except struct.error:  # an id of a stream that another program chose
        raise Refused("columns", f"{record.position} is no place of the table") from None
    sizes = _SIZES
    return b"".join(
        (fixed, sizes[len(page)], page, sizes[len(user)], user, sizes[len(agent)], agent, sizes[len(region)], region)
    )


def _address(text: str) -> bytes:
    """Return the 16 bytes of an address. Raises Refused for what is neither IPv4 nor IPv6."""
    try:
        return packed(text)
    except ValueError:
        raise Refused("columns", "ip_address is no address of IPv4 or IPv6") from None
