"""The operations that return numbers: their routes, and what the document says of them."""

from typing import Annotated, Any

from msgspec import Meta

from ingest.hits.routes import EXAMPLE, TrackerId
from ingest.http.cursor import CHARACTERS_MAX
from ingest.http.openapi import Answer, BannerId, Operation, Parameter
from ingest.statistics import answers, clickhouse_operations, csv, exports, trackers
from ingest.statistics.banners import questions, rankings, totals
from ingest.statistics.banners import statistics as banners
from ingest.statistics.range_ends import EdgeText
from ingest.statistics.ranges import MOST_DAYS, Step
from ingest.statistics.web import operations as web
from shared.errors import Busy, ClickHouseUnavailable, Invalid, PostgresUnavailable, RedisUnavailable

_CLICK_ERRORS = (Invalid, RedisUnavailable, PostgresUnavailable)


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
    description: str,
    kind: Any,
    example: dict[str, object],
    more: dict[str, str] | None = None,
    media: tuple[str, ...] = ("application/json", csv.MEDIA),
) -> dict[int, Answer]:
    headers = {
        "Tallybook-As-Of": "With CSV: what `asOf` says in JSON",
        "Tallybook-Missing": "With CSV: what `missing` says in JSON, when a store did not answer",
        **(more or {}),
    }
    return {200: Answer(description, kind, media, headers, example)}


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
        "hits of a tracker that are in ClickHouse, of their users, without those who opted out, and of machines' "
        "hits; with `step` also by bucket. A tracker without hits has count 0. NDJSON and Parquet are for hits alone.",
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
                "With `tracker_id`: begin of the range, a date of `tz` or an RFC 3339 time",
                example="2026-03-01",
            ),
            Parameter(
                "to",
                EdgeText,
                "With `tracker_id`: end of the range; a date of `tz` is in it as a whole, a time is not",
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
            media=exports.MEDIA,
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
            _limit(
                rankings.FILE_PLACES_MOST,
                f"Banners to name, {rankings.PLACES} when not given; {rankings.PLACES_MOST:,} at most, except as CSV",
            ),
            Parameter(
                "cursor",
                Annotated[str, Meta(min_length=1, max_length=CHARACTERS_MAX)],
                "`next` of the page before; everything else but `limit` has to stay as it was. Give `tsTo` as well, so "
                "that all pages are of one range",
            ),
            Parameter(
                "againstFrom",
                EdgeText,
                "Begin of a range to compare with: each place has its count there as `before`",
                example="2026-02-28T22:00:00Z",
            ),
            Parameter("againstTo", EdgeText, "End of the range to compare with", example=_FROM),
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
            {
                "Tallybook-Left-Out": "With CSV and `metric=ctr`: what `leftOut` says in JSON",
                "Link": "With CSV: the address of the next places (`next`, RFC 8288); absent on the last page",
            },
        ),
        errors=_CLICK_ERRORS,
        order=220,
    ),
]

_TOTAL_DAYS = ", ".join(f"{days:,} days with step={step}" for step, days in totals.TOTAL_DAYS.items())

_TOTAL = Operation(
    method="GET",
    path="/stats/total",
    handler=totals.total_clicks,
    scope="stats:read",
    body_use="read",
    summary="Clicks of all banners together",
    description="As for one banner. Every minute of every banner is read, so the longest ranges are "
    f"{_TOTAL_DAYS}. `banners` counts those with clicks.",
    parameters=(*_TIMES, *_STEPS),
    answers=_clicks(
        "The clicks", answers.Total, {**_EXAMPLE_RANGE, **_EXAMPLE_SERIES, "banners": 2, "stats": _EXAMPLE_STATS}
    ),
    errors=_CLICK_ERRORS,
    order=215,
)

OPERATIONS = [*_CLICKS, _TOTAL, *clickhouse_operations.OPERATIONS, *web.OPERATIONS]
