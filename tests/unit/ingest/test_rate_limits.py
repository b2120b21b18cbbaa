"""The rate limit as one worker keeps it by itself, with a clock of the test."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from ingest.app import limiters
from ingest.http.rate_limits import Allowance, Buckets, Limiter, group
from shared.errors import Limited
from shared.settings import Settings
from shared.stores.redis_client import connect


class Clock:
    """Stands still until it is moved. In seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def no_redis(tmp_path: Path) -> "AsyncIterator[Redis]":
    """A client of a Redis that is not there."""
    client = connect(Settings(redis_url=f"unix://{tmp_path}/none.sock"))
    yield client
    await client.aclose()


@pytest.fixture
def limiter(no_redis: "Redis", clock: Clock) -> Callable[..., Limiter]:
    """Makes limiters of a worker that has no Redis."""

    def make(rate: float, burst: int, clients_max: int = 100) -> Limiter:
        return Limiter(rate, burst, no_redis, clock=clock, clients_max=clients_max)

    return make


def test_one_address_sends_so_many_clicks_with_ids_and_no_more(clock: Clock) -> None:
    allowance = Allowance(Settings(keyed_limit_per_s=1000.0), clock)
    allowance.take("192.0.2.1", 10_000)
    allowance.take("192.0.2.1", 9_000)
    with pytest.raises(Limited, match="Nothing was counted") as refused:
        allowance.take("192.0.2.1", 10_000)
    assert refused.value.retry_after_s == 9
    allowance.take("192.0.2.1", 1000)  # what was refused took nothing
    allowance.take("192.0.2.2", 20_000)
    clock.now += 10
    allowance.take("192.0.2.1", 10_000)
    with pytest.raises(Limited):
        allowance.take("192.0.2.1", 1)


def test_a_bulk_request_of_any_allowed_size_is_taken(clock: Clock) -> None:
    allowance = Allowance(Settings(keyed_limit_per_s=1.0, bulk_items_max=100_000), clock)
    allowance.take("192.0.2.1", 100_000)


@pytest.mark.parametrize(
    ("client", "rate_per_s"), [("127.0.0.1", 1.0), ("::1", 1.0), ("::ffff:127.0.0.1", 1.0), ("192.0.2.1", 0.0)]
)
def test_this_host_and_a_limit_of_0_are_free(clock: Clock, client: str, rate_per_s: float) -> None:
    allowance = Allowance(Settings(keyed_limit_per_s=rate_per_s), clock)
    for _ in range(5):
        allowance.take(client, 10_000)


def test_one_address_opens_so_many_minutes_that_are_over_and_no_more(clock: Clock) -> None:
    allowance = Allowance(Settings(), clock)
    allowance.take("192.0.2.1", 0, 1440)  # a day, and the day again
    allowance.take("192.0.2.1", 0, 1440)
    with pytest.raises(Limited) as refused:
        allowance.take("192.0.2.1", 10, 1440)
    assert 1430 <= (refused.value.retry_after_s or 0) <= 1440
    allowance.take("192.0.2.1", 20_000)  # what was refused took nothing
    clock.now += 60
    allowance.take("192.0.2.1", 0, 60)


async def test_without_a_limit_nobody_is_asked_and_nothing_is_said(limiter: Callable[..., Limiter]) -> None:
    free = limiter(0.0, 1)
    assert [await free.take("192.0.2.1") for _ in range(5)] == [{}] * 5


async def test_a_burst_is_allowed_to_the_last_write_and_comes_back_one_by_one(
    limiter: Callable[..., Limiter], clock: Clock
) -> None:
    limits = limiter(0.5, 3)  # one in two seconds
    remaining = [(await limits.take("192.0.2.1"))["RateLimit-Remaining"] for _ in range(3)]
    assert remaining == ["2", "1", "0"]
    with pytest.raises(Limited) as refused:
        await limits.take("192.0.2.1")
    assert refused.value.retry_after_s == 2
    assert refused.value.headers == {"RateLimit-Limit": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": "6"}
    clock.now += 1.9
    with pytest.raises(Limited):
        await limits.take("192.0.2.1")
    clock.now += 0.1
    assert (await limits.take("192.0.2.1"))["RateLimit-Remaining"] == "0"
    with pytest.raises(Limited):
        await limits.take("192.0.2.1")


async def test_one_client_does_not_use_up_the_limit_of_another(limiter: Callable[..., Limiter]) -> None:
    limits = limiter(1.0, 1)
    await limits.take("192.0.2.1")
    await limits.take("192.0.2.2")
    with pytest.raises(Limited):
        await limits.take("192.0.2.1")


async def test_a_refused_client_is_told_to_wait_at_least_a_second(limiter: Callable[..., Limiter]) -> None:
    limits = limiter(1000.0, 1)
    await limits.take("192.0.2.1")
    with pytest.raises(Limited) as refused:
        await limits.take("192.0.2.1")
    assert refused.value.retry_after_s == 1


async def test_r3_the_addresses_of_one_ipv6_customer_share_a_limit(limiter: Callable[..., Limiter]) -> None:
    limits = limiter(1.0, 2)
    await limits.take("2001:db8:1:2::1")
    await limits.take("2001:db8:1:2:ffff::9")
    with pytest.raises(Limited):
        await limits.take("2001:db8:1:2:abcd:ef01:2345:6789")
    await limits.take("2001:db8:1:3::1")


@pytest.mark.parametrize(
    ("client", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("garbage", ""),
    ],
)
def test_clients_are_grouped_by_what_one_customer_has(client: str, name: str) -> None:
    assert group(client) == name


def test_r3_the_memory_of_clients_is_bounded_and_keeps_the_latest(clock: Clock) -> None:
    buckets = Buckets(1.0, 5, clock, clients_max=3)
    for number in range(10):
        buckets.note(str(number), clock() + 2)
    assert len(buckets) == 3
    assert [buckets.ahead_s(str(number)) for number in (6, 7, 8, 9)] == [0, 2, 2, 2]


def test_a_clock_that_was_set_back_locks_nobody_out_for_longer_than_a_burst(clock: Clock) -> None:
    buckets = Buckets(2.0, 4, clock, clients_max=3)
    buckets.note("a", clock() + 1_000_000)
    assert buckets.ahead_s("a") == 2.0


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    waits=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_r1_no_way_of_asking_gets_more_than_the_burst_and_the_rate(rate: float, burst: int, waits: list[float]) -> None:
    clock = Clock()
    buckets = Buckets(rate, burst, clock, clients_max=10)
    allowed, began = 0, clock.now
    for wait_s in waits:
        clock.now += wait_s
        ahead_s = buckets.ahead_s("a")
        if not buckets.is_over(ahead_s):
            allowed += 1
            buckets.note("a", clock() + ahead_s + buckets.step_s)
    # A microsecond is forgiven per write.
    assert allowed <= burst + (clock.now - began + allowed * 1e-6) * rate + 1e-6


@pytest.mark.parametrize(
    ("rate", "bursts"), [(0.5, ("100", "1000")), (150.5, ("151", "1000")), (5e3, ("5000", "5000"))]
)
async def test_a_second_s_worth_may_come_at_once_and_never_less_than_a_burst(
    no_redis: "Redis", rate: float, bursts: tuple[str, str]
) -> None:
    limits = limiters(Settings(rate_limit_per_s=rate, key_rate_limit_per_s=rate), no_redis)
    found = [(await one.take("192.0.2.1"))["RateLimit-Limit"] for one in limits]
    assert tuple(found) == bursts
