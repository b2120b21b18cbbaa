"""Ranges of time as clients ask for them, cut into the buckets of an answer.

A range is half open, `[tsFrom, tsTo)`, and every minute that overlaps it is in it: `tsFrom` is lowered and `tsTo`
raised to whole minutes. Without `tsTo` it reaches to the end of the current minute, without `tsFrom` it is one hour
long. Either end may be a date: the whole local day of `tz`, which is in the range as `tsTo`, too.

Buckets of `step=hour` and `step=day` begin where hours and days begin in the zone `tz`. Each has a label, which is that
beginning, even where it lies before `tsFrom`; the minutes that are counted are always those of the range alone.
"""

import difflib
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, available_timezones

from ingest.http.query import choice, invalid, malformed, quoted

Step = Literal["minute", "hour", "day"]

_HOUR_S = 3600
_DAY_S = 86_400
_UTC = "UTC"
#: Longest range in days, by step: at most about 45,000 buckets in one answer.
MOST_DAYS: Mapping[str, int] = {"minute": 31, "hour": 366, "day": 3660}
#: A month of local days may be an hour longer than its days, because clocks were set back in it.
_CLOCK_CHANGE_S = _HOUR_S
#: Seconds of a range whose `tsFrom` is not given.
_DEFAULT_S = _HOUR_S

#: First and last year that can be asked for.
YEARS = (1970, 2200)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EXAMPLE = "2026-03-01T12:00:00Z"

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

#: RFC 3339, section 5.6, with the space of its note. `[0-9]`, because `\d` means the digits of every script.
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,20}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))?"
)
#: An offset whose plus was sent as it is: in a query string a plus means a space. Nothing else can look like this.
_LOST_PLUS = re.compile(r"(.*:[0-9]{2}(?:\.[0-9]+)?) ([0-9]{2}:[0-9]{2})")
#: Names that the machine's zone folder may hold, but that are no zone.
_NO_ZONES = frozenset({"localtime", "Factory"})
#: Longest name for which similar ones are looked up.
_ZONE_NAME_MAX = 32


class Instant(NamedTuple):
    """A moment: whole epoch seconds, and the digits of the fraction without zeros at the end."""

    second: int
    fraction: str = ""


class Buckets(NamedTuple):
    """Bucket i is named `labels[i]` and counts the minutes from `bounds[i]` to before `bounds[i + 1]`."""

    labels: Sequence[int]
    bounds: Sequence[int]


