"""Ends of a range `[from, to)` of what ClickHouse has: dates, or moments of RFC 3339.

A date means its whole day in the zone, UTC where there is none, so `to=2026-03-31` ends with that day. A span cuts such
a range into minutes, hours or days of the zone.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Meta

from ingest.http.query import choice, invalid, malformed
from ingest.statistics.ranges import YEARS, Range, instant, is_date, known_zone, midnight, parsed_date

#: An end of a range wherever a schema needs one.
EdgeText = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}")]

#: The ends of a range, and those of one to compare it with.
ENDS = ("from", "to")
AGAINST = ("against_from", "against_to")

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_SECONDS: Mapping[str, int] = {"minute": _MINUTE_S, "hour": _HOUR_S, "day": _DAY_S}
_EPOCH = date(1970, 1, 1)
_UTC = "UTC"
#: The last day that a Date of ClickHouse holds, and the last second of a DateTime.
_LAST_DAY, _LAST_S = date(2149, 6, 6), 2**32 - 1


class Edge(NamedTuple):
    """One end of a range. What is timed to the microsecond or the millisecond, and lies at or after a moment, lies at
    or after the next whole one: so both are rounded up."""

    epoch_us: int
    #: The date that was asked for, if it was one.
    date: str | None = None

    @property
    def epoch_ms(self) -> int:
        """Epoch milliseconds."""
        return -(-self.epoch_us // 1000)

    @property
    def text(self) -> str:
        """As an answer writes it: a date, or a moment in UTC to the millisecond."""
        moment = datetime.fromtimestamp(self.epoch_ms // 1000, UTC)
        return self.date or f"{moment:%Y-%m-%dT%H:%M:%S}.{self.epoch_ms % 1000:03}Z"


class Span(NamedTuple):
    """A range and its buckets. Bucket i is named `labels[i]` and lasts from `bounds[i]` to before `bounds[i + 1]`, in
    epoch seconds; both are whole minutes at the ends of the range."""

    since: Edge
    until: Edge
    step: str
    zone: str
    labels: Sequence[int]
    bounds: Sequence[int]

    @property
    def days(self) -> tuple[str, str]:
        """Return its first and last day of the zone as parts of a file name."""
        zone = ZoneInfo(self.zone)
        seconds = (self.since.epoch_ms // 1000, (self.until.epoch_ms - 1) // 1000)
        first, last = (datetime.fromtimestamp(at, zone) for at in seconds)
        return f"{first:%Y%m%d}", f"{last:%Y%m%d}"

    def bucket(self, second: str) -> str:
        """Return the SQL of the label of a moment, which is SQL as well, in epoch seconds."""
        return (_BY_SIZE if self._is_even else _BY_STARTS).format(second)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return what SQL has to know of it: ends in milliseconds, days of UTC that it touches, and its buckets."""
        last = min(_EPOCH + timedelta(milliseconds=self.until.epoch_ms - 1), _LAST_DAY)
        days = {"first": str(min(_EPOCH + timedelta(milliseconds=self.since.epoch_ms), _LAST_DAY)), "last": str(last)}
        starts: dict[str, Any] = {}
        if self.step:
            starts = (
                {"size": _SECONDS[self.step]} if self._is_even else {"starts": [min(s, _LAST_S) for s in self.labels]}
            )
        return {"since": self.since.epoch_ms, "until": self.until.epoch_ms, **days, **starts}

    def lasts_longer(self, days: int) -> bool:
        """Return whether the range has more days. In a zone clocks may have been set back in it."""
        most_s = days * _DAY_S + _HOUR_S * (self.zone != _UTC)
        return self.until.epoch_ms - self.since.epoch_ms > most_s * 1000

    @property
    def _is_even(self) -> bool:
        """Whether every bucket is as long as the step, counted from 1970."""
        return self.step == "minute" or self.zone == _UTC


