"""Wire the application: every route, the state that requests share, and what starts and stops around them."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware

from ingest import dashboard, docs, snippet
from ingest.auth.api_keys import Keys
from ingest.auth.jwt import Tokens
from ingest.auth.scopes import guarded
from ingest.auth.sessions import Sessions
from ingest.caches.banners import Banners
from ingest.caches.links import Links
from ingest.caches.salts import Salts
from ingest.caches.sites import Sites
from ingest.caches.trackers import Trackers
from ingest.clicks import operations as clicks
from ingest.collect import operations as collect
from ingest.collect.browsers import Patterns
from ingest.collect.countries import Countries
from ingest.collect.items import BODY_MAX as COLLECT_BODY_MAX
from ingest.events import operations as events
from ingest.events import routes as uploads
from ingest.events.recent_ids import EventWindow
from ingest.events.upload_keys import Uploads
from ingest.hits import operations as hits
from ingest.hits.record import Recorder
from ingest.http import operations as service
from ingest.http.access_log import AccessLine
from ingest.http.body_limit import BodyLimit, read_first
from ingest.http.client_address import ClientAddress
from ingest.http.cors import OpenToAll, Origins, ReadOrigins
from ingest.http.health import Probe
from ingest.http.json_answers import conditional
from ingest.http.openapi import Operation, prefixed, published, routes
from ingest.http.problems import HANDLERS
from ingest.http.rate_limits import Allowance, Limiter
from ingest.links import operations as redirects
from ingest.live import operations as live
from ingest.live.feed import Feed
from ingest.operation import operations as operation
from ingest.operation.freshness import Clock
from ingest.registries import operations as registries
from ingest.session import operations as session
from ingest.session import routes as sign_ins
from ingest.state import State
from ingest.statistics import operations as statistics
from ingest.statistics.clickhouse_reads import Reads
from shared.collect.web_item import TOPIC as WEB
from shared.counting.drain import Counter
from shared.counting.keyed import Keyed
from shared.counting.links import LinkClicks
from shared.counting.reader import Reader
from shared.events.table import TOPIC as EVENTS
from shared.hit import TOPIC as HITS
from shared.record_log.factory import chosen_log
from shared.record_log.journal import Journal
from shared.record_log.orphaned_journals import Orphans
from shared.record_log.producer import Producer, new_name
from shared.record_log.record_log import Log
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.postgres import Pool, create_pool
from shared.stores.redis_client import connect

#: Bytes of the records of one worker that wait for the record log. More is 503.
_WAITING_BYTES_MAX = 16 << 20

OPERATIONS: list[Operation] = conditional(
    [
        *clicks.OPERATIONS,
        *hits.OPERATIONS,
        *collect.OPERATIONS,
        *redirects.OPERATIONS,
        *events.OPERATIONS,
        *statistics.OPERATIONS,
        *registries.OPERATIONS,
        *session.OPERATIONS,
        *snippet.OPERATIONS,
        *service.OPERATIONS,
        *operation.OPERATIONS,
        *live.OPERATIONS,
        *docs.OPERATIONS,
        *dashboard.OPERATIONS,
    ]
)


def operations_of(settings: Settings) -> list[Operation]:
    """Return the operations of a service with these settings."""
    hidden = dashboard.OPERATIONS if settings.dashboard == "off" else []
    shown = [one for one in OPERATIONS if one not in hidden]
    return published(prefixed(shown, settings.web_prefix), settings)


def create_app(settings: Settings) -> Starlette:
    """Return the application of one worker. Nothing connects before its lifespan begins."""
    pages_report_to = (settings.web_prefix or "") + collect.PATH
    limits = {
        "/stats": clicks.BODY_MAX,
        uploads.PATH: uploads.BODY_MAX,
        sign_ins.PATH: sign_ins.BODY_MAX,
        pages_report_to: COLLECT_BODY_MAX,
    }
    bodies = Middleware(BodyLimit, settings=settings, limits=limits, packed=frozenset({uploads.PATH}))
    operations = operations_of(settings)
    cors = [Middleware(OpenToAll, paths=[pages_report_to])]
    if settings.read_origins:
        cors.append(Middleware(ReadOrigins, allowed=settings.read_origins, paths=read_paths(operations)))
    app = Starlette(
        routes=routes(guarded(read_first(operations), settings)),
        middleware=[Middleware(AccessLine), *cors, bodies],
        exception_handlers=HANDLERS,
        lifespan=_lifespan(settings),
    )
    app.router.redirect_slashes = False  # the address of a redirect would be made from the client's Host header
    return app


def read_paths(operations: Iterable[Operation]) -> list[str]:
    """Return the paths whose answers pages of other origins may be allowed to read."""
    return [one.path for one in operations if one.method == "GET" and one.scope in ("stats:read", "logs:read")]


def _lifespan(settings: Settings) -> Callable[[Starlette], AbstractAsyncContextManager[Mapping[str, Any]]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:  # as ASGI carries it
        async with AsyncExitStack() as stack:
            redis = connect(settings)
            stack.push_async_callback(lambda: asyncio.shield(redis.aclose()))
            pool = await stack.enter_async_context(create_pool(settings))
            caches = await _caches(settings, pool, stack)
            log = await stack.enter_async_context(chosen_log(settings))
            counter = Counter(settings, caches["banners"].gate)
            counter.start()
            of_clients, of_keys = limiters(settings, redis)
            stack.push_async_callback(counter.stop, settings.redis_timeout_s)
            feed = Feed(settings, Reader(settings, redis, pool))
            stack.push_async_callback(feed.aclose)
            client, countries = ClientAddress(settings.trusted_proxies), Countries(settings)
            state = State(
                settings=settings,
                counter=counter,
                keyed=Keyed(settings, redis),
                reader=feed.reader,
                live=feed,
                limiter=of_clients,
                key_limiter=of_keys,
                allowance=Allowance(settings),
                tokens=Tokens(settings) if settings.keyed and settings.jwt_algorithm else None,
                client=client,
                **caches,
                countries=countries,
                patterns=Patterns(countries),
                link_clicks=LinkClicks(redis),
                recorder=Recorder(settings, client),
                log=log,
                hits=await stack.enter_async_context(_producer(settings, log, HITS)),
                web=await stack.enter_async_context(_producer(settings, log, WEB, is_ordered=True)),
                events=await stack.enter_async_context(_events(settings, log)),
                window=EventWindow(settings, redis),
                uploads=Uploads(settings, redis),
                origins=Origins(settings.track_origins),
                clickhouse=await _clickhouse(settings, stack),
                probe=Probe(),
                freshness=Clock(),
                stock_taking=asyncio.Lock(),
                redis=redis,
                pool=pool,
                outbox_pool=await _outbox_pool(settings, pool, stack),
            )
            orphans = Orphans(settings.journal_dir, log)  # the journals of dead workers, whatever their topic
            orphans.start()
            stack.push_async_callback(orphans.stop)
            yield state.fields

    return lifespan


async def _caches(settings: Settings, pool: Pool, stack: AsyncExitStack) -> dict[str, Any]:
    """Start what a worker keeps of small tables; by the name of its field in the state."""
    keys = Keys(pool) if settings.keyed else None
    caches: dict[str, Any] = {
        "banners": Banners(settings, pool),
        "trackers": Trackers(pool),
        "sites": Sites(pool),
        "links": Links(settings, pool),
        "salts": Salts(pool),
        "keys": keys,
        "sessions": Sessions(pool, keys) if keys else None,
    }
    started = [cache for cache in caches.values() if cache is not None]
    for cache in started:
        stack.push_async_callback(cache.stop)
    await asyncio.gather(*(cache.start() for cache in started))
    return caches


def limiters(settings: Settings, redis: "Redis") -> tuple[Limiter, Limiter]:
    """Return the limits of clients and of keys. They share the memory that Redis has for limits."""
    kept_max = max(2, redis_memory.entries(settings, "limits", redis_memory.LIMIT) // 2)
    limits: dict[str, Any] = {"kept_max": kept_max, "shards": settings.shards}

    def limiter(per_s: float, burst: int, **more: Any) -> Limiter:
        # A second's worth may come at once.
        return Limiter(per_s, max(burst, math.ceil(per_s)), redis, **limits, **more)

    of_keys = limiter(settings.key_rate_limit_per_s, settings.key_rate_limit_burst, kind="keys", named=str)
    return limiter(settings.rate_limit_per_s, settings.rate_limit_burst), of_keys


@asynccontextmanager
async def _producer(settings: Settings, log: Log, topic: str, *, is_ordered: bool = False) -> AsyncIterator[Producer]:
    """Yield the producer of a topic, with a journal of its own: a producer empties its journal when its own lines are
    done."""
    name = new_name()
    journal = await asyncio.to_thread(Journal.create, settings.journal_dir, name, settings.journal_bytes_max)
    producer = Producer(
        log,
        topic,
        name,
        journal,
        records_max=settings.log_waiting_max,
        bytes_max=_WAITING_BYTES_MAX,
        most=settings.log_records_max,
        is_ordered=is_ordered,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop(settings.redis_timeout_s)


@asynccontextmanager
async def _events(settings: Settings, log: Log) -> AsyncIterator[Producer]:
    """Yield the producer of blocks of events. It has no journal, because clients repeat their uploads."""
    to = Producer(
        log,
        EVENTS,
        new_name(),
        None,
        records_max=settings.log_waiting_max,
        bytes_max=_WAITING_BYTES_MAX,
        most=settings.events_blocks_max,
    )
    await to.start()
    try:
        yield to
    finally:
        await to.stop(settings.redis_timeout_s)


async def _outbox_pool(settings: Settings, pool: Pool, stack: AsyncExitStack) -> Pool:
    """Return connections to the database of the outbox, for readiness. By default it is the common database."""
    if settings.outbox_url is None:
        return pool
    return await stack.enter_async_context(create_pool(settings, settings.outbox_url))


async def _clickhouse(settings: Settings, stack: AsyncExitStack) -> Reads | None:
    if settings.clickhouse_url is None:
        return None
    return await stack.enter_async_context(Reads(settings))
