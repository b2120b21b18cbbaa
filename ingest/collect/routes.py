"""Handle `POST /c`.

Banner items are counted first, then the others are stored. Whatever raises, the page may send the whole request again:
what was counted is a duplicate then.

Every page can read every answer (`OpenToAll`): one that could not see its status would repeat what was refused. Cookies
are neither read nor set. The route has no authority. It reads nothing and adds counts, so a foreign page gains nothing
that a program has not; `Origin` keeps other pages out, not programs.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from ingest.clicks.routes import MEDIA
from ingest.collect import banners, web
from ingest.collect.items import BannerItem, Item, ItemFault, WebItem, decoded, kind_of
from ingest.hits.bots import machine
from ingest.hits.request_facts import asked
from ingest.http.query import choice, query
from ingest.http.rate_limits import charge, limited
from ingest.state import Request
from shared.errors import Invalid, TallybookError, UnsupportedMediaType
from shared.telemetry.metrics import COLLECT_ITEMS


class Refused(Struct):
    """The items that were not counted. All others were, now or before."""

    rejected: Annotated[list[ItemFault], Meta(min_length=1, description="In the order of the items")]


async def collect(request: Request) -> Response:
    """Count clicks and impressions of a page, and store what else it reports."""
    headers = await limited(request)
    values = query(request, ("s", "w"))
    is_driven = choice(values, "w", ("0", "1"), "0") == "1"
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in MEDIA:
        raise UnsupportedMediaType("Send text/plain, as fetch does with a text, or application/json.")
    origins = request.headers.getlist("origin")
    site = request.state.sites.of(origins[0] if len(origins) == 1 else None, values.get("s"))
    facts = asked(request.scope)
    visit = web.Visit(site, time.time(), machine(facts.headers, is_driven=is_driven), facts)
    faults = await _taken(request, visit, await request.body())
    if not faults:
        return Response(status_code=204, headers=headers)
    return Response(msgspec.json.encode(Refused(faults)), headers=headers, media_type="application/json")


async def _taken(request: Request, visit: web.Visit, body: bytes) -> list[ItemFault]:
    """Count and store the items of a body. Return those that were refused. Raise Invalid if all of them were."""
    state = request.state
    items, faults = decoded(body, banners.age_max_ms(state.settings))
    for _ in faults:
        COLLECT_ITEMS.labels("unknown", "rejected").inc()
    of_banners = [(index, item) for index, item in items if isinstance(item, BannerItem)]
    of_web = [(index, item) for index, item in items if isinstance(item, WebItem)]
    with _unanswered(items):
        unknown = await banners.refused(state, of_banners)
        gone = {fault.index for fault in unknown}
        counted = [item for index, item in of_banners if index not in gone]
        charge(request, len(counted))
        is_new = await banners.count(state, counted, visit.now, is_machine=bool(visit.machine)) if counted else []
        unfit = await web.store(state, visit, of_web) if of_web else []
    gone |= {fault.index for fault in unfit}
    outcomes = Counter((kind_of(item), "rejected") for index, item in items if index in gone)
    outcomes.update(
        (kind_of(item), "accepted" if new else "duplicate") for item, new in zip(counted, is_new, strict=True)
    )
    outcomes.update((kind_of(item), "accepted") for index, item in of_web if index not in gone)
    for labels, number in outcomes.items():
        COLLECT_ITEMS.labels(*labels).inc(number)
    return _or_invalid([*faults, *unknown, *unfit], len(faults) + len(items))


def _or_invalid(faults: list[ItemFault], number: int) -> list[ItemFault]:
    """Return the faults in order. Raise Invalid if every item has one."""
    faults.sort(key=lambda fault: fault.index)
    if len(faults) < number:
        return faults
    raise Invalid("No item can be counted; `errors` says why.", errors=[msgspec.to_builtins(one) for one in faults])


@contextmanager
def _unanswered(items: Sequence[tuple[int, Item]]) -> Iterator[None]:
    """Count the items of a request that fails as a whole, and that will be sent again."""
    try:
        yield
    except TallybookError:
        for _, item in items:
            COLLECT_ITEMS.labels(kind_of(item), "unavailable").inc()
        raise
