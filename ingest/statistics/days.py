"""Ranges of whole days in a time zone, as the statistics of product events are asked for.

Both ends are dates and in the range. A day is what it is for clicks (`ingest/statistics/ranges.py`): it begins when its
date first appears on the clocks of the zone, and a date that a zone skipped has none.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ingest.http.query import invalid, malformed
from ingest.statistics.range_ends import ENDS
from ingest.statistics.ranges import known_zone, midnight, parsed_date

#: First and last year that can be asked for: whole seconds of ClickHouse begin with 1970, and end early in 2106.
YEARS = (1971, 2105)
_UTC = "UTC"
#: Behind every second, so that a guess of the day never reaches beyond the bounds.
_NEVER = 1 << 62


class Days(NamedTuple):
    """Days in order. Day i is `dates[i]` and lasts from `bounds[i]` to before `bounds[i + 1]`, in epoch seconds."""

    dates: Sequence[date]
    bounds: Sequence[int]
    zone: str

    @property
    def is_utc(self) -> bool:
        """Whether its days are those of `event_date`."""
        return self.zone == _UTC

    @property
    def parameters(self) -> dict[str, Any]:
        """What SQL has to know of them: `bounds`, a second behind all of them included, and the days of UTC that they
        touch, which let ClickHouse skip what lies outside."""
        first, last = (datetime.fromtimestamp(second, UTC).date() for second in (self.bounds[0], self.bounds[-1] - 1))
        return {"bounds": [*self.bounds, _NEVER], "first": str(first), "last": str(last)}


def days(values: Mapping[str, str], most: int, names: tuple[str, str] = ENDS) -> Days:
    """The days that `from`, `to` and `tz` ask for, `most` of them at most. Raises Malformed or Invalid.

    `names` are those of the parameters, where they are others.
    """
    zone, (begin, end) = zone_of(values), names
    first, last = day(values, begin), day(values, end)
    if first > last:
        raise invalid(end, f"has to be the same day as {begin}, or a later one: both are in the range.")
    if (last - first).days >= most:
        raise invalid(end, f"is too late: a range has at most {most:,} days.")
    return between(first, last + timedelta(days=1), zone)


def between(first: date, end: date, zone: str, step_days: int = 1) -> Days:
    """The days from `first` to before `end`, or stretches of so many of them."""
    info = ZoneInfo(zone)
    dates = [first + timedelta(days=n) for n in range(0, (end - first).days + 1, step_days)]
    begins = [midnight(one, info) for one in dates]
    kept = [index for index, (begin, following) in enumerate(pairwise(begins)) if following > begin]
    if not kept:
        raise invalid("from", f"is a day that {zone} skipped.")
    return Days([dates[index] for index in kept], [*(begins[index] for index in kept), begins[-1]], zone)


def zone_of(values: Mapping[str, str]) -> str:
    """The zone of `tz`, UTC when it is not given. Raises Invalid for one that there is not."""
    return known_zone(values["tz"]) if "tz" in values else _UTC


def day(values: Mapping[str, str], name: str) -> date:
    """A date. Raises Malformed when it is missing or none, and Invalid when it is out of the years."""
    text = values.get(name)
    if text is None:
        raise malformed(name, "is missing. Give a date, as 2026-03-01.")
    return parsed_date(name, text, YEARS)
