"""What a table really has, asked by the place in the log that each of its rows carries."""

from typing import NamedTuple

from shared.clickhouse import ClickHouse
from shared.log.log import Position
from shared.postgres import statement

_RANGE = statement("aggregator/audit.range.sql")
_DOUBLES = statement("aggregator/audit.doubles.sql")


class Found(NamedTuple):
    """Rows, and the places in the log from which they came: as many, or something is there twice."""

    rows: int
    places: int


async def in_range(clickhouse: ClickHouse, table: str, partition: int, start: Position, end: Position) -> Found:
    """What the table has of [start, end). Raises CLICKHOUSE_ERRORS."""
    parameters = {
        "table": table,
        "partition": partition,
        "first_offset": start.offset,
        "first_seq": start.seq,
        "end_offset": end.offset,
        "end_seq": end.seq,
    }
    return Found(*map(int, (await clickhouse.query(_RANGE, parameters))[0]))


async def doubles(clickhouse: ClickHouse, table: str, days: int = 1, slices: int = 1, which: int = 0) -> int:
    """Rows too many, of those that are dated today or at most `days` days before, in one slice of them. Raises
    CLICKHOUSE_ERRORS."""
    parameters = {"table": table, "days": days, "slices": slices, "slice": which % slices}
    return int((await clickhouse.query(_DOUBLES, parameters))[0][0])
