"""The operations of the service itself: their routes, and what the document says of them."""

from ingest.http import health
from ingest.http.openapi import Answer, Operation
from shared.errors import LogUnavailable, PostgresUnavailable, RedisUnavailable, Unavailable

OPERATIONS = [
    Operation(
        method="GET",
        path="/health/live",
        handler=health.live,
        summary="Does the process answer?",
        tag="operation",
        answers={200: Answer("It does", health.Live)},
        order=800,
    ),
    Operation(
        method="GET",
        path="/health/ready",
        handler=health.ready,
        summary="Can it do its work?",
        description="Clicks are accepted while this is 200, also when `status` is `degraded`: Redis may be away.",
        tag="operation",
        answers={
            200: Answer("Clicks are accepted", health.Ready),
            503: Answer("Clicks are not accepted now", health.Ready),
        },
        order=810,
    ),
    Operation(
        method="GET",
        path="/accounting",
        handler=health.accounting,
        scope="admin",
        summary="Where is every accepted click, and every record?",
        description="Of clicks `accepted = persisted + open + inLanes` at every moment. Of the rows of each table "
        "(events, hits, page views) `accepted = stored + duplicate + deadLettered + skipped + inFlight + inJournals`. "
        "A `difference` other than 0 that stays means that a store lost data, or was put back to an older copy; of "
        "tables it counts records of the log, which of events are blocks of up to 1,000. While more events wait than "
        "can be counted in five seconds, their `inFlight` and `accepted` are null.",
        tag="operation",
        answers={200: Answer("Clicks and records by where they are", health.Accounts)},
        errors=(RedisUnavailable, PostgresUnavailable, LogUnavailable, Unavailable),
        order=820,
    ),
]
