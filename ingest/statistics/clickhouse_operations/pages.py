"""The operation that returns page views."""

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.statistics import answers, exports, pages
from ingest.statistics.clickhouse_operations.parameters import AGAINST_SPAN, ERRORS, SPAN, TZ, limit, text
from ingest.statistics.ranges import Step

_EXAMPLE_SUMS = {"views": 5, "users": 3, "average_duration_ms": 48_200.0, "bounce_rate": 0.2}

_DAYS = ", ".join(f"{days:,} days with step={step}" for step, days in pages.LONGEST_DAYS.items())

OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/pages",
        handler=pages.page_statistics,
        scope="stats:read",
        body_use="refused",
        summary="Page views of a range, by minute, hour or day",
        description="Views, different users, mean duration and share of bounces: in all, by bucket, and of the most "
        "viewed pages. `from` is lowered and `to` raised to whole buckets. Views are there within seconds; those that "
        "come late are added to the minute in which they happened. While views come in, parts of one answer may "
        f"differ by the newest.\n\nMinutes are kept for {pages.MINUTES_DAYS} days, hours for good, "
        "by hours of UTC: with `step=hour` and `day` a zone has to begin its hours with them.",
        parameters=(
            *SPAN,
            Parameter("step", Step, f"Size of a bucket, `hour` when not given. The longest ranges are {_DAYS}"),
            TZ,
            Parameter("fill", bool, "Also the buckets without views, with 0"),
            Parameter("page_id", text(pages.PAGE_MAX), "Views of this page alone", example="/products/7"),
            limit(pages.PAGES_MOST, f"Pages to name, {pages.PAGES} when not given"),
            *AGAINST_SPAN,
        ),
        answers={
            200: Answer(
                "The views",
                answers.PageStatistics,
                exports.MEDIA,
                example={
                    "from": "2026-03-01T00:00:00Z",
                    "to": "2026-04-01T00:00:00Z",
                    "asOf": "2026-03-31T12:34:56.789012Z",
                    "freshUntil": "2026-03-31T12:34:56.789012Z",
                    "step": "hour",
                    "tz": "UTC",
                    "total": _EXAMPLE_SUMS,
                    "stats": [{**_EXAMPLE_SUMS, "timestamp": "2026-03-01T12:00:00Z"}],
                    "pages": [{**_EXAMPLE_SUMS, "page_id": "/products/7"}],
                },
            )
        },
        errors=ERRORS,
        order=230,
    )
]
