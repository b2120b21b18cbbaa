"""Parameters and errors that several operations share."""

from datetime import date
from typing import Annotated, Any

from msgspec import Meta

from ingest.http.openapi import Parameter
from ingest.statistics.range_ends import AGAINST, EdgeText
from shared.errors import Busy, ClickHouseUnavailable, Invalid, Malformed

ERRORS = (Malformed, Invalid, ClickHouseUnavailable, Busy)

#: A range of dates or times.
SPAN = (
    Parameter(
        "from",
        EdgeText,
        "Begin of the range, a date of `tz` or an RFC 3339 time",
        required=True,
        example="2026-03-01",
    ),
    Parameter(
        "to",
        EdgeText,
        "End of the range; a date of `tz` is in it as a whole, a time is not",
        required=True,
        example="2026-03-31",
    ),
)
#: A range to compare with.
AGAINST_DATES = tuple(
    Parameter(name, Annotated[date, Meta(description="A date")], description, example=example)
    for name, description, example in (
        (AGAINST[0], "First day of a range to compare with; `before` is the number in it", "2026-02-01"),
        (AGAINST[1], "Last day of that range", "2026-02-28"),
    )
)
AGAINST_SPAN = (
    Parameter(
        AGAINST[0],
        EdgeText,
        "Begin of a range to compare with, as `from`; `before` is what it has",
        example="2026-02-01",
    ),
    Parameter(AGAINST[1], EdgeText, "End of that range, as `to`", example="2026-02-28"),
)
TZ = Parameter(
    "tz",
    Annotated[str, Meta(max_length=64)],
    "Zone in which hours and days begin, by its IANA name; UTC when not given",
    example="Europe/Berlin",
)


def text(most: int, least: int = 1) -> Any:  # a type for msgspec
    """Return the type of a text of so many characters."""
    return Annotated[str, Meta(min_length=least, max_length=most)]


def limit(most: int, description: str) -> Parameter:
    """Return how many are asked for, `most` at most."""
    return Parameter("limit", Annotated[int, Meta(ge=1, le=most)], description)
