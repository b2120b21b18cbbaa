"""The whole HTTP application in this process, with real stores, and pages that report to it."""

import json
from collections import Counter as Tally
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
from starlette.types import Receive, Scope, Send

from aggregator.clicks.minutes import Minutes
from ingest.app import create_app
from shared.collect.sites import SiteSettings
from shared.counting import cells
from shared.settings import Settings
from tallybook.registries import sites as site_table
from tests.harness.subjects.tracking import BROWSER

#: The site of the tests, and the origin of a page of it.
SITE, ORIGIN = "shop", "https://shop.example"
#: Behind every minute that a test counts in.
_EVER = 2**32 // 60 * 60


def item(kind: str, view: str | None = None, n: int = 0, **fields: Any) -> dict[str, Any]:
    """An item of a view of its own, unless one is given."""
    return {"k": kind, "v": view or str(uuid4()), "n": n, "t": 0} | fields


class Pages:
    """Pages of a site, and what the service counts of them."""

    def __init__(self, app: Any, state: dict[str, Any], settings: Settings) -> None:
        self._app, self.state, self.settings = app, state, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, as a server does that has begun."""
        await self._app({**scope, "state": dict(self.state)}, receive, send)

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request, as a browser sends it; a header that is None is left out."""
        headers = {"origin": ORIGIN, "user-agent": BROWSER, "content-type": "text/plain;charset=UTF-8"}
        given: dict[str, Any] = headers | more.pop("headers", {})
        transport = httpx2.ASGITransport(app=self, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t.example") as http:
            request = http.build_request(method, path, headers={"user-agent": ""}, **more)
            for name, value in given.items():
                request.headers.pop(name, None)
                if value is not None:
                    request.headers[name] = value
            return await http.send(request)

    async def send(self, items: Any, query: str = "", **more: Any) -> httpx2.Response:
        """Report items, or a body as it is."""
        content = items if isinstance(items, bytes) else json.dumps(items).encode()
        return await self.ask("POST", f"{self.settings.web_prefix or ''}/c{query}", content=content, **more)

    async def counted(self, banners: Sequence[int], kinds: Sequence[int] = range(7)) -> Tally[tuple[int, int]]:
        """(kind, banner) -> count, of all time."""
        found: Tally[tuple[int, int]] = Tally()
        for kind in kinds:
            reading = await self.state["reader"].read(banners, 0, _EVER, kind=kind)
            for banner, points in reading.points.items():
                found[kind, banner] += sum(count for _, count, _ in points)
        return +found

    async def flush(self) -> None:
        """Move closed minutes into Postgres."""
        await Minutes(self.settings, self.state["redis"], self.state["pool"]).flush()

    async def clear(self) -> None:
        """Forget all counts and sites, and have the one site again."""
        await self.state["redis"].flushall()
        await self.state["pool"].execute("TRUNCATE click_stats, banner_stats, click_ledger, sites CASCADE")
        await self.add_site(SITE, "shop.example", "*.shop.example")

    async def add_site(self, name: str, *hosts: str, **settings: Any) -> None:
        """Add a site that this worker knows at once."""
        async with self.state["pool"].acquire() as connection:
            assert await site_table.add(connection, name, hosts, "UTC", SiteSettings(**settings))
        await self.state["sites"]._refresh()


@asynccontextmanager
async def pages(settings: Settings) -> AsyncIterator[Pages]:
    """A service with one site."""
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:
        one = Pages(app, dict(state or {}), settings)
        await one.clear()
        yield one


#: The kinds of a person and of a machine, by the name of an item.
KINDS = {"click": cells.CLICK, "served": cells.SERVED, "viewable": cells.VIEWABLE}
