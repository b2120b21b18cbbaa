"""Impressions and clicks of machines: counted, moved and read as clicks are, each under its own kind."""

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as Budget
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from aggregator.clicks import minutes as flushing
from aggregator.clicks.minutes import Minutes
from shared.counting import cells, keys, rate
from shared.counting.cells import CLICK, MACHINE, SERVED, VIEWABLE
from shared.counting.keyed import KeyedClick
from shared.counting.reader import Reader
from shared.errors import PostgresUnavailable, RedisUnavailable
from shared.settings import Settings
from tests.chaos.clicks.books import UNEQUAL
from tests.chaos.clicks.mutants import changed_script
from tests.harness.subjects.counting import EVER, LONG_AGO, SECOND, Stack, counting_stack

KINDS = (CLICK, SERVED, VIEWABLE, CLICK + MACHINE, SERVED + MACHINE, VIEWABLE + MACHINE)
RATE_KINDS = (CLICK, VIEWABLE)
#: An aggregator of a version that knows clicks alone.
OLD_SEAL = ("cell % 2 ^ 40", "cell")


@pytest.fixture
async def stack(settings: Callable[..., Settings], redis_client: "Redis") -> AsyncIterator[Stack]:
    async with counting_stack(settings()) as one:
        yield one


def cell(kind: int, minutes: int = 0) -> int:
    return cells.cell(kind, LONG_AGO + minutes)


async def unequal(stack: Stack) -> list[Any]:
    """Cells in which ledger and statistics differ (I3)."""
    return list(await stack.pool.fetch(UNEQUAL, stack.settings.minute_s))


async def test_each_kind_is_seen_in_the_lane_in_redis_and_in_postgres(stack: Stack) -> None:
    for kind in KINDS:
        stack.counter.add_many({(cell(kind), 7): 1 + kind})
        assert await stack.total(7, kind) == 1 + kind  # wherever it is now
    await stack.counter.durable()
    assert [await stack.total(7, kind) for kind in KINDS] == [1 + kind for kind in KINDS]
    await stack.minutes.flush()
    assert [await stack.total(7, kind) for kind in KINDS] == [1 + kind for kind in KINDS]
    assert await stack.persisted() == 1
    assert await stack.persisted_kinds() == {(kind, 7): 1 + kind for kind in KINDS if kind}
    assert (await unequal(stack), await stack.difference()) == ([], 0)
    assert not await stack.redis.zcard(keys.prefix(0) + "live") + await stack.redis.zcard(keys.prefix(1) + "live")


async def test_the_current_minute_of_a_kind_stays_open(stack: Stack) -> None:
    await stack.count(7, 3, cells.cell(SERVED, stack.counter.minute() + 1))
    await stack.minutes.flush()
    assert (await stack.total(7, SERVED), await stack.persisted_kinds()) == (3, {})


async def test_a_late_impression_of_a_flushed_minute_is_added(stack: Stack) -> None:
    await stack.count(5, 2, cell(VIEWABLE))
    await stack.minutes.flush()
    await stack.count(5, 3, cell(VIEWABLE))
    before = await stack.reader.read([5], SECOND, SECOND + 60, kind=VIEWABLE)
    await stack.minutes.flush()
    after = await stack.reader.read([5], SECOND, SECOND + 60, kind=VIEWABLE)
    assert (before.points[5], after.points[5]) == ([(SECOND, 5, False)], [(SECOND, 5, True)])


async def test_buckets_of_a_kind_hold_the_minutes_between_their_borders(stack: Stack) -> None:
    for minute, n in ((0, 1), (59, 2), (60, 4), (119, 8), (120, 16)):
        await stack.count(5, n, cell(SERVED, minute))
        await stack.count(5, 100, cell(CLICK, minute))
        if minute % 2:
            await stack.minutes.flush()
    bounds = [SECOND, SECOND + 3600, SECOND + 7200]
    reading = await stack.reader.read([5], SECOND, SECOND + 7200, bounds, kind=SERVED)
    assert [point[:2] for point in reading.points[5]] == [(bounds[0], 3), (bounds[1], 12)]


async def test_two_aggregators_move_all_kinds_once(stack: Stack) -> None:
    for banner in range(1, 11):
        for kind in KINDS:
            await stack.count(banner, banner, cell(kind, banner))
    others = [Minutes(stack.settings, stack.redis, stack.pool) for _ in range(3)]
    await asyncio.gather(*(one.flush() for one in others))
    expected = {(kind, banner): banner for kind in KINDS if kind for banner in range(1, 11)}
    assert (await stack.persisted(), await stack.persisted_kinds()) == (55, expected)
    assert (await unequal(stack), await stack.difference()) == ([], 0)


