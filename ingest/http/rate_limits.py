"""The optional rate limits, of writes per client and of requests per key: exact over all workers while Redis answers,
else kept per worker.

A request that came under a limited key counts against the key, and not against its address as well: servers with keys
share addresses, and write more than a browser.

The generic cell rate algorithm keeps one number per client: its theoretical arrival time, the moment at which it will
have its whole burst again. Redis keeps the true one, by its own clock. Each worker remembers what Redis last said,
which can only be too kind, so whoever is over the limit by that memory is over it in truth and is refused without
asking Redis. Clicks matter more than the limit: while Redis is away the worker's own memory decides.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

import structlog
from redis.asyncio import Redis

from ingest.state import Request
from shared.errors import Limited
from shared.settings import Settings
from shared.stores.redis_client import REDIS_ERRORS, Script

#: Clients, and keys, that a worker remembers; the least recently seen one goes first. About 20 MB.
_CLIENTS_MAX = 100_000
#: Seconds that Redis may take to answer: a click does not wait longer for its limit.
_PATIENCE_S = 0.25
#: Seconds for which Redis is not asked again after it failed.
_PAUSE_S = 1.0
#: Bits of an IPv6 address that name one client: providers give each customer a network of this size or larger.
_IPV6_PREFIX = 64

#: In the scope of a request that came under a key or a token: the name of its caller.
CALLER = "tallybook.caller"
#: In the scope of a request whose key has a limit of its own, which has been taken.
TAKEN = "tallybook.limit_taken"

#: Clicks with ids that a client may send at once: two bulk requests of the default size.
_KEYED_BURST = 20_000
#: Minutes that are over to which a client may add each second, after twice as many as there are at once.
_MINUTES_PER_S = 1.0
#: Seconds that the timestamp of a bulk item may lie in the future.
SKEW_MAX_S = 60
#: Seconds that are lost in sums of fractions.
_ROUNDING_S = 1e-6

_GCRA = Script("shared/stores/window.turn.lua", "ingest/http/rate_limits.gcra.lua")

log = structlog.get_logger()


class Buckets:
    """What one worker knows of its clients: by how many seconds the arrival time of each lies ahead. Bounded."""

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float], clients_max: int) -> None:
        self.step_s = 1 / rate_per_s
        self.burst = burst
        self._clock = clock
        self._clients_max = clients_max
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrivals)

    def ahead_s(self, client: str) -> float:
        """Seconds until the client has its whole burst again, as far as this worker knows."""
        ahead_s = self._arrivals.get(client, 0.0) - self._clock()
        return min(max(ahead_s, 0.0), self.step_s * self.burst)

    def note(self, client: str, arrival_s: float) -> None:
        """Remember the client's arrival time, by the clock of this worker."""
        self._arrivals[client] = arrival_s
        self._arrivals.move_to_end(client)
        if len(self._arrivals) > self._clients_max:
            self._arrivals.popitem(last=False)

    def is_over(self, ahead_s: float) -> bool:
        """Whether a client that is so far ahead has to wait. As in the script, rounding is forgiven."""
        return ahead_s > self.step_s * (self.burst - 1) + min(_ROUNDING_S, self.step_s / 2)