_BY_SIZE = "intDiv({0}, {{size:UInt32}}) * {{size:UInt32}}"
_BY_STARTS = "roundDown({0}, {{starts:Array(UInt32)}})"


def span(values: Mapping[str, str], most_days: Mapping[str, int], default: str, names: tuple[str, str] = ENDS) -> Span:
    """The range that `from`, `to`, `step` and `tz` ask for, with steps of `most_days`. Raises Malformed or Invalid."""
    asked = unstepped(values, names=names)
    step: Any = choice(values, "step", most_days, default)
    if asked.lasts_longer(most_days[step]):
        allowed = ", ".join(f"{days:,} days with step={name}" for name, days in most_days.items())
        raise invalid(
            names[1], f"is more than {most_days[step]:,} days after {names[0]}. The longest ranges are {allowed}."
        )
    first = asked.since.epoch_ms // 1000 // _MINUTE_S * _MINUTE_S
    end = -(-asked.until.epoch_ms // (1000 * _MINUTE_S)) * _MINUTE_S
    labels, bounds = Range(first, end, step, None if asked.zone == _UTC else asked.zone, _MINUTE_S).buckets()
    return asked._replace(step=step, labels=labels, bounds=bounds)


def unstepped(values: Mapping[str, str], most_days: int | None = None, names: tuple[str, str] = ENDS) -> Span:
    """The range that `from`, `to` and `tz` ask for, without buckets. Raises Malformed or Invalid."""
    zone, (begin, end) = known_zone(values["tz"]) if "tz" in values else _UTC, names
    since, until = edge(values, begin, days=0, zone=zone), edge(values, end, days=1, zone=zone)
    if since.epoch_ms >= until.epoch_ms:
        raise invalid(end, f"has to be later than {begin}: the range is [{begin}, {end}), and a date is its whole day.")
    asked = Span(since, until, "", zone, (), ())
    if most_days is not None and asked.lasts_longer(most_days):
        raise invalid(end, f"is more than {most_days:,} days after {begin}, and that is the longest range.")
    return asked


def has_against(values: Mapping[str, str]) -> bool:
    """Return whether there is a range to compare with. Raise Malformed where it has one end alone."""
    if missing := [name for name in AGAINST if name not in values]:
        if len(missing) == len(AGAINST):
            return False
        raise malformed(missing[0], "is missing. A range to compare with has both ends.")
    return True


def whole(asked: Span) -> Span:
    """Return the span with its first and last bucket as a whole."""
    first, zone = asked.labels[0], None if asked.zone == _UTC else asked.zone
    if asked.step == "day":
        last = datetime.fromtimestamp(asked.labels[-1], ZoneInfo(asked.zone)).date()
        end = next(
            at for n in (1, 2) if (at := midnight(last + timedelta(days=n), ZoneInfo(asked.zone))) > asked.labels[-1]
        )
    else:
        end = asked.labels[-1] + _SECONDS[asked.step]
    labels, bounds = Range(first, end, asked.step, zone, _MINUTE_S).buckets()  # type: ignore[arg-type]
    return asked._replace(labels=labels, bounds=bounds)


def edge(values: Mapping[str, str], name: str, days: int, years: tuple[int, int] = YEARS, zone: str = _UTC) -> Edge:
    """An end of the range; `days` is what has to be added to the begin of a date. Raises Malformed or Invalid."""
    text = values.get(name)
    if text is None:
        raise malformed(name, "is missing. Give a date, as 2026-03-01, or an RFC 3339 time.")
    if is_date(text):
        day = parsed_date(name, text, years) + timedelta(days=days)
        second = (day - _EPOCH).days * _DAY_S if zone == _UTC else midnight(day, ZoneInfo(zone))
        return Edge(second * 1_000_000, text)
    second, fraction = instant(name, text, years=years)
    return Edge(second * 1_000_000 + -(-int(fraction or 0) * 1_000_000 // 10 ** len(fraction)))
