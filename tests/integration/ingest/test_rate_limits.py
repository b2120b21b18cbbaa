"""The rate limit over workers, with a real Redis: exact to the write, and open while Redis is away."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ingest.http import rate_limits
from ingest.http.rate_limits import Limiter
from shared.errors import Limited
from shared.settings import Settings
from shared.stores.redis_client import connect

#: Writes a second that are too few for one to come back while a test runs.
SLOW = 0.001
#: Where Redis keeps the arrival times of clients.
_NOW = "tallybook:{limits.clients.0}:now"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk under Redis is no Redis that is away."""
    monkeypatch.setattr(rate_limits, "_PATIENCE_S", 10.0)


@pytest.fixture
async def workers(redis_url: str, redis_client: "Redis") -> AsyncIterator[Callable[..., list[Limiter]]]:
    """Makes the limiters of several workers, each with its own connections."""
    clients = [connect(Settings(redis_url=redis_url)) for _ in range(3)]

    def make(rate: float, burst: int) -> list[Limiter]:
        return [Limiter(rate, burst, client) for client in clients]

    yield make
    for client in clients:
        await client.aclose()


async def is_allowed(limiter: Limiter, client: str) -> bool:
    """Whether the client may write once more."""
    try:
        await limiter.take(client)
    except Limited:
        return False
    return True


async def test_r1_a_burst_over_all_workers_is_exact(workers: Callable[..., list[Limiter]]) -> None:
    limiters = workers(SLOW, 20)
    allowed = await asyncio.gather(*(is_allowed(limiters[n % 3], "192.0.2.1") for n in range(60)))
    assert sum(allowed) == 20
    assert not any([await is_allowed(limiter, "192.0.2.1") for limiter in limiters])
    assert await is_allowed(limiters[0], "192.0.2.2")


async def test_r4_the_headers_of_a_write_say_where_the_client_stands(workers: Callable[..., list[Limiter]]) -> None:
    one, other, _ = workers(SLOW, 3)
    assert await one.take("192.0.2.1") == {
        "RateLimit-Limit": "3",
        "RateLimit-Remaining": "2",
        "RateLimit-Reset": "1000",
    }
    assert (await other.take("192.0.2.1"))["RateLimit-Remaining"] == "1"
    assert (await one.take("192.0.2.1"))["RateLimit-Remaining"] == "0"
    with pytest.raises(Limited) as refused:
        await other.take("192.0.2.1")
    assert refused.value.headers["RateLimit-Remaining"] == "0"
    assert 990 <= (refused.value.retry_after_s or 0) <= 1000


async def test_r5_redis_keeps_one_number_per_client_which_vanishes_and_names_nobody(
    workers: Callable[..., list[Limiter]], redis_client: "Redis"
) -> None:
    limiter, *_ = workers(1.0, 5)
    for host in range(1, 4):
        await limiter.take("192.0.2.1")
        await limiter.take(f"2001:db8::{host}")
    assert set(await redis_client.keys("*")) == {_NOW.encode(), _NOW.replace(":now", ":since").encode()}
    kept = await redis_client.hgetall(_NOW)
    assert len(kept) == 2
    assert not any(b"192.0.2" in name or b"2001" in name for name in kept)
    assert 0 < await redis_client.ttl(_NOW) <= 72


async def test_of_too_many_clients_the_latest_half_is_limited(redis_client: "Redis") -> None:
    limiter = Limiter(SLOW, 1, redis_client, kept_max=20)
    for host in range(100):
        await limiter.take(f"192.0.2.{host}")
    kept = sum([await redis_client.hlen(_NOW.replace(":now", f":{half}")) for half in ("now", "former")])
    assert 10 <= kept <= 20
    other = Limiter(SLOW, 1, redis_client, kept_max=20)
    assert not any([await is_allowed(other, f"192.0.2.{host}") for host in range(90, 100)])
    assert await is_allowed(other, "192.0.2.0")


async def test_a_client_that_is_over_is_refused_without_asking_redis(
    workers: Callable[..., list[Limiter]], redis_client: "Redis"
) -> None:
    limiter, *_ = workers(SLOW, 1)
    await limiter.take("192.0.2.1")
    await redis_client.flushall()  # Redis would say yes now
    assert not await is_allowed(limiter, "192.0.2.1")


async def test_an_arrival_time_of_a_clock_that_was_set_back_is_cut_to_a_burst(
    workers: Callable[..., list[Limiter]], redis_client: "Redis"
) -> None:
    limiter, other, _ = workers(SLOW, 2)
    await limiter.take("192.0.2.1")
    (name,) = await redis_client.hkeys(_NOW)
    await redis_client.hset(_NOW, name, struct.pack("<d", 9e15))
    with pytest.raises(Limited) as refused:
        await other.take("192.0.2.1")
    assert refused.value.retry_after_s == 1000


async def test_r2_while_redis_is_away_clients_write_under_the_limit_of_the_worker(tmp_path: Path) -> None:
    redis = connect(Settings(redis_url=f"unix://{tmp_path}/none.sock"))
    limiter = Limiter(SLOW, 10, redis)
    allowed = [await is_allowed(limiter, "192.0.2.1") for _ in range(15)]
    assert allowed == [True] * 10 + [False] * 5
    await redis.aclose()


async def test_after_redis_has_failed_it_is_asked_again_and_the_limit_is_exact(
    redis_url: str, redis_client: "Redis"
) -> None:
    now = 1000.0
    redis = connect(Settings(redis_url=redis_url))
    limiter = Limiter(SLOW, 10, redis, clock=lambda: now)
    await limiter.take("192.0.2.1")
    await redis_client.delete(_NOW)
    await redis_client.lpush(_NOW, "no hash")  # what Redis answers now is an error
    assert (await limiter.take("192.0.2.1"))["RateLimit-Remaining"] == "8"
    await redis_client.delete(_NOW)
    assert (await limiter.take("192.0.2.1"))["RateLimit-Remaining"] == "7"  # it is left alone for a while
    assert not await redis_client.exists(_NOW)
    now += 1.0
    assert (await limiter.take("192.0.2.1"))["RateLimit-Remaining"] == "9"
    assert await redis_client.exists(_NOW)
    await redis.aclose()