class Allowance:
    """Bounds what one client may bring into Redis and Postgres, in the memory of this worker: ids of clicks, which
    share one window, and minutes that are over, because each becomes an incarnation and a row of the ledger.
    Clients on this host are not bounded: they are proxies and tools."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.monotonic, clients_max: int = _CLIENTS_MAX
    ) -> None:
        ids_max = max(_KEYED_BURST, settings.bulk_items_max)
        minutes_max = 2 * math.ceil((settings.backdate_max_s + SKEW_MAX_S) / settings.minute_s + 2)
        self._clock = clock
        self._ids = Buckets(settings.keyed_limit_per_s or math.inf, ids_max, clock, clients_max)
        self._minutes = Buckets(_MINUTES_PER_S, minutes_max, clock, clients_max)

    def take(self, client: str, ids: int, minutes: int = 0) -> None:
        """Take so many ids and minutes of the client, all or nothing. Raises Limited."""
        name = group(client)
        if _is_local(client):
            return
        taken = [(self._ids, ids), (self._minutes, minutes)]
        ahead_s = [buckets.ahead_s(name) + number * buckets.step_s for buckets, number in taken]
        over_s = max(at - of.step_s * of.burst for at, (of, number) in zip(ahead_s, taken, strict=True) if number)
        if over_s > _ROUNDING_S:
            detail = "This address sends too many clicks with an Idempotency-Key, an id or a former timestamp."
            raise Limited(f"{detail} Nothing was counted.", retry_after_s=max(1, math.ceil(over_s)))
        for at, (buckets, number) in zip(ahead_s, taken, strict=True):
            if number:
                buckets.note(name, self._clock() + at)


class Limiter:
    """Counts what each client or key does. One of either per worker; `clock` is monotonic, in seconds. A rate of 0 is
    no limit. `named` says what shares one limit; `kind` and `kept_max` are the window in Redis and its entries in each
    of `shards`."""

    def __init__(
        self,
        rate_per_s: float,
        burst: int,
        redis: "Redis",
        *,
        kind: str = "clients",
        kept_max: int = _CLIENTS_MAX,
        shards: int = 1,
        named: Callable[[str], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        clients_max: int = _CLIENTS_MAX,
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._named = named or group
        self._kind, self._kept_max, self._shards = kind, kept_max, shards
        self.is_on = rate_per_s > 0
        self._buckets = Buckets(rate_per_s or 1, burst, clock, clients_max)
        self._asks_again_at = -math.inf
        self._is_failing = False

    async def take(self, client: str) -> dict[str, str]:
        """Take one write of the client; answers the headers that tell it where it stands, none without a limit.

        Raises Limited, which says when to come again.
        """
        if not self.is_on:
            return {}
        buckets, name = self._buckets, self._named(client)
        ahead_s = buckets.ahead_s(name)
        if not buckets.is_over(ahead_s):
            is_allowed, ahead_s = await self._ask(name)
            if is_allowed:
                return self._headers(ahead_s)
        wait_s = max(ahead_s - buckets.step_s * (buckets.burst - 1), 0.0)
        raise Limited(retry_after_s=max(1, math.ceil(wait_s)), headers=self._headers(ahead_s))

    async def _ask(self, name: str) -> tuple[bool, float]:
        """(allowed, seconds ahead) by Redis, or by this worker's memory while Redis is away."""
        buckets = self._buckets
        asked_at = self._clock()
        if asked_at >= self._asks_again_at:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    allowed, ahead_us = await self._ask_redis(name)
            except REDIS_ERRORS as error:
                self._note_failure(error)
            else:
                self._note_success()
                # From before the question, because Redis' now was later: the memory has to err on the kind side.
                buckets.note(name, asked_at + ahead_us / 1e6)
                return bool(allowed), ahead_us / 1e6
        ahead_s = buckets.ahead_s(name)  # it may have grown while Redis was asked
        if buckets.is_over(ahead_s):
            return False, ahead_s
        ahead_s += buckets.step_s
        buckets.note(name, self._clock() + ahead_s)
        return True, ahead_s

    async def _ask_redis(self, name: str) -> tuple[int, int]:
        """(1 if allowed, microseconds ahead). Names are hashed, so that the store is no list of addresses."""
        digest = blake2b(name.encode(), digest_size=16, person=b"tallybook.limit").digest()
        of = f"tallybook:{{limits.{self._kind}.{digest[0] % self._shards}}}:"
        arguments = [self._buckets.step_s * 1e6, self._buckets.burst, self._kept_max, digest]
        allowed, ahead_us = await _GCRA(self._redis, [of + "now", of + "former", of + "since"], arguments)
        return allowed, ahead_us

    def _note_failure(self, error: Exception) -> None:
        self._asks_again_at = self._clock() + _PAUSE_S
        if not self._is_failing:
            self._is_failing = True
            log.warning("limits_local", error=type(error).__name__)

    def _note_success(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("limits_exact")

    def _headers(self, ahead_s: float) -> dict[str, str]:
        buckets = self._buckets
        remaining = max(0, math.floor(buckets.burst - ahead_s / buckets.step_s + 1e-3))
        return {
            "RateLimit-Limit": str(buckets.burst),
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(math.ceil(ahead_s)),
        }


def charge(request: Request, ids: int, minutes: int = 0) -> None:
    """Take clicks with ids, and minutes that are over, of the client that asks, unless it came under an API key. Raises
    Limited."""
    if (ids or minutes) and CALLER not in request.scope:
        request.state.allowance.take(request.state.client.of(request.scope), ids, minutes)


async def limited(request: Request) -> dict[str, str]:
    """Take one write of the client that asks, unless it was taken under its key (`ingest/auth/scopes.py`); answers
    headers.

    Raises Limited.
    """
    state = request.state
    if not state.limiter.is_on or request.scope.get(TAKEN, False):
        return {}
    return await state.limiter.take(state.client.of(request.scope))


def group(client: str) -> str:
    """What shares one limit: an IPv4 address, a /64 of IPv6, or everybody whose address is not known."""
    try:
        address = ip_address(client)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> (128 - _IPV6_PREFIX) << (128 - _IPV6_PREFIX)))


def _is_local(client: str) -> bool:
    try:
        address = ip_address(client)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
