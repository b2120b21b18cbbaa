"""A page view on its way from a record of the log to a row of `page_views_raw`.

The records may come from programs that are not ours, so nothing is taken for granted: what can be no row is refused
here, with the reason, before ClickHouse is asked. Names that are not known are left out.

The row is a pure function of the record. That includes the two things that look like a clock: `processed_time` is when
the record came into the log, and a view is too old or too early against that moment. So whoever replays a range, a
minute or a week later, makes the same rows of it, and the same dead letters.
"""

import socket
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aggregator.pipelines import Refused
from shared.log.log import Record

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
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

_Name = Annotated[str, Meta(max_length=512)]
_Some = Annotated[str, Meta(min_length=1, max_length=512)]


class PageView(Struct):
    """An event as its producer wrote it."""

    page_id: _Name
    user_id: _Some
    view_duration_ms: int
    timestamp: Annotated[datetime, Meta(tz=True)]
    is_bounce: bool
    user_agent: str | None = None
    ip_address: Annotated[str, Meta(max_length=64)] | None = None
    region: Annotated[str, Meta(max_length=64)] | None = None


class _Row(Struct):
    """The columns of the table. Times are decimal seconds since 1970, which ClickHouse reads fastest."""

    event_time: str
    page_id: str
    user_id: str
    duration_ms: int
    user_agent: str
    ip_address: str
    region: str
    is_bounce: bool
    processed_time: str
    log_partition: int
    log_offset: int
    log_seq: int


_decode = msgspec.json.Decoder(PageView).decode
_encode = msgspec.json.Encoder().encode


def view_of(record: Record) -> PageView:
    """The event of a record that can be a row. Raises Refused."""
    try:
        view: PageView = _decode(record.value)
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
    event_ms = milliseconds(view)
    ahead_ms = event_ms - record.time_ms
    is_near = -_PAST_MS <= ahead_ms <= _FUTURE_MS
    if not (is_near and _FIRST_MS <= event_ms <= _LAST_MS and record.time_ms >= _FIRST_MS):
        raise Refused("time_out_of_range", f"timestamp lies {ahead_ms / 1000:.0f} s from the log's own time")
    if view.ip_address:
        _check_address(view.ip_address)
    return view


def row(partition: int, record: Record) -> bytes:
    """One line of JSONEachRow. Raises Refused."""
    view, (offset, seq) = view_of(record), record.position
    made = _Row(
        event_time=_seconds(milliseconds(view)),
        page_id=view.page_id,
        user_id=view.user_id,
        duration_ms=view.view_duration_ms,
        user_agent=(view.user_agent or "")[:_USER_AGENT_MAX],
        ip_address=view.ip_address or "::",
        region=view.region or "",
        is_bounce=view.is_bounce,
        processed_time=_seconds(record.time_ms),
        log_partition=partition,
        log_offset=offset,
        log_seq=seq,
    )
    return _encode(made) + b"\n"


def milliseconds(view: PageView) -> int:
    """The time of an event, in whole milliseconds since 1970, which is how exactly it is kept."""
    return (view.timestamp - _EPOCH) // _MS


def _seconds(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03}"


@lru_cache(maxsize=10_000)
def _check_address(text: str) -> None:
    """Raises Refused for what is no address of IPv4 or IPv6."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return
    raise Refused("columns", "ip_address is no address of IPv4 or IPv6")
