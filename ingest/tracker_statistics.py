"""Reading hits: how often a tracker was hit in a range, in all or by minute, hour or day. ClickHouse has them.

A range is `[from, to)`. A date means its whole day in UTC, so `to=2026-03-31` ends with that day; an instant of RFC
3339 is meant to the millisecond, which is how exactly hits are timed.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingest.query import choice, invalid, malformed, query, quoted
from ingest.ranges import MOST_DAYS, YEARS, Step, instant
from ingest.tables import rows
from ingest.track import parsed_tracker
from shared.postgres import statement

_COUNT = statement("ingest/tracker_statistics.count.sql")
_SERIES = statement("ingest/tracker_statistics.series.sql")

_NAMES = ("tracker_id", "from", "to", "step")
#: A date as an end of a range.
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86_400}
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
#: The last day that a Date of ClickHouse holds. No hit is of a later one.
_LAST_DAY = date(2149, 6, 6)

_HEADERS = {"cache-control": "no-store"}


class TrackerBucket(Struct, gc=False):
    """Hits of one minute, hour or day."""

    timestamp: Annotated[datetime, Meta(tz=True, description="When the bucket begins, in UTC")]
    count: Annotated[int, Meta(ge=1, description="Hits of the bucket that lie in the range")]


class TrackerCount(Struct, kw_only=True):
    """Hits of a tracker in a range, machines' included. With `step` also by bucket; those without hits are left out."""

    tracker_id: UUID
    from_: Annotated[str, Meta(description="The begin as it was asked for: a date, or an instant in UTC")] = (
        msgspec.field(name="from")
    )
    to: Annotated[str, Meta(description="The end as it was asked for: a date, or an instant in UTC")]
    count: Annotated[int, Meta(ge=0, description="Hits of the range")]
    step: Step | UnsetType = UNSET
    stats: list[TrackerBucket] | UnsetType = UNSET


class Edge(NamedTuple):
    """One end of a range: epoch milliseconds, and how the answer writes it."""

    epoch_ms: int
    text: str


async def tracker_statistics(request: Request) -> Response:
    """Hits of one tracker over a range."""
    values = query(request, _NAMES)
    tracker = parsed_tracker("tracker_id", values.get("tracker_id", ""))
    since, until = edge(values, "from", days=0), edge(values, "to", days=1)
    if since.epoch_ms >= until.epoch_ms:
        raise invalid("to", "has to be later than from: the range is [from, to), and a date is its whole day.")
    step = choice(values, "step", get_args(Step), "") if "step" in values else None
    if step and until.epoch_ms - since.epoch_ms > MOST_DAYS[step] * _DAY_MS:
        raise invalid("to", f"is more than {MOST_DAYS[step]:,} days after from, and that is the most with step={step}.")
    parameters = {
        "tracker": str(tracker),
        "first": _day(since.epoch_ms),
        "last": _day(until.epoch_ms - 1),
        "since": since.epoch_ms,
        "until": until.epoch_ms,
    }
    answer = TrackerCount(tracker_id=tracker, from_=since.text, to=until.text, count=0)
    if step is None:
        [[answer.count]] = await rows(request, _COUNT, parameters)
    else:
        found = await rows(request, _SERIES, {**parameters, "step": _SECONDS[step]})
        answer.step = step  # type: ignore[assignment]
        answer.stats = [TrackerBucket(datetime.fromtimestamp(begin, UTC), count) for begin, count in found]
        answer.count = sum(bucket.count for bucket in answer.stats)
    return Response(msgspec.json.encode(answer), headers=_HEADERS, media_type="application/json")


# -- ranges ------------------------------------------------------------------------------------------------------------


def edge(values: Mapping[str, str], name: str, days: int) -> Edge:
    """An end of the range; `days` is what has to be added to the begin of a date."""
    text = values.get(name)
    if text is None:
        raise malformed(name, "is missing. Give a date, as 2026-03-01, or an RFC 3339 time.")
    if DATE.fullmatch(text):
        day = _parsed_day(name, text)
        return Edge(((day - _EPOCH).days + days) * _DAY_MS, text)
    second, fraction = instant(name, text)
    # Hits are timed to the millisecond: those at or after an instant are those at or after the next whole one.
    epoch_ms = second * 1000 + -(-int(fraction or 0) * 1000 // 10 ** len(fraction))
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return Edge(epoch_ms, f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03}Z")


def _parsed_day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise malformed(name, f"is {quoted(text)}, which is no date of the calendar.") from None
    if not YEARS[0] <= day.year <= YEARS[1]:
        raise invalid(name, f"has to lie in the years {YEARS[0]} to {YEARS[1]}, in UTC.")
    return day


def _day(epoch_ms: int) -> str:
    """The day of a moment, as far as ClickHouse has days."""
    return str(min(_EPOCH + timedelta(milliseconds=epoch_ms), _LAST_DAY))
