"""A shop that counts: run it with `uvicorn shop:app`, or `gunicorn --preload -k asgi -w 4 shop:app`.

    pip install tallybook-sdk fastapi uvicorn
    export TALLYBOOK_URL=http://127.0.0.1:8080
    export TALLYBOOK_SPOOL_DIR=/var/lib/shop/tally      # optional: what is recorded survives a kill

The client is made once, before a preloading server forks its workers. Each worker sends its own records.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse

from tallybook_sdk import AsyncClient
from tallybook_sdk.asgi import PageViews, Scope

tally = AsyncClient()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Send what is left when a worker ends."""
    yield
    await tally.aclose()


def user_of(scope: Scope) -> str | None:
    """Return who asks, or None for somebody who is not known. A real shop reads its session."""
    name: str = Request(scope).headers.get("x-user", "")
    return name or None


shop = FastAPI(lifespan=lifespan)


@shop.get("/banners/{banner}")
async def follow(banner: int) -> RedirectResponse:
    """Count a click on a banner, and lead on."""
    tally.click(banner)
    return RedirectResponse("/")


@shop.post("/orders")
async def buy(request: Request, price: float) -> dict[str, str]:
    """Record a purchase. Neither line waits for the network."""
    user = user_of(request.scope) or "guest"
    return {"event_id": tally.event("purchase", user, {"price": price})}


@shop.get("/tally")
async def report() -> dict[str, object]:
    """Show where the records of this worker are."""
    now = tally.report()
    return {"recorded": now.recorded, "pending": now.pending, "difference": now.difference, "state": now.state}


app = PageViews(shop, tally, user=user_of)
