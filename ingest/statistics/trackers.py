"""Count the hits of a tracker in a range, in all or by minute, hour or day, in ClickHouse.

Ends of a range (`ingest/statistics/range_ends.py`) are meant to the millisecond, which is how exactly hits are timed.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import get_args

from starlette.responses import Response

from ingest.hits.routes import parsed_tracker
from ingest.http.json_answers import as_json
from ingest.http.query import choice, invalid, query
from ingest.state import Request
from ingest.statistics.answers import TrackerBucket, TrackerCount
from ingest.statistics.banners import statistics as banners
from ingest.statistics.exports import rows
from ingest.statistics.range_ends import edge
from ingest.statistics.ranges import MOST_DAYS, Step
from shared.errors import Malformed
from shared.stores.postgres import statement

_COUNT = statement("ingest/statistics/trackers.count.sql")
_SERIES = statement("ingest/statistics/trackers.series.sql")

_NAMES = ("tracker_id", "from", "to", "step")
_SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86_400}
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
#: The last day that a Date of ClickHouse holds. No hit is of a later one.
_LAST_DAY = date(2149, 6, 6)


async def statistics(request: Request) -> Response:
    """Return hits of a tracker if `tracker_id` is given, else clicks of banners."""
    if "tracker_id" not in request.query_params:
        return await banners.statistics(request)
    if await request.body():
        raise Malformed("Hits of a tracker take no body. Give from and to in the query.")
    return await tracker_statistics(request)


async def tracker_statistics(request: Request) -> Response:
    """Return hits of one tracker over a range."""
    values = query(request, _NAMES)
    tracker = parsed_tracker("tracker_id", values.get("tracker_id", ""))
    since, until = edge(values, "from", days=0), edge(values, "to", days=1)
    if since.epoch_ms >= until.epoch_ms:
        raise invalid("to", "has to be later than from: the range is [from, to), and a date is its whole day.")
    step = choice(values, "step", get_args(Step), "") if "step" in values else None
    if step and until.epoch_ms - since.epoch_ms > MOST_DAYS[step] * _DAY_MS:
        raise invalid("to", f"is more than {MOST_DAYS[step]:,} days after from, and that is the most with step={step}.")
    parameters = {
        "tracker": str(tracker),
        "first": _day(since.epoch_ms),
        "last": _day(until.epoch_ms - 1),
        "since": since.epoch_ms,
        "until": until.epoch_ms,
    }
    answer = TrackerCount(tracker_id=tracker, from_=since.text, to=until.text, count=0)
    if step is None:
        [[answer.count]] = await rows(request, _COUNT, parameters)
    else:
        found = await rows(request, _SERIES, {**parameters, "step": _SECONDS[step]})
        answer.step = step  # type: ignore[assignment]
        answer.stats = [TrackerBucket(datetime.fromtimestamp(begin, UTC), count) for begin, count in found]
        answer.count = sum(bucket.count for bucket in answer.stats)
    return as_json(answer)


def _day(epoch_ms: int) -> str:
    """Return the day of a moment, or the last day that ClickHouse has."""
    return str(min(_EPOCH + timedelta(milliseconds=epoch_ms), _LAST_DAY))
