"""Compare a table with the record log, by the place that each of its rows carries."""

from typing import NamedTuple

from shared.events.known_ids import Range
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import statement

_RANGE = statement("aggregator/sink/audit.range.sql")
_DOUBLES = statement("aggregator/sink/audit.doubles.sql")


class Found(NamedTuple):
    """Rows, and the places in the log from which they came: as many, or something is there twice."""

    rows: int
    places: int


async def in_range(clickhouse: ClickHouse, table: str, of: Range) -> Found:
    """Return what the table has of a range of places. Raises CLICKHOUSE_ERRORS."""
    return Found(*map(int, (await clickhouse.query(_RANGE, {"table": table, **of._asdict()}))[0]))


async def doubles(
    clickhouse: ClickHouse, table: str, days: int = 1, slices: int = 1, which: int = 0, day: str = "date"
) -> int:
    """Rows too many, of those that are dated today or at most `days` days before by the column `day`, in one slice of
    them. Raises CLICKHOUSE_ERRORS."""
    parameters = {"table": table, "day": day, "days": days, "slices": slices, "slice": which % slices}
    return int((await clickhouse.query(_DOUBLES, parameters))[0][0])
