"""The operations that return numbers: their routes, and what the document says of them."""

from datetime import date
from typing import Annotated, Any

from msgspec import Meta

from ingest.hits.routes import EXAMPLE, TrackerId
from ingest.http.cursor import CHARACTERS
from ingest.http.openapi import Answer, BannerId, Operation, Parameter
from ingest.segments.parser import LENGTH_MOST
from ingest.statistics import answers, csv, event_logs, events, exports, pages, trackers
from ingest.statistics.banners import questions, rankings
from ingest.statistics.banners import statistics as banners
from ingest.statistics.range_ends import EdgeText
from ingest.statistics.ranges import MOST_DAYS, Step
from shared.errors import Busy, ClickHouseUnavailable, Invalid, Malformed, PostgresUnavailable, RedisUnavailable

_CLICKHOUSE_ERRORS = (Malformed, Invalid, ClickHouseUnavailable, Busy)
_CLICK_ERRORS = (Invalid, RedisUnavailable, PostgresUnavailable)


def _text(most: int, least: int = 1) -> Any:  # a type for msgspec
    return Annotated[str, Meta(min_length=least, max_length=most)]


def _limit(most: int, description: str) -> Parameter:
    return Parameter("limit", Annotated[int, Meta(ge=1, le=most)], description)


# -- clicks, and hits on the same route --------------------------------------------------------------------------------

_DAYS = ", ".join(f"{days:,} days with step={step}" for step, days in MOST_DAYS.items())
_FROM, _TO = "2026-03-01T00:00:00Z", "2026-03-01T02:00:00Z"

_TIMES = (
    Parameter(
        "tsFrom",
        EdgeText,
        "Begin of the range: RFC 3339 with zone, whose minute is in the range, or a date, whose local day of `tz` is. "
        "One hour before `tsTo` when not given",
        example=_FROM,
    ),
    Parameter(
        "tsTo",
        EdgeText,
        "End of the range: RFC 3339 with zone, not in it, or a date, whose local day of `tz` is in it as a whole. The "
        "end of the current minute when not given",
        example=_TO,
    ),
)
_PARTIAL = Parameter("partial", bool, "While Redis or Postgres is away: what is known, marked as partial, not 503")
_ZONE = Parameter(
    "tz",
    Annotated[str, Meta(max_length=64)],
    "Zone in which hours and days begin, by its IANA name; UTC when not given",
    example="Europe/Berlin",
)
_STEPS = (
    Parameter("step", Step, f"Length of a bucket, `minute` when not given. The longest ranges are {_DAYS}"),
    _ZONE,
    Parameter("fill", bool, "Also the buckets without clicks, with count 0"),
    _PARTIAL,
)
_TRAFFIC = Parameter(
    "traffic",
    answers.Traffic,
    "Whose: of people (`human`, when not given), of machines (`bots`), or of both (`all`). Clicks of `POST /stats` are "
    "not looked at and count as those of people",
)
_METRICS = (
    Parameter(
        "metrics",
        Annotated[list[answers.Metric], Meta(min_length=1, extra_json_schema={"uniqueItems": True})],
        "What to return, with commas between: `clicks`, impressions `served` and `viewable`, and `ctr`, which is "
        "clicks / viewable. With it or with `traffic` the answer has `totals` and these names instead of `total` and "
        "`count`",
        example=["clicks", "viewable", "ctr"],
    ),
    _TRAFFIC,
)
_EXAMPLE_RANGE = {"tsFrom": _FROM, "tsTo": _TO}
_EXAMPLE_AS_OF = "2026-03-01T01:34:56.789012Z"
_EXAMPLE_SERIES = {"step": "hour", "total": 5, "asOf": _EXAMPLE_AS_OF}
_EXAMPLE_STATS = [
    {"timestamp": _FROM, "count": 4, "final": True},
    {"timestamp": "2026-03-01T01:00:00Z", "count": 1, "final": False},
]


def _clicks(
    description: str, kind: Any, example: dict[str, object], more: dict[str, str] | None = None
) -> dict[int, Answer]:
    headers = {
        "Tallybook-As-Of": "With CSV: what `asOf` says in JSON",
        "Tallybook-Missing": "With CSV: what `missing` says in JSON, when a store did not answer",
        **(more or {}),
    }
    return {200: Answer(description, kind, ("application/json", csv.MEDIA), headers, example)}


