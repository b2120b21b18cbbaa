"""The operations that say how far behind the tables are: their routes, and what the document says of them."""

from ingest.http.openapi import Answer, Operation
from ingest.operation import freshness
from shared.errors import LogUnavailable, PostgresUnavailable, RedisUnavailable

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

OPERATIONS = [_FRESHNESS]
