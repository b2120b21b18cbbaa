"""The operations that return statistics of product events."""

from datetime import date
from typing import Annotated

from msgspec import Meta

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.segments.parser import LENGTH_MOST
from ingest.statistics import answers, event_fields, events, exports
from ingest.statistics.clickhouse_operations.parameters import AGAINST_DATES, ERRORS, SPAN, TZ, limit, text
from ingest.statistics.ranges import Step

_DATE = Annotated[date, Meta(description="A date")]
_EXAMPLE_SEGMENT = "event_type:purchase and properties.country:UA"
_EXAMPLE_DATES = {"from": "2026-03-01", "to": "2026-03-03"}

_SEGMENT = Parameter(
    "segment",
    text(LENGTH_MOST),
    "Only these events: comparisons of `event_type`, `user_id` and `properties.<key>` with `: != < <= > >=`, "
    "joined by `and`, `or`, `not` and parentheses. A fault names its character, from 0",
    example=_EXAMPLE_SEGMENT,
)
_DATES = (
    Parameter("from", _DATE, "First day of the range", required=True, example=_EXAMPLE_DATES["from"]),
    Parameter(
        "to",
        _DATE,
        f"Last day of the range, which has {events.DAYS_MOST:,} at most",
        required=True,
        example=_EXAMPLE_DATES["to"],
    ),
    _SEGMENT,
)
_SERIES_DAYS = ", ".join(f"{days:,} days with step={step}" for step, days in events.SERIES_DAYS.items())

OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/dau",
        handler=events.daily_users,
        scope="stats:read",
        body_use="refused",
        summary="Unique users by day",
        description="Every day of the range, those without users included, and `users` of the whole range. Exact, "
        "unless `approx=true` is asked for: "
        f"then `error` is the relative error that 99.7 % of the days stay below, {events.ERROR}.",
        tag="events",
        parameters=(*_DATES, TZ, Parameter("approx", bool, "Estimates, which take about half the time")),
        answers={
            200: Answer(
                "The users",
                answers.DailyUsers,
                exports.MEDIA,
                headers={"X-Relative-Error": "Of CSV, NDJSON and Parquet: what `error` is in JSON"},
                example={
                    **_EXAMPLE_DATES,
                    "tz": "UTC",
                    "segment": _EXAMPLE_SEGMENT,
                    "users": 15,
                    "error": 0.0,
                    "days": [
                        {"date": "2026-03-01", "users": 12},
                        {"date": "2026-03-02", "users": 0},
                        {"date": "2026-03-03", "users": 7},
                    ],
                },
            )
        },
        errors=ERRORS,
        order=400,
    ),
    Operation(
        method="GET",
        path="/stats/events",
        handler=events.event_series,
        scope="stats:read",
        body_use="refused",
        summary="Events and their users over a range",
        description="By minute, hour or day, and in all. Users of a bucket or of the range are different users: they "
        f"cannot be added. The longest ranges are {_SERIES_DAYS}.",
        tag="events",
        parameters=(
            *SPAN,
            Parameter("step", Step, "Length of a bucket, `day` when not given"),
            _SEGMENT,
            TZ,
            Parameter("event_type", Annotated[str, Meta(max_length=events.TYPE_MOST)], "Events of this type alone"),
            Parameter("fill", bool, "Also the buckets without events, with 0"),
        ),
        answers={
            200: Answer(
                "The events",
                answers.EventSeries,
                exports.MEDIA,
                example={
                    **_EXAMPLE_DATES,
                    "step": "day",
                    "tz": "UTC",
                    "total": {"count": 40, "users": 12},
                    "stats": [{"count": 40, "users": 12, "timestamp": "2026-03-01T00:00:00Z"}],
                },
            )
        },
        errors=ERRORS,
        order=405,
    ),
    Operation(
        method="GET",
        path="/stats/top-events",
        handler=events.top_events,
        scope="stats:read",
        body_use="refused",
        summary="The most frequent types of events",
        description="Best first; of equal ones the first by name. With a range to compare with, `before` says how "
        "often each occurred in it.",
        tag="events",
        parameters=(
            *_DATES,
            TZ,
            limit(events.TYPES_MOST, f"Types to name, {events.TYPES} when not given"),
            *AGAINST_DATES,
        ),
        answers={
            200: Answer(
                "The types",
                answers.TopEvents,
                exports.MEDIA,
                example={**_EXAMPLE_DATES, "tz": "UTC", "events": [{"event_type": "purchase", "count": 40}]},
            )
        },
        errors=ERRORS,
        order=410,
    ),
    Operation(
        method="GET",
        path="/events/fields",
        handler=event_fields.event_fields,
        scope="stats:read",
        body_use="refused",
        summary="What a segment may name, from a sample",
        description=f"Of the last {event_fields.ROWS_MOST:,} events of {event_fields.DAYS} days, by day and id: their "
        "fields, and values that several users have. `sampled` says of how many: what is rare may be missing. Events "
        f"with more than {event_fields.BYTES_MOST:,} bytes of properties are left out.",
        tag="events",
        parameters=(
            Parameter("event_type", Annotated[str, Meta(max_length=events.TYPE_MOST)], "Events of this type alone"),
            Parameter("q", text(event_fields.WORDS_MOST), "Only fields that have this in their name, in any case"),
        ),
        answers={
            200: Answer(
                "The fields",
                event_fields.EventFields,
                example={
                    "since": "2026-02-01",
                    "sampled": 2000,
                    "fields": [
                        {"field": "event_type", "events": 2000, "values": ["page_opened", "purchase"]},
                        {"field": "properties.country", "events": 1204, "values": ["UA", "DE"]},
                    ],
                },
            )
        },
        errors=ERRORS,
        order=415,
    ),
    Operation(
        method="GET",
        path="/stats/retention",
        handler=events.retention,
        scope="stats:read",
        body_use="refused",
        summary="Who came back",
        description="A user belongs to the window of the first event ever, of `event_type` if that is given; whoever "
        "came before `start_date` belongs to none. `users` says how many of a cohort were active in their own window, "
        "in the next, and so on; a window that is not over counts what it has.",
        tag="events",
        parameters=(
            Parameter("start_date", _DATE, "First day of the first window", required=True, example="2026-03-02"),
            Parameter(
                "windows",
                Annotated[int, Meta(ge=1, le=events.WINDOWS_MOST)],
                f"How many windows, {events.WINDOWS} when not given",
            ),
            Parameter("window", answers.Window, "Length of a window, `week` (seven days) when not given"),
            Parameter("event_type", Annotated[str, Meta(max_length=events.TYPE_MOST)], "What counts as activity"),
            TZ,
        ),
        answers={
            200: Answer(
                "The cohorts",
                answers.Retention,
                exports.MEDIA,
                example={
                    "start_date": "2026-03-02",
                    "window": "week",
                    "tz": "UTC",
                    "cohorts": [
                        {"start": "2026-03-02", "size": 4, "users": [4, 2], "rates": [1.0, 0.5]},
                        {"start": "2026-03-09", "size": 1, "users": [1], "rates": [1.0]},
                    ],
                },
            )
        },
        errors=ERRORS,
        order=420,
    ),
]
