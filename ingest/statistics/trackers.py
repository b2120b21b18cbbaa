"""Return the hits of a tracker in a range, in all or by minute, hour or day, and the trackers with the most hits.

Ends of a range (`ingest/statistics/range_ends.py`) are meant to the millisecond, which is how exactly hits are timed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from string import Template
from typing import Any
from uuid import UUID

from msgspec import UNSET
from starlette.responses import Response

from ingest.hits.routes import parsed_tracker
from ingest.http.query import flag, integer, invalid, query
from ingest.state import Request
from ingest.statistics import exports
from ingest.statistics.answers import TrackerBucket, TrackerCount, TrackerPlace, TrackerTop
from ingest.statistics.banners import statistics as banners
from ingest.statistics.exports import Table, as_json, rows
from ingest.statistics.range_ends import Span, span, unstepped
from ingest.statistics.ranges import MOST_DAYS
from shared.errors import Malformed
from shared.stores.postgres import statement

#: Trackers in a ranking, and its longest range in days.
PLACES_MOST, PLACES, TOP_DAYS_MOST = 1000, 10, 366

_COUNT = statement("ingest/statistics/trackers.count.sql")
_SERIES = Template(statement("ingest/statistics/trackers.series.sql"))
_TOP = statement("ingest/statistics/trackers.top.sql")
_NAMES = ("tracker_id", "from", "to", "step", "tz", "fill")
_COLUMNS = {"count": "UInt64", "users": "UInt64", "bots": "UInt64"}


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
    if "step" not in values and "fill" in values:
        raise invalid("fill", "fills steps. Give a step as well.")
    is_filled = flag(values, "fill")
    if "step" not in values:
        asked = unstepped(values)
        [sums] = await rows(request, _COUNT, {**asked.parameters, "tracker": str(tracker)})
        return await _counted(request, tracker, asked, sums)
    asked = span(values, MOST_DAYS, "day")
    sql = _SERIES.substitute(bucket=asked.bucket("toUnixTimestamp(date_time)"))
    [(_, _, *sums), *found] = await rows(request, sql, {**asked.parameters, "tracker": str(tracker)})
    known = {begin: tuple(of) for _, begin, *of in found}
    begins = asked.labels if is_filled else sorted(known)
    stats = [TrackerBucket(datetime.fromtimestamp(begin, UTC), *known.get(begin, (0, 0, 0))) for begin in begins]
    if (media := exports.wanted(request)) in exports.FILES:
        listed = [(one.timestamp, one.count, one.users, one.bots) for one in stats]
        table = Table(("hits", asked.step, *asked.days), {"timestamp": exports.MOMENT, **_COLUMNS}, listed)
        return await exports.response(request, media, table)
    answer = _answer(tracker, asked, sums)
    answer.step, answer.stats = asked.step, stats  # type: ignore[assignment]
    return as_json(answer)


async def top_trackers(request: Request) -> Response:
    """Return the trackers with the most hits of a range."""
    values = query(request, ("from", "to", "tz", "limit"))
    asked, limit = unstepped(values, TOP_DAYS_MOST), integer(values, "limit", 1, PLACES_MOST, PLACES)
    found = await rows(request, _TOP, {**asked.parameters, "limit": limit})
    trackers = request.state.trackers
    places = [TrackerPlace(UUID(one), trackers.known(UUID(one)) or UNSET, *sums) for one, *sums in found]
    if (media := exports.wanted(request)) in exports.FILES:
        listed = [(str(one.tracker_id), one.value or "", one.count, one.users, one.bots) for one in places]
        columns = {"tracker_id": "String", "value": "String", **_COLUMNS}
        return await exports.response(request, media, Table(("trackers", *asked.days), columns, listed))
    return as_json(TrackerTop(from_=asked.since.text, to=asked.until.text, tz=asked.zone, trackers=places))


async def _counted(request: Request, tracker: UUID, asked: Span, sums: Any) -> Response:
    """Return the hits of a range without steps."""
    if (media := exports.wanted(request)) in exports.FILES:
        return await exports.response(request, media, Table(("hits", *asked.days), _COLUMNS, [tuple(sums)]))
    return as_json(_answer(tracker, asked, sums))


def _answer(tracker: UUID, asked: Span, sums: Any) -> TrackerCount:
    """Return the fields of every answer about one tracker."""
    count, users, bots = sums
    ends: Mapping[str, Any] = {"from_": asked.since.text, "to": asked.until.text, "tz": asked.zone}
    return TrackerCount(tracker_id=tracker, **ends, count=count, users=users, bots=bots)
