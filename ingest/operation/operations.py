"""The operations that say how far behind the tables are: their routes, and what the document says of them."""

from typing import Annotated

from msgspec import Meta

from ingest.http.cursor import CHARACTERS_MAX
from ingest.http.openapi import Answer, Operation, Parameter
from ingest.operation import dead_letters, freshness
from shared.errors import Invalid, LogUnavailable, PostgresUnavailable, RedisUnavailable

_FRESHNESS = Operation(
    method="GET",
    path="/freshness",
    handler=freshness.freshness,
    scope="stats:read",
    body_use="refused",
    summary="How far behind are the tables?",
    description="Until when each table of ClickHouse is complete, what waits, and whether it moves. What came in "
    "before `freshUntil`, by the clock of the record log, is in the table. A bucket that ends later may still grow. "
    "An answer is reused for a second.",
    tag="operation",
    answers={
        200: Answer(
            "The ages",
            freshness.Freshness,
            example={
                "asOf": "2026-03-01T12:34:56.789012Z",
                "tables": {
                    "events": {
                        "freshUntil": "2026-03-01T12:34:14.789Z",
                        "oldestS": 42.0,
                        "waiting": 9,
                        "state": "stopped",
                        "reason": "overload",
                    }
                },
                "minutes": {"oldestS": 3.1},
            },
        )
    },
    errors=(RedisUnavailable, PostgresUnavailable, LogUnavailable),
    order=840,
)

_DEAD_LETTERS = Operation(
    method="GET",
    path="/dead-letters",
    handler=dead_letters.dead_letters,
    scope="admin",
    body_use="refused",
    summary="Records that can be no row",
    description="How many wait, by table and reason, and where they were, the oldest first. Nothing of the records is "
    "shown: `tallybook dlq` shows, replays and drops them on the host.",
    tag="operation",
    parameters=(
        Parameter(
            "table",
            Annotated[str, Meta(min_length=1, max_length=dead_letters.TABLE_MOST)],
            "Letters of this table alone",
            example="events",
        ),
        Parameter(
            "limit",
            Annotated[int, Meta(ge=1, le=dead_letters.PAGE_MOST)],
            f"Letters of a page, {dead_letters.PAGE} when not given",
        ),
        Parameter(
            "cursor",
            Annotated[str, Meta(min_length=1, max_length=CHARACTERS_MAX)],
            "`next` of the page before, with the same `table`",
        ),
    ),
    answers={
        200: Answer(
            "A page",
            dead_letters.DeadLetters,
            example={
                "counts": [{"table": "events", "reason": "columns", "count": 1}],
                "letters": [
                    {
                        "id": "streams/events/0/1772366400000-0/events",
                        "table": "events",
                        "reason": "columns",
                        "topic": "events",
                        "partition": 0,
                        "offset": 1772366400000,
                        "created_at": "2026-03-01T12:00:00Z",
                    }
                ],
            },
        )
    },
    errors=(Invalid, PostgresUnavailable),
    order=850,
)

OPERATIONS = [_FRESHNESS, _DEAD_LETTERS]
