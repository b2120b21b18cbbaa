"""The Starlette application: every route, what they share, and what is started and stopped around them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypedDict

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware

from ingest import clicks, docs, health, statistics
from ingest.access import AccessLine
from ingest.banners import Banners
from ingest.body import BodyLimit
from ingest.client import ClientAddress
from ingest.limits import Limiter
from ingest.openapi import Operation, published, routes
from ingest.problems import HANDLERS
from shared.counting.drain import Counter
from shared.counting.keyed import Keyed
from shared.counting.reader import Reader
from shared.postgres import create_pool
from shared.redis_client import connect
from shared.settings import Settings

OPERATIONS: list[Operation] = [*clicks.OPERATIONS, *statistics.OPERATIONS, *health.OPERATIONS, *docs.OPERATIONS]


class State(TypedDict):
    """What the handlers find in `request.state`."""

    settings: Settings
    counter: Counter
    keyed: Keyed
    reader: Reader
    banners: Banners
    limiter: Limiter
    client: ClientAddress
    probe: health.Probe
    stock_taking: asyncio.Lock
    redis: "Redis"
    pool: Any


def create_app(settings: Settings) -> Starlette:
    """The application of one worker. Nothing connects before its lifespan begins."""
    limits = {"/stats": settings.bulk_body_max_bytes}
    app = Starlette(
        routes=routes(published(OPERATIONS, settings)),
        middleware=[Middleware(AccessLine), Middleware(BodyLimit, settings=settings, limits=limits)],
        exception_handlers=HANDLERS,
        lifespan=_lifespan(settings),
    )
    app.router.redirect_slashes = False  # the address of a redirect would be made from the client's Host header
    return app


def _lifespan(settings: Settings) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        redis = connect(settings)
        async with create_pool(settings) as pool:
            banners = Banners(settings, pool)
            await banners.start()
            counter = Counter(settings, banners.gate)
            counter.start()
            try:
                yield State(
                    settings=settings,
                    counter=counter,
                    keyed=Keyed(settings, redis),
                    reader=Reader(settings, redis, pool),
                    banners=banners,
                    limiter=Limiter(settings, redis),
                    client=ClientAddress(settings.trusted_proxies),
                    probe=health.Probe(),
                    stock_taking=asyncio.Lock(),
                    redis=redis,
                    pool=pool,
                )
            finally:
                await counter.stop(settings.redis_timeout_s)
                await banners.stop()
                await asyncio.shield(redis.aclose())

    return lifespan