_CLICKS = [
    Operation(
        method="GET",
        path="/stats/{bannerId}",
        handler=banners.banner_statistics,
        scope="stats:read",
        body_use="read",
        summary="Clicks of one banner over a range",
        description="Exact at any moment: persisted clicks and those on their way, without a gap and without a double. "
        "`final: false` marks a bucket that may still grow. A banner without clicks is an empty answer with total "
        "0.\n\n"
        'The range may also be sent as a JSON body, `{"tsFrom": ..., "tsTo": ...}`, instead of in the query. '
        "A bucket that `tsFrom` or `tsTo` cuts keeps its label and counts the minutes inside the range only.",
        parameters=(Parameter("bannerId", BannerId, "The banner", "path", example=42), *_TIMES, *_STEPS, *_METRICS),
        answers=_clicks(
            "The clicks",
            (answers.BannerStatistics, answers.BannerMetrics),
            {"bannerId": 42, **_EXAMPLE_RANGE, **_EXAMPLE_SERIES, "stats": _EXAMPLE_STATS},
        ),
        errors=_CLICK_ERRORS,
        order=200,
    ),
    Operation(
        method="GET",
        path="/stats",
        handler=trackers.statistics,
        scope="stats:read",
        body_use="read",
        summary="Clicks of several banners, or hits of a tracker, over a range",
        description=f"As for one banner, for up to {questions.BANNERS_MOST} at once and "
        f"{questions.ROWS_MOST:,} buckets in all.\n\nWith `tracker_id`, `from` and `to`: the exact number of "
        "hits of a tracker that are in ClickHouse; "
        "with `step` also by bucket, in UTC. A tracker without hits has count 0.",
        parameters=(
            Parameter(
                "bannerIds",
                Annotated[
                    list[BannerId],
                    Meta(min_length=1, max_length=questions.BANNERS_MOST, extra_json_schema={"uniqueItems": True}),
                ],
                "The banners, with commas between them; required without `tracker_id`",
                example=[42, 43],
            ),
            Parameter(
                "tracker_id", TrackerId, "The tracker, where hits are asked for instead of clicks", example=EXAMPLE
            ),
            Parameter(
                "from",
                EdgeText,
                "With `tracker_id`: begin of the range, a date in UTC or an RFC 3339 time",
                example="2026-03-01",
            ),
            Parameter(
                "to",
                EdgeText,
                "With `tracker_id`: end of the range; a date is in it as a whole, a time is not",
                example="2026-03-31",
            ),
            *_TIMES,
            *_STEPS,
            *_METRICS,
        ),
        answers=_clicks(
            "The clicks, or the hits",
            (answers.Statistics, answers.Metrics, answers.TrackerCount),
            {
                **_EXAMPLE_RANGE,
                **_EXAMPLE_SERIES,
                "banners": [
                    {"bannerId": 42, "total": 5, "stats": _EXAMPLE_STATS},
                    {"bannerId": 43, "total": 0, "stats": []},
                ],
            },
        ),
        errors=(*_CLICK_ERRORS, ClickHouseUnavailable, Busy),
        order=210,
    ),
    Operation(
        method="GET",
        path="/stats/top",
        handler=rankings.top_banners,
        scope="stats:read",
        body_use="read",
        summary="The banners that lead a range",
        description="Best first; of equal ones the lower id is first. The longest range is "
        f"{rankings.RANKING_DAYS_MOST} days.\n\nWith `metric=ctr` the lower end of the interval decides, so a rate of "
        "few impressions is not ahead of the same rate of many. Banners with fewer viewable impressions than `min`, or "
        "with more clicks than viewable impressions, are left out and counted in `leftOut`.",
        parameters=(
            *_TIMES,
            _ZONE,
            _limit(rankings.PLACES_MOST, f"Banners to name, {rankings.PLACES} when not given"),
            Parameter("metric", answers.Metric, "What decides: `clicks` when not given"),
            Parameter(
                "min",
                Annotated[int, Meta(ge=1, le=rankings.VIEWABLE_LEAST_MOST)],
                f"With `metric=ctr`: viewable impressions that a banner needs, {rankings.VIEWABLE_LEAST} by default",
            ),
            _TRAFFIC,
            _PARTIAL,
        ),
        answers=_clicks(
            "The banners",
            (answers.Top, answers.RateTop),
            {**_EXAMPLE_RANGE, "asOf": _EXAMPLE_AS_OF, "banners": [{"bannerId": 42, "count": 5}]},
            {"Tallybook-Left-Out": "With CSV and `metric=ctr`: what `leftOut` says in JSON"},
        ),
        errors=_CLICK_ERRORS,
        order=220,
    ),
]

# -- page views --------------------------------------------------------------------------------------------------------

_EXAMPLE_SUMS = {"views": 5, "users": 3, "average_duration_ms": 48_200.0, "bounce_rate": 0.2}

_PAGES = Operation(
    method="GET",
    path="/stats/pages",
    handler=pages.page_statistics,
    scope="stats:read",
    body_use="refused",
    summary="Page views of a range, by minute or hour",
    description="Views, different users, mean duration and share of bounces: in all, by bucket, and of the most "
    "viewed pages. `from` is lowered and `to` raised to whole buckets. Views are there within seconds; those that "
    "come late are added to the minute in which they happened. While views come in, parts of one answer may "
    f"differ by the newest.\n\nMinutes are kept for {pages.MINUTES_DAYS} days, hours for good.",
    parameters=(
        Parameter(
            "from",
            EdgeText,
            "Begin of the range, a date in UTC or an RFC 3339 time",
            required=True,
            example="2026-03-01",
        ),
        Parameter(
            "to",
            EdgeText,
            "End of the range; a date is in it as a whole, a time is not",
            required=True,
            example="2026-03-31",
        ),
        Parameter("step", answers.PageStep, "Size of a bucket, `hour` when not given"),
        Parameter("page_id", _text(pages.PAGE_MAX), "Views of this page alone", example="/products/7"),
        _limit(pages.PAGES_MOST, f"Pages to name, {pages.PAGES} when not given"),
    ),
    answers={
        200: Answer(
            "The views",
            answers.PageStatistics,
            example={
                "from": "2026-03-01T00:00:00Z",
                "to": "2026-04-01T00:00:00Z",
                "step": "hour",
                "total": _EXAMPLE_SUMS,
                "stats": [{**_EXAMPLE_SUMS, "timestamp": "2026-03-01T12:00:00Z"}],
                "pages": [{**_EXAMPLE_SUMS, "page_id": "/products/7"}],
            },
        )
    },
    errors=_CLICKHOUSE_ERRORS,
    order=230,
)

