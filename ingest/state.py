"""The state of a worker: what the application's lifespan makes, and handlers find in `request.state`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, dataclass_transform

from starlette import datastructures, requests
from starlette.responses import Response

if TYPE_CHECKING:  # at run time no subject depends on another because of its type
    from redis.asyncio import Redis

    from ingest.auth.api_keys import Keys
    from ingest.auth.jwt import Tokens
    from ingest.auth.sessions import Sessions
    from ingest.caches.banners import Banners
    from ingest.caches.links import Links
    from ingest.caches.salts import Salts
    from ingest.caches.sites import Sites
    from ingest.caches.trackers import Trackers
    from ingest.collect.browsers import Patterns
    from ingest.collect.countries import Countries
    from ingest.events.recent_ids import EventWindow
    from ingest.events.upload_keys import Uploads
    from ingest.hits.record import Recorder
    from ingest.http.client_address import ClientAddress
    from ingest.http.cors import Origins
    from ingest.http.health import Probe
    from ingest.http.rate_limits import Allowance, Limiter
    from ingest.live.feed import Feed
    from ingest.operation.freshness import Clock
    from shared.counting.drain import Counter
    from shared.counting.keyed import Keyed
    from shared.counting.links import LinkClicks
    from shared.counting.reader import Reader
    from shared.record_log.producer import Producer
    from shared.record_log.record_log import Log
    from shared.settings import Settings
    from shared.stores.clickhouse import ClickHouse
    from shared.stores.postgres import Pool


@dataclass_transform(kw_only_default=True)
class _Fields(datastructures.State):
    """Make a state from its fields."""

    def __init__(self, **fields: Any) -> None:  # the types stand in the subclass
        super().__init__(fields)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The state as ASGI carries it: each request gets a copy."""
        return self._state


class State(_Fields):
    """Everything that a worker shares between its requests."""

    settings: "Settings"
    counter: "Counter"
    keyed: "Keyed"
    reader: "Reader"
    live: "Feed"
    banners: "Banners"
    limiter: "Limiter"
    key_limiter: "Limiter"
    allowance: "Allowance"
    keys: "Keys | None"
    tokens: "Tokens | None"
    sessions: "Sessions | None"
    client: "ClientAddress"
    trackers: "Trackers"
    sites: "Sites"
    links: "Links"
    salts: "Salts"
    countries: "Countries"
    patterns: "Patterns"
    link_clicks: "LinkClicks"
    recorder: "Recorder"
    log: "Log"
    hits: "Producer"
    events: "Producer"
    web: "Producer"
    window: "EventWindow"
    uploads: "Uploads"
    origins: "Origins"
    clickhouse: "ClickHouse | None"
    probe: "Probe"
    freshness: "Clock"
    stock_taking: asyncio.Lock
    redis: "Redis"
    pool: "Pool"
    outbox_pool: "Pool"


Request = requests.Request[State]
Handler = Callable[[Request], Awaitable[Response]]
