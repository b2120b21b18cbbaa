"""The operation that streams live clicks: its route, and what the document says of it."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ingest.http.openapi import EVENTS, Answer, BannerId, Operation, Parameter
from ingest.live import feed, routes, stream
from shared.errors import Busy, Invalid

_DESCRIPTION = f"""Server-sent events. Read them with `fetch`: `EventSource` hides the status and `Retry-After`.

| event | data |
|---|---|
| `counts` | `{{"asOf": ..., "banners": [[42, [["2026-03-01T12:32:00Z", 17, false]]]]}}`: of each banner the minutes \
that changed, newest first, with their whole count and whether it is final. `id` is `asOf` in milliseconds |
| `ranking` | with `top`: `{{"asOf": ..., "tsFrom": ..., "tsTo": ..., "banners": [[42, 9120]]}}`, every 5 s |
| `trouble` | `{{"code": "redis_unavailable", "retryAfter": 1}}`: nothing new can be read; the stream goes on |
| `end` | `{{"reason": "lifetime" \\| "bytes" \\| "stopping"}}`: ask again at once |
| comment | `: keep`, after {stream.KEEP_S:.0f} s without a frame |

A stream begins with all minutes that are open. A minute that becomes final is sent once more. A frame that is not read
is replaced by what is newest, and counts of open minutes never fall. Load the history with `GET /stats` when the stream
is open, and again each minute, because a bulk item may open an old one.

A stream ends after ${{live_s}} s or {stream.BYTES_MOST >> 10} KiB, and without a last event when nothing of
it was read for ${{live_slow_s}} s. A worker has {feed.STREAMS_MOST} streams, {feed.STREAMS_OF_ONE_MOST} of one key
or address, and {feed.BANNERS_MOST} banners of all of them; more is 503 `busy`."""


class StreamEvent(Struct):
    """One event of the stream of live clicks."""

    event: Annotated[Literal["counts", "ranking", "trouble", "end"], Meta(description="What it says")]
    data: Annotated[str, Meta(description="JSON, as the table of the operation has it")]
    id: Annotated[str, Meta(description="Of counts and rankings: `asOf` in milliseconds")] | UnsetType = UNSET


OPERATIONS = [
    Operation(
        method="GET",
        path="/stats/live",
        handler=routes.live_clicks,
        scope="stats:read",
        body_use="refused",
        summary="Clicks as they come",
        description=_DESCRIPTION,
        parameters=(
            Parameter(
                "bannerIds",
                Annotated[
                    list[BannerId],
                    Meta(min_length=1, max_length=routes.BANNERS_MOST, extra_json_schema={"uniqueItems": True}),
                ],
                "The banners, with commas between them; required without `top`",
                example=[42, 43],
            ),
            Parameter(
                "top",
                Annotated[int, Meta(ge=1, le=routes.TOP_MOST)],
                "Instead of banners: so many of the most clicked ones",
            ),
            Parameter(
                "window",
                Annotated[int, Meta(ge=1, le=routes.WINDOW_MOST)],
                f"With `top`: minutes of the ranking, which end with the current one; {routes.WINDOW} when not given",
            ),
        ),
        answers={200: Answer("The stream: its events, one after the other", StreamEvent, (EVENTS,))},
        errors=(Invalid, Busy),
        order=240,
    )
]
