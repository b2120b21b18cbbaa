"""Answer a request with a stream of live clicks."""

from starlette.responses import Response

from ingest.http.query import integer, malformed, parsed_banners, query
from ingest.http.rate_limits import CALLER, group
from ingest.live.feed import Wish
from ingest.live.stream import Stream
from ingest.state import Request

#: Banners of a stream, places of a ranking, and minutes that it covers.
BANNERS_MOST, TOP_MOST, WINDOW_MOST, WINDOW = 100, 100, 60, 60


async def live_clicks(request: Request) -> Response:
    """Return a stream of the open minutes of banners, or of a ranking."""
    values = query(request, ("bannerIds", "top", "window"))
    if ("bannerIds" in values) == ("top" in values):
        raise malformed("bannerIds", "and top: give one of them, as bannerIds=1,2 or top=20.")
    if "window" in values and "top" not in values:
        raise malformed("window", "belongs to top. Leave it out.")
    if "top" in values:
        top, window = (integer(values, "top", 1, TOP_MOST, 0), integer(values, "window", 1, WINDOW_MOST, WINDOW))
        wish = Wish(top=top, window=window)
    else:
        wish = Wish(frozenset(parsed_banners("bannerIds", values["bannerIds"], BANNERS_MOST)))
    who = request.scope.get(CALLER) or group(request.state.client.of(request.scope))
    return Stream(request.state.live, wish, who)
