"""Parameters and errors that several operations share."""

from typing import Annotated, Any

from msgspec import Meta

from ingest.http.openapi import Parameter
from ingest.statistics.range_ends import EdgeText
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
