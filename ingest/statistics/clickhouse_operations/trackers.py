"""The operation that ranks trackers. Hits of one tracker share the route of several banners."""

from ingest.hits.routes import EXAMPLE
from ingest.http.openapi import Answer, Operation
from ingest.statistics import answers, exports, trackers
from ingest.statistics.clickhouse_operations.parameters import ERRORS, SPAN, TZ, limit

OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/trackers/top",
        handler=trackers.top_trackers,
        scope="stats:read",
        body_use="refused",
        summary="The trackers with the most hits",
        description="Best first; of equal ones the first by id. `users` leaves out those who opted out. The longest "
        f"range is {trackers.TOP_DAYS_MOST} days.",
        parameters=(*SPAN, TZ, limit(trackers.PLACES_MOST, f"Trackers to name, {trackers.PLACES} when not given")),
        answers={
            200: Answer(
                "The trackers",
                answers.TrackerTop,
                exports.MEDIA,
                example={
                    "from": "2026-03-01",
                    "to": "2026-03-31",
                    "tz": "UTC",
                    "trackers": [
                        {"tracker_id": EXAMPLE, "value": "Spring sale", "count": 1204, "users": 310, "bots": 80}
                    ],
                },
            )
        },
        errors=ERRORS,
        order=225,
    )
]
