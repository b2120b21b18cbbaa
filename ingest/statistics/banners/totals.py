"""Return the clicks of all banners together, as JSON or CSV.

Every minute has a row per banner, and all of them are read, so ranges are shorter than those of single banners.
"""

from starlette.responses import Response

from ingest.http.query import flag, query
from ingest.state import Request
from ingest.statistics import csv
from ingest.statistics.answers import Total
from ingest.statistics.banners.questions import asked_range, wants_csv
from ingest.statistics.banners.series import FINAL, coverage, filled, labelled, marks, stamps
from ingest.statistics.exports import as_json
from ingest.statistics.ranges import MOST_DAYS

#: Longest ranges in days, by step.
TOTAL_DAYS = {"minute": 2, "hour": 31, "day": 366}
_NAMES = ("tsFrom", "tsTo", "step", "tz", "fill", "partial")


async def total_clicks(request: Request) -> Response:
    """Return clicks of all banners over a range."""
    values = query(request, _NAMES)
    step = values.get("step", "minute")
    asked = await asked_range(request, values, most_days=TOTAL_DAYS[step] if step in MOST_DAYS else None)
    buckets, state = asked.buckets(), request.state
    bounds = None if asked.step == "minute" else list(buckets.bounds)
    found = await state.reader.total(asked.start, asked.end, bounds, partial=flag(values, "partial"))
    final_before = 0.0 if found.missing else found.as_of - state.settings.grace_s
    is_filled = flag(values, "fill")
    stats = filled(found.points, buckets, final_before) if is_filled else labelled(found.points, buckets)
    covered = coverage(asked, found.as_of, found.missing)
    if wants_csv(request):
        columns = {
            "timestamp": csv.times([one.timestamp for one in stats]),
            "count": [str(one.count) for one in stats],
            "final": [FINAL[one.final] for one in stats],
        }
        return csv.response(("total", asked.step, *stamps(asked)), columns, marks(covered))
    total = sum(count for _, count, _ in found.points)
    return as_json(Total(total=total, banners=found.banners, step=asked.step, stats=stats, **covered))
