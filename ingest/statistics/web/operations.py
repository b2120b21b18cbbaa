"""The operation that returns numbers of web pages: its route, and what the document says of it."""

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta

from ingest.http.openapi import Answer, Operation, Parameter
from ingest.segments.parser import LENGTH_MOST
from ingest.statistics import answers, exports
from ingest.statistics.web import statistics
from shared.errors import Busy, ClickHouseUnavailable, Invalid, Malformed, PostgresUnavailable

_NUMBERS: dict[str, Any] = {
    "views": 12,
    "visits": 5,
    "bounceRate": 0.4,
    "duration": 61.5,
    "engaged": 40.25,
    "visitorDays": 4,
    "unattributed": 1,
}
OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/web",
        handler=statistics.web_statistics,
        scope="stats:read",
        body_use="refused",
        summary="Views, visitors and visits of a site",
        description="Of days of the site's zone, both in the range. A visit is a chain of items of one visitor with "
        "gaps of at most half an hour that holds a view. `visitors` is answered for a single day alone: nobody is "
        "recognised on another day, so of longer ranges there are `visitorDays`, the sum over days. Whoever names "
        "`visitors` in `metrics` for a longer range is told so, as 422.",
        tag="web",
        parameters=(
            Parameter("site", Annotated[str, Meta(max_length=64)], "The site", required=True, example="shop"),
            Parameter("from", date, "First day", required=True, example="2026-03-01"),
            Parameter(
                "to",
                date,
                f"Last day, in the range; {statistics.DAYS_MOST} days at most",
                required=True,
                example="2026-03-07",
            ),
            Parameter("by", Literal[tuple(statistics.BY)], "What the rows are parted by; totals alone when not given"),
            Parameter(
                "traffic", answers.Traffic, "Whose items count: of people (`human`, the default), machines, or all"
            ),
            Parameter(
                "filter",
                Annotated[str, Meta(max_length=LENGTH_MOST)],
                "A condition on the view, and on the first view of a visit: host, page, referrer, source, medium, "
                "campaign, ad, country, device, browser, os",
                example="country:DE AND NOT source:news",
            ),
            Parameter(
                "metrics",
                Annotated[str, Meta(max_length=200)],
                f"Numbers that the caller relies on, separated by commas: {', '.join(statistics.NUMBERS)}. The answer "
                "has all that can be known. `visitors` of more than one day is 422",
                example="visits,visitorDays",
            ),
            Parameter(
                "limit",
                Annotated[int, Meta(ge=1, le=statistics.ROWS_MOST)],
                f"Rows, {statistics.ROWS} when not given; days and hours are all given",
            ),
        ),
        answers={
            200: Answer(
                "The numbers",
                answers.WebStatistics,
                exports.MEDIA,
                example={
                    "site": "shop",
                    "from": "2026-03-01",
                    "to": "2026-03-07",
                    "tz": "Europe/Berlin",
                    "traffic": "human",
                    "by": "source",
                    "totals": _NUMBERS,
                    "rows": [{"value": "news", **_NUMBERS, "items": 0}],
                },
            )
        },
        errors=(Malformed, Invalid, ClickHouseUnavailable, PostgresUnavailable, Busy),
        order=440,
    )
]
