"""Ends of a range `[from, to)`, as hits, page views and event logs are asked for: dates, or moments of RFC 3339.

A date means its whole day in UTC, so `to=2026-03-31` ends with that day.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple

from msgspec import Meta

from ingest.http.query import malformed
from ingest.statistics.ranges import YEARS, instant, is_date, parsed_date

#: An end of a range wherever a schema needs one.
EdgeText = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}")]

_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)


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


def edge(values: Mapping[str, str], name: str, days: int, years: tuple[int, int] = YEARS) -> Edge:
    """An end of the range; `days` is what has to be added to the begin of a date. Raises Malformed or Invalid."""
    text = values.get(name)
    if text is None:
        raise malformed(name, "is missing. Give a date, as 2026-03-01, or an RFC 3339 time.")
    if is_date(text):
        return Edge(((parsed_date(name, text, years) - _EPOCH).days + days) * _DAY_US, text)
    second, fraction = instant(name, text, years=years)
    return Edge(second * 1_000_000 + -(-int(fraction or 0) * 1_000_000 // 10 ** len(fraction)))
