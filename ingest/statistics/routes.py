"""`GET /stats` answers two questions: about banners by `bannerIds`, and about a tracker by `tracker_id`.

Which one is meant is said by the parameter; each side checks the others as if the route were its own.
"""

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from ingest.hits.routes import EXAMPLE, TrackerId
from ingest.http.openapi import Operation, Parameter
from ingest.statistics import clicks as banners
from ingest.statistics.range_ends import EdgeText
from ingest.statistics.trackers import TrackerCount, tracker_statistics
from shared.errors import Busy, ClickHouseUnavailable, Malformed


async def statistics(request: Request) -> Response:
    """Clicks of banners or hits of a tracker, whatever is asked for."""
    if "tracker_id" in request.query_params:
        if await request.body():
            raise Malformed("Hits of a tracker take no body. Give from and to in the query.")
        return await tracker_statistics(request)
    return await banners.statistics(request)


# -- operations --------------------------------------------------------------------------------------------------------

_PARAMETERS = (
    Parameter("tracker_id", TrackerId, "The tracker, where hits are asked for instead of clicks", example=EXAMPLE),
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
)


def _of_both(operation: Operation) -> Operation:
    """What the documentation says of the route: the parameters and answers of both questions."""
    [ids, *others] = operation.parameters
    ids = replace(ids, required=False, description=f"{ids.description}; required without `tracker_id`")
    answer = operation.answers[200]
    return replace(
        operation,
        handler=statistics,
        summary="Clicks of several banners, or hits of a tracker, over a range",
        description=f"{operation.description}\n\nWith `tracker_id`, `from` and `to`: the exact number of hits of a "
        "tracker that are in ClickHouse; with `step` also by bucket, in UTC. A tracker without hits has count 0.",
        parameters=(ids, *_PARAMETERS, *others),
        answers={200: replace(answer, description="The clicks, or the hits", type=(answer.type, TrackerCount))},
        errors=(*operation.errors, ClickHouseUnavailable, Busy),
    )


OPERATIONS = [_of_both(operation) if operation.path == "/stats" else operation for operation in banners.OPERATIONS]
