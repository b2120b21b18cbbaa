"""Store views, leaves, events and links out: each becomes a record of the topic `web`.

Address and user agent are used here and go nowhere: into no record, no journal and no line of the log. A record is the
row of the table, decided when the request is answered. All items of a view lie in one partition, so the sink finds
those that a page sent again.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from ingest.collect.address import read_address, referring_host, target
from ingest.collect.browsers import Browser, browser_of
from ingest.collect.items import Event, ItemFault, Leave, Out, View, WebItem, fault, kind_of
from ingest.collect.visitor import Person, visitors
from ingest.hits.bots import Machine, user_agent
from ingest.hits.record import is_private
from ingest.hits.request_facts import Asked
from ingest.state import State
from shared.collect.sites import Site
from shared.collect.web_item import WebItem as Row
from shared.errors import TallybookError

#: Milliseconds of a leave that are kept.
ENGAGED_MAX_MS = 1_800_000
_NO_ADDRESS = "It is no address of the web"

_ENCODER = msgspec.json.Encoder()


class Visit(NamedTuple):
    """What is known of a request that brings items."""

    site: Site
    #: Epoch seconds at which it was taken.
    now: float
    machine: Machine
    asked: Asked


class _Client(NamedTuple):
    """Who sent a request, as far as rows need it."""

    person: Person | None
    country: str
    browser: Browser


async def store(state: State, visit: Visit, items: Sequence[tuple[int, WebItem]]) -> list[ItemFault]:
    """Store the items and return those that are refused. `items` are at least one, with their places.

    When this returns, all others are in the record log or in the journal of this host. Raise LogFull or JournalFull
    (nothing, or a part, was stored), or LogUnavailable (nobody knows): the page sends the whole request again then, and
    the sink leaves out what is there.
    """
    client = await _client(state, visit)
    faults, records = list[ItemFault](), list[tuple[bytes, bytes]]()
    for index, item in items:
        columns = _columns(visit.site, item)
        if columns is None:
            faults.append(fault(index, "invalid", "/u", _NO_ADDRESS))
        else:
            records.append((item.v.bytes, _ENCODER.encode(_row(state, visit, client, item, columns))))
    stored = await asyncio.gather(*(state.web.append(*record) for record in records), return_exceptions=True)
    for outcome in stored:
        if isinstance(outcome, BaseException):
            raise outcome if isinstance(outcome, TallybookError) else RuntimeError("append broke") from outcome
    return faults


async def _client(state: State, visit: Visit) -> _Client:
    """Return who sent a request. Nobody is a person that asks not to be recognised, or whose site wants nobody."""
    headers, agent = visit.asked.headers, user_agent(visit.asked.headers)
    address, _ = state.client.found(visit.asked.peer, headers.get(b"x-forwarded-for", b"").decode("latin-1"))
    is_hidden = is_private(headers, honours_dnt=state.settings.honour_dnt) or visit.site.settings.visitors == "none"
    await state.patterns.ready()
    return _Client(
        None if is_hidden else Person(visit.site.name, address, agent), state.countries.of(address), browser_of(agent)
    )


def _columns(site: Site, item: WebItem) -> dict[str, Any] | None:
    """Return the columns that only an item of its kind has; None for an address that is none."""
    match item:
        case View():
            if (page := read_address(item.u, site.settings.keep)) is None:
                return None
            referrer = referring_host(item.r, site.hosts)
            source, medium, campaign, term, content = page.campaign
            return {
                "host": page.host,
                "path": page.path,
                "referrer": referrer,
                "source": source or referrer,
                "medium": medium,
                "campaign": campaign,
                "term": term,
                "content": content,
                "ad": page.ad,
                "click_id": page.click_id,
                "banner": page.banner,
            }
        case Event():
            page = read_address(item.u, site.settings.keep)
            return page and {"host": page.host, "path": page.path, "name": item.e, "properties": item.p}
        case Out():
            link = target(item.u)
            return None if link is None else {"target": link}
        case Leave():
            return {"engaged_ms": min(item.ms, ENGAGED_MAX_MS)}


def _row(state: State, visit: Visit, client: _Client, item: WebItem, columns: dict[str, Any]) -> Row:
    ms = round(visit.now * 1000) - item.t
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    day, visitor, before = visitors(state.salts, client.person, visit.site.timezone, ms / 1000)
    return Row(
        date=f"{moment:%Y-%m-%d}",
        day=f"{day:%Y-%m-%d}",
        time=f"{moment:%Y-%m-%d %H:%M:%S}.{ms % 1000:03}",
        site=visit.site.name,
        kind=kind_of(item),
        view=str(item.v),
        n=item.n,
        visitor=visitor,
        visitor_before=before,
        bot=visit.machine,
        country=client.country,
        device=client.browser.device,
        browser=client.browser.browser,
        os=client.browser.os,
        **columns,
    )
