"""Follow redirect links that are not plain; the front follows plain ones (`ingest/front/links.py`).

A click is counted before its 302 is written, and nothing is counted by an answer that is no 302. HEAD and prefetches
never count. With `TALLYBOOK_ACK=redis` the 302 waits for Redis, and goes out all the same when Redis does not answer in
time: the click is in the lane, and whoever clicks is no operator.
"""

import time
from contextlib import suppress
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from ingest.caches.links import Link
from ingest.hits.bots import is_bot, is_prefetched, user_agent
from ingest.hits.request_facts import by_name
from ingest.http.rate_limits import limited
from ingest.links.location import location
from ingest.state import Request, State
from shared.collect.link import SLUG_PATTERN, is_slug
from shared.counting.cells import CLICK, MACHINE, cell
from shared.errors import LanesFull, LinkGone, RedisUnavailable, TallybookError, UnknownBanner, UnknownLink
from shared.telemetry.metrics import LINKS

#: A link wherever a schema needs one.
Slug = Annotated[str, Meta(pattern=SLUG_PATTERN, description="A link")]
#: Clicks are counted by every request, so no answer may be kept.
ANSWER_HEADERS = {"cache-control": "no-store"}
EXAMPLE = "spring"


async def follow_link(request: Request) -> Response:
    """Count a click of the link and lead on to its destination."""
    headers = by_name(request.scope["headers"])
    if is_prefetched(headers):  # it would be kept, and answer the click without us; what is no 2xx or 3xx is not kept
        LINKS.labels("prefetch").inc()
        return Response(status_code=503, headers=ANSWER_HEADERS)
    try:
        link, added = await _open_link(request), dict[str, str]()
        to = location(link, request.scope["query_string"])
        if request.method == "HEAD":
            outcome = "head"
            await _check_left(request.state, link)
        else:
            added = await limited(request)
            outcome = await _counted(request.state, link, is_machine=is_bot(user_agent(headers)))
    except TallybookError as error:
        LINKS.labels(_refusal(error)).inc()
        raise
    LINKS.labels(outcome).inc()
    return Response(status_code=302, headers={"location": to, **ANSWER_HEADERS, **added})


async def _open_link(request: Request) -> Link:
    """Return the link that a request names.

    Raise UnknownLink, UnknownBanner or LinkGone, and PostgresUnavailable or Busy if nobody can say.
    """
    slug = request.path_params["slug"]
    link = await request.state.links.found(slug) if is_slug(slug) else None
    if link is None:
        raise UnknownLink
    await request.state.banners.check(link.banner_id)
    if not link.is_open(time.time()):
        raise LinkGone
    return link


async def _check_left(state: State, link: Link) -> None:
    """Raise LinkGone if the clicks of the link are used up, and RedisUnavailable if nobody can say."""
    if link.max_clicks is not None and await state.link_clicks.taken(link.slug) >= link.max_clicks:
        raise LinkGone


async def _counted(state: State, link: Link, *, is_machine: bool) -> str:
    """Count a click, and return whose it was.

    Raise LinkGone, RedisUnavailable of a limited link, LanesFull, TooManyNewBanners, and what the registry raises.
    """
    counter, minute = state.counter, state.counter.minute()
    if is_machine:
        await _check_left(state, link)
        counter.add_many({(cell(CLICK + MACHINE, minute), link.banner_id): 1})
    elif link.max_clicks is None:
        if not counter.add(link.banner):
            raise LanesFull
    else:
        counter.admit(minute, link.banner_id)
        if not await state.link_clicks.take(link.slug, link.max_clicks, minute, link.banner_id):
            raise LinkGone
        return "person"
    if state.settings.ack == "redis":
        with suppress(RedisUnavailable):
            await counter.durable()
    return "machine" if is_machine else "person"


def _refusal(error: TallybookError) -> str:
    """Return the outcome of an error in the metric."""
    if isinstance(error, UnknownLink | UnknownBanner):
        return "unknown"
    return "gone" if isinstance(error, LinkGone) else "refused"