@pytest.mark.parametrize("statement", ["_UPSERT", "_KINDS"])
async def test_a_transaction_that_fails_leaves_all_kinds_in_redis(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    await stack.count(3, 10)
    await stack.count(3, 20, cell(SERVED))
    with monkeypatch.context() as patch:
        patch.setattr(flushing, statement, getattr(flushing, statement).replace("sum(", "no_function("))
        with pytest.raises(asyncpg.PostgresError):
            await stack.minutes.flush()
    assert (await stack.persisted(), await stack.persisted_kinds()) == (0, {})
    assert (await stack.total(3), await stack.total(3, SERVED)) == (10, 20)
    assert (await unequal(stack), await stack.difference()) == ([], 0)
    await stack.minutes.flush()
    assert (await stack.persisted(), await stack.persisted_kinds()) == (10, {(SERVED, 3): 20})


async def test_what_an_aggregator_did_not_drop_is_counted_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.count(3, 10, cell(VIEWABLE))

    async def die(*_: object) -> None:
        raise RedisConnectionError("killed between commit and drop")

    with monkeypatch.context() as patch:
        patch.setattr(flushing, "_DROP", die)
        with pytest.raises(RedisConnectionError):
            await stack.minutes.flush()
    for _ in range(2):
        assert await stack.total(3, VIEWABLE) == 10
        assert await stack.persisted_kinds() == {(VIEWABLE, 3): 10}
        await stack.minutes.flush()


async def test_an_unknown_kind_is_put_aside_and_holds_up_nothing(stack: Stack, redis_client: "Redis") -> None:
    await stack.count(5, 2, cell(SERVED))
    name, prefix = f"{cells.cell(1 << 15, LONG_AGO)}:poison", keys.prefix(0)
    await redis_client.zadd(prefix + "live", {name: float(cells.cell(1 << 15, LONG_AGO))})
    await redis_client.hset(f"{prefix}i:{name}", mapping={"5": "1"})
    await stack.minutes.flush()
    await stack.minutes.flush()
    assert await stack.persisted_kinds() == {(SERVED, 5): 2}
    assert await redis_client.hgetall(f"{prefix}aside:{name}") == {b"5": b"1"}


async def test_an_aggregator_of_the_former_version_loses_no_impression(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a cell for a minute that is far ahead, so it leaves what is no click where it is."""
    with monkeypatch.context() as patch:
        patch.setattr(flushing, "_SEAL", changed_script(flushing._SEAL, OLD_SEAL))
        await stack.count(5, 2)
        await stack.count(5, 30, cell(SERVED))
        await stack.minutes.flush()
        assert (await stack.persisted(), await stack.persisted_kinds()) == (2, {})
        assert await stack.total(5, SERVED) == 30
        assert await stack.difference() == 0
    await stack.minutes.flush()
    assert (await stack.persisted_kinds(), await stack.difference()) == ({(SERVED, 5): 30}, 0)


async def test_incarnations_that_stay_too_long_are_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.count(5, 2)
    await stack.count(5, 2, cell(SERVED))
    await stack.count(5, 2, cells.cell(VIEWABLE, stack.counter.minute()))
    assert await stack.minutes.count_overdue() == 2
    with monkeypatch.context() as patch:
        patch.setattr(flushing, "_SEAL", changed_script(flushing._SEAL, OLD_SEAL))
        await stack.minutes.flush()
        assert await stack.minutes.count_overdue() == 1  # left open for ever
    await stack.minutes.flush()
    assert await stack.minutes.count_overdue() == 0


async def test_a_key_counts_once_in_its_kind(stack: Stack) -> None:
    clicks = [KeyedClick(cell(kind), 8, 2, bytes([kind]) * 16) for kind in KINDS]
    assert await stack.keyed.count(clicks) == [True] * len(KINDS)
    assert await stack.keyed.count(clicks) == [False] * len(KINDS)
    await stack.minutes.flush()
    assert [await stack.total(8, kind) for kind in KINDS] == [2] * len(KINDS)
    assert await stack.difference() == 0


# -- rankings ----------------------------------------------------------------------------------------------------------


async def test_a_ranking_of_kinds_adds_persisted_and_open_counts(stack: Stack) -> None:
    for banner, n in ((1, 5), (2, 9), (3, 5)):
        await stack.count(banner, n, cell(SERVED))
        await stack.count(banner, 100 - n)
    await stack.minutes.flush()
    await stack.count(1, 10, cell(SERVED))
    await stack.count(3, 20, cell(SERVED + MACHINE))
    top = stack.reader.top
    assert (await top(SECOND, SECOND + 60, 2, kinds=[SERVED])).banners == [(1, 15), (2, 9)]
    assert (await top(SECOND, SECOND + 60, 9, kinds=[SERVED, SERVED + MACHINE])).banners == [(3, 25), (1, 15), (2, 9)]
    assert (await top(SECOND, SECOND + 60, 9, kinds=[CLICK, CLICK + MACHINE])).banners == [(1, 95), (3, 95), (2, 91)]
    assert (await top(SECOND, SECOND + 60, 9)).banners == [(1, 95), (3, 95), (2, 91)]


counts = st.dictionaries(
    st.tuples(st.integers(1, 6), st.sampled_from(KINDS)), st.integers(1, 400), min_size=1, max_size=18
)


@Budget(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(persisted=counts, open_=counts, least=st.integers(1, 200), limit=st.integers(1, 5), machines=st.booleans())
async def test_rates_are_those_of_a_dictionary(
    stack: Stack,
    persisted: dict[tuple[int, int], int],
    open_: dict[tuple[int, int], int],
    least: int,
    limit: int,
    machines: bool,
) -> None:
    await stack.minutes.flush()  # what the former example left open
    await stack.pool.execute("DELETE FROM click_stats; DELETE FROM banner_stats")
    for drawn in (persisted, open_):
        await stack.minutes.flush()
        for (banner, kind), n in drawn.items():
            stack.counter.add_many({(cell(kind), banner): n})
            await stack.counter.durable()
    kinds = [*RATE_KINDS, *([one + MACHINE for one in RATE_KINDS] if machines else [])]
    sums: Tally[tuple[int, int]] = Tally()
    for (banner, kind), n in [*persisted.items(), *open_.items()]:
        if kind in kinds:
            sums[banner, kind % MACHINE] += n
    banners = {banner for banner, _ in sums}
    fit = [one for one in banners if least <= sums[one, VIEWABLE] >= sums[one, CLICK]]
    expected = sorted(fit, key=lambda one: (-rate.interval(sums[one, CLICK], sums[one, VIEWABLE])[0], one))
    found = await stack.reader.rates(SECOND, SECOND + 60, limit, least, kinds=kinds)
    assert found.left_out == len(banners) - len(fit)
    assert [one[0] for one in found.banners] == expected[:limit]
    assert found.banners == [(one, sums[one, CLICK], sums[one, VIEWABLE]) for one in expected[:limit]]


async def test_without_a_store_rates_are_refused_or_marked(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.count(5, 2)
    await stack.count(5, 40, cell(VIEWABLE))
    await stack.count(6, 40, cell(VIEWABLE))

    class Away:
        async def fetch(self, *_: object) -> None:
            raise asyncpg.ConnectionDoesNotExistError("away")

    ask: dict[str, Any] = {"start": SECOND, "end": SECOND + 60, "limit": 10, "least": 40, "kinds": RATE_KINDS}
    without_postgres = Reader(stack.settings, stack.redis, Away())
    with pytest.raises(PostgresUnavailable):
        await without_postgres.rates(**ask)
    found = await without_postgres.rates(**ask, partial=True)
    assert (found.banners, found.left_out, found.missing) == ([(5, 2, 40), (6, 0, 40)], 0, ("postgres",))
    assert (await without_postgres.rates(**{**ask, "least": 41}, partial=True)).left_out == 2

    await stack.minutes.flush()

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr("shared.counting.reader._READ", away)
    with pytest.raises(RedisUnavailable):
        await stack.reader.rates(**ask)
    found = await stack.reader.rates(**ask, partial=True)
    assert (found.banners, found.left_out, found.missing) == ([(5, 2, 40), (6, 0, 40)], 0, ("redis",))


async def test_without_banners_nothing_is_left_out(stack: Stack) -> None:
    found = await stack.reader.rates(0, EVER, 10, 1, kinds=RATE_KINDS)
    assert (found.banners, found.left_out, found.missing) == ([], 0, ())


# -- mutants -----------------------------------------------------------------------------------------------------------


async def test_kinds_written_into_the_table_of_clicks_are_seen(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "kind_of", lambda name: 0)
    await stack.count(5, 2)
    await stack.count(5, 30, cell(SERVED))
    await stack.minutes.flush()
    assert await stack.persisted() == 32
    assert len(await unequal(stack)) == 2