class Range(NamedTuple):
    """Whole minutes `[start, end)` in epoch seconds, the step of the answer and the zone of its hours and days."""

    start: int
    end: int
    step: Step
    zone: str | None
    minute_s: int

    def buckets(self) -> Buckets:
        """The buckets of the range, in order, without gaps. `bounds` begins with `start` and ends with `end`."""
        if self.step == "minute":
            bounds = range(self.start, self.end + self.minute_s, self.minute_s)
            return Buckets(bounds[:-1], bounds)
        labels = _STARTS[self.step](self.start, self.end, ZoneInfo(self.zone) if self.zone else None)
        # A zone may be off by seconds (Monrovia until 1972): a minute belongs where it begins.
        inner = [-(-label // self.minute_s) * self.minute_s for label in labels[1:]]
        if inner and inner[-1] == self.end:
            labels, inner = labels[:-1], inner[:-1]
        return Buckets(labels, [self.start, *inner, self.end])


def parse(
    values: Mapping[str, str],
    now: float,
    minute_s: int,
    *,
    most_days: int | None = None,
    where: Literal["parameter", "pointer"] = "parameter",
    names: tuple[str, str] = ("tsFrom", "tsTo"),
) -> Range:
    """The range that `tsFrom`, `tsTo`, `step` and `tz` ask for; `now` is in epoch seconds.

    `most_days` bounds a range that has no step. `where` tells errors whether the times stood in the query or in a body.
    `names` are those of its ends.
    Raises Malformed for what is no time, and Invalid for what is reversed, empty, too long or unknown.
    """
    step = choice(values, "step", get_args(Step), "minute")
    zone = known_zone(values["tz"]) if "tz" in values else None
    begin, finish = names
    since, to = values.get(begin), values.get(finish)
    end = Instant((int(now) // minute_s + 1) * minute_s) if to is None else _edge(finish, to, zone, where, days=1)
    start = Instant(end.second - _DEFAULT_S, end.fraction) if since is None else _edge(begin, since, zone, where)
    if start == end and since == to and is_date(since or ""):
        raise invalid(begin, f"is a day that {zone} skipped.", where)
    if start >= end:
        at = "" if to is not None else f" ({datetime.fromtimestamp(end.second, UTC):%Y-%m-%dT%H:%M:%SZ})"
        raise invalid(finish, f"has to be later than {begin}{at}: the range is [{begin}, {finish}).", where)
    most = most_days or MOST_DAYS[step]
    if end.second - start.second > most * _DAY_S + _CLOCK_CHANGE_S:
        raise invalid(finish, _too_long(begin, most, None if most_days else step), where)
    first = max(start.second, 0) // minute_s * minute_s
    last = -(-(end.second + bool(end.fraction)) // minute_s) * minute_s
    if first >= last:
        raise _out_of_years(finish, where)  # the default of tsFrom lies before the first year
    return Range(first, last, step, zone, minute_s)  # type: ignore[arg-type]


def _edge(name: str, text: str, zone: str | None, where: str, days: int = 0) -> Instant:
    """The moment of one end. A date is the begin of its local day, or of the day so many days after it."""
    if not is_date(text):
        return instant(name, text, where)
    day = parsed_date(name, text, YEARS, where) + timedelta(days=days)
    return Instant(midnight(day, ZoneInfo(zone or _UTC)))


def _too_long(begin: str, most: int, step: str | None) -> str:
    if step is None:
        return f"is more than {most:,} days after {begin}, and that is the longest range."
    allowed = ", ".join(f"{days:,} days with step={name}" for name, days in MOST_DAYS.items())
    return f"is more than {most:,} days after {begin}. The longest ranges are {allowed}."


# -- moments -----------------------------------------------------------------------------------------------------------


def instant(name: str, text: str, where: str = "parameter", years: tuple[int, int] = YEARS) -> Instant:
    """The moment that an RFC 3339 time with zone means, in these years of UTC. Raises Malformed or Invalid, which name
    the parameter."""
    if lost := where == "parameter" and _LOST_PLUS.fullmatch(text):
        text = f"{lost[1]}+{lost[2]}"
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise malformed(name, f"is {quoted(text)}, but has to be a date, or an RFC 3339 time, as {_EXAMPLE}.", where)
    if not match[0].endswith(("Z", "z")) and match[8] is None:
        raise malformed(name, f"has no zone. Write Z or an offset after it, as {_EXAMPLE}.", where)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    offset_h, offset_m = int(match[9] or 0), int(match[10] or 0)
    if not years[0] - 1 <= year <= years[1] + 1:  # the exact test follows, when the offset is known
        raise _out_of_years(name, where, years)
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise malformed(name, f"is {quoted(text)}, which is no date of the calendar.", where) from None
    if second == 60:
        raise invalid(name, "is a leap second. Clicks of leap seconds are counted in the second before: use 59.", where)
    if hour > 23 or minute > 59 or second > 60 or offset_h > 23 or offset_m > 59:
        raise malformed(name, f"is {quoted(text)}, which is no time of the day.", where)
    offset = (offset_h * 60 + offset_m) * (-60 if match[8] == "-" else 60)
    epoch = days * _DAY_S + hour * _HOUR_S + minute * 60 + second - offset
    first, end = (date(at, 1, 1).toordinal() - _EPOCH_DAY for at in (years[0], years[1] + 1))
    if not first * _DAY_S <= epoch < end * _DAY_S:
        raise _out_of_years(name, where, years)
    return Instant(epoch, (match[7] or "").rstrip("0"))


def is_date(text: str) -> bool:
    """Whether a text is written as a date is."""
    return _DATE.fullmatch(text) is not None


def parsed_date(name: str, text: str, years: tuple[int, int] = YEARS, where: str = "parameter") -> date:
    """A date of the calendar. Raises Malformed when it is none, and Invalid when it is out of the years."""
    if not is_date(text):
        raise malformed(name, f"is {quoted(text)}, but has to be a date, as 2026-03-01.", where)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise malformed(name, f"is {quoted(text)}, which is no date of the calendar.", where) from None
    if not years[0] <= day.year <= years[1]:
        raise invalid(name, f"has to lie in the years {years[0]} to {years[1]}.", where)
    return day


def _out_of_years(name: str, where: str, years: tuple[int, int] = YEARS) -> Exception:
    return invalid(name, f"has to lie in the years {years[0]} to {years[1]}, in UTC.", where)


# -- zones and buckets -------------------------------------------------------------------------------------------------


@cache
def zones() -> frozenset[str]:
    """The names of all time zones. The first call reads folders, the others cost nothing."""
    return frozenset(available_timezones()) - _NO_ZONES


def known_zone(name: str) -> str:
    """The name of a zone that exists; only known names ever reach the file system."""
    if name not in zones():
        similar = difflib.get_close_matches(name, zones(), n=3) if len(name) <= _ZONE_NAME_MAX else []
        hint = f" Similar ones: {', '.join(similar)}." if similar else ""
        raise invalid("tz", f"is {quoted(name)}, which is no time zone, as Europe/Berlin is one.{hint}")
    return name


def _hour_starts(start: int, end: int, zone: ZoneInfo | None) -> list[int]:
    """Beginnings of local hours: the last one not after `start`, and all others before `end`.

    They are the moments at which a local clock shows a whole hour. A change of clocks by a part of an hour (Lord Howe)
    begins an hour of its own, which is shorter.
    """
    if zone is None:
        return list(range(start // _HOUR_S * _HOUR_S, end, _HOUR_S))
    aligned = start - _past_hour(start, zone)
    past = _past_hour(aligned, zone)
    starts = [_change(aligned, start, zone) if past else aligned]
    while starts[-1] < end:
        # Only a change by a part of an hour leaves something past here, so that zones are asked once per hour.
        following = starts[-1] + _HOUR_S - (_past_hour(starts[-1], zone) if past else 0)
        past = _past_hour(following, zone)
        starts.append(_change(starts[-1], following, zone) if past else following)
    return starts[:-1]


def _past_hour(second: int, zone: ZoneInfo) -> int:
    """Seconds since the local clock last showed a whole hour, or would have."""
    return (second + _offset(second, zone)) % _HOUR_S


def _day_starts(start: int, end: int, zone: ZoneInfo | None) -> list[int]:
    """Beginnings of local days: the last one not after `start`, and all others before `end`.

    A day begins when its date first appears: at midnight, or later where clocks skip midnight. A date that a zone
    skipped has no bucket.
    """
    if zone is None:
        return list(range(start // _DAY_S * _DAY_S, end, _DAY_S))
    day = datetime.fromtimestamp(start, zone).date() - timedelta(days=1)
    starts: list[int] = []
    while not starts or starts[-1] < end:
        begin = midnight(day, zone)
        if not starts or begin > starts[-1]:
            starts.append(begin)
        day += timedelta(days=1)
    return starts[bisect_right(starts, start) - 1 : -1]


def midnight(day: date, zone: ZoneInfo) -> int:
    """The first moment of a date, in epoch seconds."""
    wall = datetime(day.year, day.month, day.day, tzinfo=zone)
    before, after = int(wall.timestamp()), int(wall.replace(fold=1).timestamp())
    # Python gives a time that clocks skip the offset from before the change, and with fold=1 the one from after it.
    return _change(after, before, zone) if before > after else before


def _change(low: int, high: int, zone: ZoneInfo) -> int:
    """The first moment after `low` at which another offset is in force, which is so at `high`."""
    offset = _offset(low, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(second: int, zone: ZoneInfo) -> int:
    """Seconds by which local clocks are ahead of UTC."""
    offset = datetime.fromtimestamp(second, zone).utcoffset() or timedelta()
    return offset.days * _DAY_S + offset.seconds


_STARTS: Mapping[str, Callable[[int, int, ZoneInfo | None], list[int]]] = {"hour": _hour_starts, "day": _day_starts}
