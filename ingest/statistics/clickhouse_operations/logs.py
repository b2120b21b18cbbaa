"""The operation that returns event logs."""

from ingest.http.cursor import CHARACTERS
from ingest.http.openapi import Answer, Operation, Parameter
from ingest.segments.parser import LENGTH_MOST
from ingest.statistics import answers, event_logs
from ingest.statistics.clickhouse_operations.parameters import ERRORS, limit, text
from ingest.statistics.range_ends import EdgeText

_EXAMPLE_FILTER = "event_context.order.id:4711 and not context.log.level:debug"

OPERATIONS = [
    Operation(
        method="GET",
        path="/logs",
        handler=event_logs.event_logs,
        scope="logs:read",
        body_use="refused",
        summary="Event logs of a range, page by page",
        description="Events that applications have published through the outbox, the newest first unless `order=asc`. "
        "While there are more, `next` and the header `Link` lead to the next page. New events shift no page. A page "
        f"ends early when its contexts have more than {event_logs.PAGE_BYTES >> 20} MiB.",
        tag="logs",
        parameters=(
            Parameter(
                "from",
                EdgeText,
                "Begin of the range, a date in UTC or an RFC 3339 time, exact to the microsecond",
                required=True,
                example="2026-03-01T12:00:00Z",
            ),
            Parameter(
                "to",
                EdgeText,
                f"End of the range, {event_logs.DAYS_MOST} days later at most; a date is in it as a whole, a time is "
                "not",
                required=True,
                example="2026-03-01T13:00:00Z",
            ),
            Parameter(
                "event_type",
                text(event_logs.TYPE_MOST),
                "Events of this type alone, which is what the table is sorted by",
                example="payment_failed",
            ),
            Parameter(
                "environment",
                text(event_logs.ENVIRONMENT_MOST),
                "Events of this environment alone",
                example="production",
            ),
            Parameter(
                "filter",
                text(LENGTH_MOST),
                "Only these events: comparisons of `event_type`, `environment`, `event_id`, `metadata_version`, "
                "`event_context.<key>` and `context.<key>`, in the grammar of `segment`. A fault names its character, "
                "from 0",
                example=_EXAMPLE_FILTER,
            ),
            Parameter("order", event_logs.Order, "By time: `desc` (when not given) or `asc`"),
            limit(event_logs.PAGE_MOST, f"Events of a page, {event_logs.PAGE} when not given"),
            Parameter(
                "cursor",
                text(CHARACTERS, CHARACTERS),
                "`next` of the page before; everything else but `limit` has to stay as it was",
            ),
        ),
        answers={
            200: Answer(
                "A page",
                answers.EventLogs,
                event_logs.MEDIA,
                headers={"Link": "The address of the next page (`next`, RFC 8288); absent on the last one"},
                example={
                    "from": "2026-03-01T12:00:00Z",
                    "to": "2026-03-01T13:00:00Z",
                    "filter": _EXAMPLE_FILTER,
                    "events": [
                        {
                            "event_id": "0195a1b2-0000-4000-8000-000000000001",
                            "event_type": "payment_failed",
                            "event_date_time": "2026-03-01T12:34:56.789012Z",
                            "environment": "production",
                            "metadata_version": 1,
                            "event_context": {"order": {"id": 4711}},
                            "context": {"log": {"level": "error"}},
                        }
                    ],
                },
            )
        },
        errors=ERRORS,
        order=430,
    )
]