# -- events ------------------------------------------------------------------------------------------------------------

_DATE = Annotated[date, Meta(description="A date")]
_EXAMPLE_SEGMENT = "event_type:purchase and properties.country:UA"
_EXAMPLE_DATES = {"from": "2026-03-01", "to": "2026-03-03"}

_DATES = (
    Parameter("from", _DATE, "First day of the range", required=True, example=_EXAMPLE_DATES["from"]),
    Parameter(
        "to",
        _DATE,
        f"Last day of the range, which has {events.DAYS_MOST:,} at most",
        required=True,
        example=_EXAMPLE_DATES["to"],
    ),
    Parameter(
        "segment",
        _text(LENGTH_MOST),
        "Only these events: comparisons of `event_type`, `user_id` and `properties.<key>` with `: != < <= > >=`, "
        "joined by `and`, `or`, `not` and parentheses. A fault names its character, from 0",
        example=_EXAMPLE_SEGMENT,
    ),
)
_TZ = Parameter(
    "tz",
    Annotated[str, Meta(max_length=64)],
    "Zone in which days begin, by its IANA name; UTC when not given",
    example="Europe/Berlin",
)

_EVENTS = [
    Operation(
        method="GET",
        path="/stats/dau",
        handler=events.daily_users,
        scope="stats:read",
        body_use="refused",
        summary="Unique users by day",
        description="Every day of the range, those without users included. Exact, unless `approx=true` is asked for: "
        f"then `error` is the relative error that 99.7 % of the days stay below, {events.ERROR}.",
        tag="events",
        parameters=(*_DATES, _TZ, Parameter("approx", bool, "Estimates, which take about half the time")),
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
                    "error": 0.0,
                    "days": [
                        {"date": "2026-03-01", "users": 12},
                        {"date": "2026-03-02", "users": 0},
                        {"date": "2026-03-03", "users": 7},
                    ],
                },
            )
        },
        errors=_CLICKHOUSE_ERRORS,
        order=400,
    ),
    Operation(
        method="GET",
        path="/stats/top-events",
        handler=events.top_events,
        scope="stats:read",
        body_use="refused",
        summary="The most frequent types of events",
        description="Best first; of equal ones the first by name.",
        tag="events",
        parameters=(*_DATES, _TZ, _limit(events.TYPES_MOST, f"Types to name, {events.TYPES} when not given")),
        answers={
            200: Answer(
                "The types",
                answers.TopEvents,
                exports.MEDIA,
                example={**_EXAMPLE_DATES, "tz": "UTC", "events": [{"event_type": "purchase", "count": 40}]},
            )
        },
        errors=_CLICKHOUSE_ERRORS,
        order=410,
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
            _TZ,
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
        errors=_CLICKHOUSE_ERRORS,
        order=420,
    ),
]

# -- event logs --------------------------------------------------------------------------------------------------------

_EXAMPLE_FILTER = "event_context.order.id:4711 and not context.log.level:debug"

_LOGS = Operation(
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
            f"End of the range, {event_logs.DAYS_MOST} days later at most; a date is in it as a whole, a time is not",
            required=True,
            example="2026-03-01T13:00:00Z",
        ),
        Parameter(
            "event_type",
            _text(event_logs.TYPE_MOST),
            "Events of this type alone, which is what the table is sorted by",
            example="payment_failed",
        ),
        Parameter(
            "environment", _text(event_logs.ENVIRONMENT_MOST), "Events of this environment alone", example="production"
        ),
        Parameter(
            "filter",
            _text(LENGTH_MOST),
            "Only these events: comparisons of `event_type`, `environment`, `event_id`, `metadata_version`, "
            "`event_context.<key>` and `context.<key>`, in the grammar of `segment`. A fault names its character, "
            "from 0",
            example=_EXAMPLE_FILTER,
        ),
        Parameter("order", event_logs.Order, "By time: `desc` (when not given) or `asc`"),
        _limit(event_logs.PAGE_MOST, f"Events of a page, {event_logs.PAGE} when not given"),
        Parameter(
            "cursor",
            _text(CHARACTERS, CHARACTERS),
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
    errors=_CLICKHOUSE_ERRORS,
    order=430,
)

OPERATIONS = [*_CLICKS, _PAGES, *_EVENTS, _LOGS]
