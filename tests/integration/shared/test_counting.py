"""One click from the lane to Postgres, with real stores: counted once, seen at every moment, whatever dies."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from aggregator.clicks.minutes import Minutes
from aggregator.clicks.retention import Upkeep
from shared.counting import cells, drain, keys, lane
from shared.counting.accounting import account
from shared.counting.drain import Counter
from shared.counting.fleet import Fleet
from shared.counting.keyed import KeyedClick
from shared.counting.reader import Reader
from shared.errors import LanesFull, PostgresUnavailable, RedisUnavailable, TooManyNewBanners
from shared.runtime.tasks import end
from shared.settings import Settings
from tests.harness.subjects.counting import LONG_AGO, SECOND, Stack, counting_stack
from tests.harness.wait import until


@pytest.fixture
async def stack(settings: Callable[..., Settings], redis_client: "Redis") -> AsyncIterator[Stack]:
    async with counting_stack(settings()) as one:
        yield one


async def test_a_click_is_seen_in_the_lane_in_redis_and_in_postgres(stack: Stack) -> None:
    stack.counter.add("7")
    assert await stack.total(7) == 1  # wherever it is now
    await stack.counter.durable()
    assert await stack.total(7) == 1
    await stack.count(7, 4)
    await stack.minutes.flush()
    assert (await stack.total(7), await stack.persisted()) == (5, 4)  # the current minute is still open
    assert await stack.difference() == 0


@pytest.mark.parametrize("is_bulk", [False, True])
async def test_a_click_wakes_a_drain_that_has_nothing_to_do(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, is_bulk: bool
) -> None:
    monkeypatch.setattr(drain, "_IDLE_S", 3600.0)
    counter = Counter(stack.settings)
    counter.start()
    try:
        for _ in range(3):
            await until(lambda: not counter._lane.head - counter._lane.tail and not counter._wake.is_set(), "idleness")
            head = counter._lane.head
            assert counter._lane.is_empty()
            if is_bulk:
                counter.add_many({(LONG_AGO, 7): 1})
            else:
                counter.add("7")
            await until(lambda before=head: counter._lane.tail > before, "a drained page")  # type: ignore[misc]
    finally:
        await counter.stop(2)


async def test_two_aggregators_move_a_minute_once(stack: Stack) -> None:
    for banner in range(1, 21):
        await stack.count(banner, banner)
    others = [Minutes(stack.settings, stack.redis, stack.pool) for _ in range(3)]
    await asyncio.gather(*(one.flush() for one in others))
    assert await stack.persisted() == sum(range(1, 21))
    ledger = await stack.pool.fetchval("SELECT sum(clicks)::bigint FROM click_ledger")
    assert ledger == sum(range(1, 21))


async def test_an_aggregator_that_died_before_the_drop_leaves_nothing_to_count_twice(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.count(3, 10)

    async def die(*_: object) -> None:
        raise RedisConnectionError("killed between commit and drop")

    with monkeypatch.context() as patch:
        patch.setattr("aggregator.clicks.minutes._DROP", die)
        with pytest.raises(RedisConnectionError):
            await stack.minutes.flush()
    assert (await stack.total(3), await stack.persisted()) == (10, 10)  # in both, counted once
    await stack.minutes.flush()
    assert (await stack.total(3), await stack.persisted()) == (10, 10)
    assert not await stack.redis.zcard(keys.prefix(0) + "live")


async def test_a_transaction_that_fails_leaves_the_clicks_in_redis(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.count(3, 10)
    with monkeypatch.context() as patch:
        patch.setattr("aggregator.clicks.minutes._UPSERT", "SELECT $1::bigint[], $2::bigint[], $3::bigint[] / 0")
        with pytest.raises(asyncpg.PostgresError):
            await stack.minutes.flush()
    assert (await stack.total(3), await stack.persisted()) == (10, 0)
    await stack.minutes.flush()
    assert (await stack.total(3), await stack.persisted()) == (10, 10)


async def test_a_late_click_of_a_flushed_minute_is_added(stack: Stack) -> None:
    await stack.count(5, 2)
    await stack.minutes.flush()
    await stack.count(5, 3)
    before = await stack.reader.read([5], SECOND, SECOND + 60)
    await stack.minutes.flush()
    after = await stack.reader.read([5], SECOND, SECOND + 60)
    assert [tuple(point) for point in before.points[5]] == [(SECOND, 5, False)]
    assert [tuple(point) for point in after.points[5]] == [(SECOND, 5, True)]


async def test_a_page_whose_reply_was_lost_is_counted_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    real, lost = drain._ADD, 0

    async def lossy(*arguments: Any) -> Any:
        nonlocal lost
        answer = await real(*arguments)
        if lost < 3:
            lost += 1
            raise RedisConnectionError("the reply was lost")
        return answer

    monkeypatch.setattr(drain, "_ADD", lossy)
    stack.counter.add_many({(LONG_AGO, 9): 6})
    with pytest.raises(RedisUnavailable):  # who waits for Redis learns that the outcome is not known
        await stack.counter.durable()
    while not await _is_durable(stack.counter):
        pass
    assert lost == 3
    assert await stack.total(9) == 6
    assert await stack.difference() == 0


async def test_the_ring_refuses_when_redis_is_away_and_loses_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = drain._ADD

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(drain, "_ADD", away)
    accepted = 0
    while await _is_taken(stack.counter, accepted + 1):
        accepted += 1
    assert accepted >= (stack.settings.lane_pages - 1) * stack.settings.lane_entries
    monkeypatch.setattr(drain, "_ADD", real)
    while not await _is_durable(stack.counter):
        pass
    await stack.minutes.flush()
    assert await stack.persisted() == accepted


async def _is_taken(counter: Counter, banner: int) -> bool:
    await asyncio.sleep(0)
    try:
        counter.add_many({(LONG_AGO, banner): 1})
    except LanesFull:
        return False
    return True


async def _is_durable(counter: Counter) -> bool:
    try:
        await counter.durable()
    except RedisUnavailable:
        return False
    return True


async def test_new_banners_of_a_minute_are_bounded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time=lambda: SECOND, time_ns=lambda: SECOND * 10**9)
    monkeypatch.setattr(lane, "time", clock)  # no minute ends meanwhile
    for banner in range(1, 101):
        stack.counter.add_many({(LONG_AGO, banner): 1})
        await stack.counter.durable()
    with pytest.raises(TooManyNewBanners):
        stack.counter.add("101")
    assert stack.counter.add("100")


async def test_a_key_counts_once_even_when_it_comes_twice_at_once(stack: Stack) -> None:
    click = KeyedClick(LONG_AGO, 8, 2, b"0123456789abcdef")
    answers = await asyncio.gather(*(stack.keyed.count([click, click]) for _ in range(5)))
    assert sum(sum(answer) for answer in answers) == 1
    assert await stack.total(8) == 2
    await stack.minutes.flush()
    assert (await stack.persisted(), await stack.difference()) == (2, 0)


async def test_keys_are_forgotten_after_their_window(stack: Stack, redis_client: "Redis") -> None:
    click = KeyedClick(LONG_AGO, 8, 1, b"0123456789abcdef")
    assert await stack.keyed.count([click]) == [True]
    shard = int.from_bytes(click.key[:4]) % stack.settings.shards
    names = {name async for name in redis_client.scan_iter(keys.prefix(shard) + "ids:*")}
    assert names == {(keys.prefix(shard) + name).encode() for name in ("ids:now", "ids:since")}
    for name in names:
        assert 0 < await redis_client.ttl(name) <= 2 * stack.settings.idempotency_window_s + 60
    await redis_client.decrby(keys.prefix(shard) + "ids:since", stack.settings.idempotency_window_s)
    assert await stack.keyed.count([click]) == [False]  # the former window
    await redis_client.decrby(keys.prefix(shard) + "ids:since", stack.settings.idempotency_window_s)
    assert await stack.keyed.count([click]) == [True]


async def test_nothing_of_a_former_life_of_redis_grows(stack: Stack, redis_client: "Redis") -> None:
    """Redis is put back to a copy in which a minute that Postgres has is still open: later clicks must not join it."""
    await stack.count(5, 10)
    names = [keys.prefix(shard) + name for shard in range(2) for name in ("cur", "live")]
    names += [name.decode() async for name in redis_client.scan_iter("tallybook:*:i:*")]
    copy = {name: await redis_client.dump(name) for name in names if await redis_client.exists(name)}
    await stack.minutes.flush()
    for name, content in copy.items():  # sealed and dropped; now it is back, as if from a backup
        await redis_client.restore(name, 0, content, replace=True)
        if name.endswith("cur"):
            await redis_client.hset(name, "#run", "0" * 40)
    assert await stack.total(5) == 10
    await stack.count(5, 100)
    assert await stack.total(5) == 110
    await stack.minutes.flush()
    assert (await stack.total(5), await stack.persisted()) == (110, 110)


async def test_a_lane_file_that_went_back_in_time_is_put_aside(stack: Stack, redis_client: "Redis") -> None:
    await stack.count(5, 1)
    view = next(iter(Fleet(stack.settings.lanes_dir).views()))
    lane = f"{keys.prefix(keys.shard_of(view.id, 2))}lane:{view.id}"
    await redis_client.hset(lane, "seq", 1000)  # Redis knows pages of it that the file does not
    with pytest.raises(RedisUnavailable):
        await stack.count(5, 1)
    assert list(stack.settings.lanes_dir.glob("*.bad-*"))
    await stack.count(5, 7)
    assert await stack.total(5) == 8


async def test_a_deleted_lane_file_loses_nothing(stack: Stack) -> None:
    (path,) = stack.settings.lanes_dir.glob("*.lane")
    stack.counter.add_many({(LONG_AGO, 6): 3})
    path.unlink()
    async with asyncio.timeout(20):
        while not list(stack.settings.lanes_dir.glob("*.lane")):  # noqa: ASYNC110 - the folder has no event to wait for
            await asyncio.sleep(0.01)
        stack.counter.add_many({(LONG_AGO, 6): 4})
        await stack.counter.durable()
        while await stack.total(6) != 7:  # noqa: ASYNC110 - nor has a drain
            await asyncio.sleep(0.01)


async def test_a_stop_also_drains_lanes_whose_files_were_deleted(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    counter = Counter(stack.settings)
    counter.start()
    with monkeypatch.context() as patch:
        patch.setattr(drain, "_ADD", away)
        (lost := counter._lane).path.unlink()
        counter.add_many({(LONG_AGO, 6): 3})
        async with asyncio.timeout(20):
            while counter._lane is lost:  # noqa: ASYNC110 - the folder has no event to wait for
                await asyncio.sleep(0.01)
    assert counter._retired == [lost]
    await counter.stop(10)
    assert await stack.total(6) == 3


async def test_a_full_lane_whose_file_was_deleted_is_drained_to_its_last_page(stack: Stack) -> None:
    counter = Counter(stack.settings)
    clicks = 0
    while await _is_taken(counter, clicks + 1):
        clicks += 1
    counter._lane.path.unlink()
    counter._replace_lost()
    counter.start()
    async with asyncio.timeout(20):
        while counter._retired:  # noqa: ASYNC110 - a drain has no event to wait for
            await asyncio.sleep(0.01)
    await counter.stop(10)
    await stack.minutes.flush()
    assert await stack.persisted() == clicks


async def test_a_click_in_a_deleted_lane_file_is_not_called_durable_before_it_is(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    counter = Counter(stack.settings)
    counter.add_many({(LONG_AGO, 6): 3})
    counter._lane.path.unlink()
    counter._replace_lost()
    with monkeypatch.context() as patch:
        patch.setattr(drain, "_ADD", away)
        counter.start()
        with pytest.raises(RedisUnavailable):
            await counter.durable()
    await counter.stop(10)
    assert await stack.total(6) == 3


async def test_a_click_that_is_put_aside_with_its_lane_is_not_called_durable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked, may_answer = drain._ADD, asyncio.Event(), asyncio.Event()

    async def past(*_: object) -> list[object]:
        asked.set()
        await may_answer.wait()
        monkeypatch.setattr(drain, "_ADD", real)
        return [b"PAST", 1000]

    monkeypatch.setattr(drain, "_ADD", past)
    first = asyncio.create_task(stack.count(6, 1))
    await asked.wait()
    second = asyncio.create_task(stack.count(6, 1))  # into the page that is filled meanwhile
    await asyncio.sleep(0)
    may_answer.set()
    for one in (first, second):
        with pytest.raises(RedisUnavailable):
            await one


async def test_a_stop_ends_in_time_though_its_first_cancellation_is_lost(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` of Python 3.11 can lose it."""
    lost = 0

    async def stubborn(*_: object) -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    counter = Counter(stack.settings)
    counter.add_many({(LONG_AGO, 6): 3})
    with monkeypatch.context() as patch:
        patch.setattr(drain, "_ADD", stubborn)
        async with asyncio.timeout(20):
            await counter.stop(0.1)
    assert lost == 2
    async with asyncio.timeout(20):
        while await stack.total(6) != 3:  # noqa: ASYNC110 - a drain has no event to wait for
            await asyncio.sleep(0.01)


async def test_an_incarnation_that_postgres_refuses_holds_up_nothing_else(stack: Stack, redis_client: "Redis") -> None:
    await stack.count(5, 2)
    prefix = keys.prefix(0)
    await redis_client.zadd(prefix + "live", {f"{LONG_AGO}:poison": LONG_AGO})
    await redis_client.hset(f"{prefix}i:{LONG_AGO}:poison", mapping={"-5": "1"})
    await stack.minutes.flush()
    await stack.minutes.flush()
    assert await stack.persisted() == 2
    assert await redis_client.hgetall(f"{prefix}aside:{LONG_AGO}:poison") == {b"-5": b"1"}


async def test_without_redis_a_read_is_refused_or_marked(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.count(5, 2)
    await stack.minutes.flush()
    stack.counter.add("5")

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr("shared.counting.reader._READ", away)
    with pytest.raises(RedisUnavailable):
        await stack.total(5)
    reading = await stack.reader.read([5], SECOND, SECOND + 60, partial=True)
    assert reading.missing == ("redis",)
    assert [tuple(point) for point in reading.points[5]] == [(SECOND, 2, False)]
    assert (await stack.reader.top(0, SECOND + 60, 10, partial=True)).banners == [(5, 2)]


class Overtaken:
    """Postgres, before whose answers a page that was in the lane reaches it, so many times."""

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
        self._stack = stack
        self._left = pages
        self._may_send = asyncio.Event()
        self.counted = 0
        real = drain._ADD

        async def held(*arguments: Any) -> Any:
            await self._may_send.wait()
            return await real(*arguments)

        monkeypatch.setattr(drain, "_ADD", held)

    async def fetch(self, *arguments: Any) -> Any:
        if self._left:
            self._left -= 1
            self._may_send.set()
            await self._stack.counter.durable()
            await self._stack.minutes.flush()
            self._may_send.clear()
            self.click()
        return await self._stack.pool.fetch(*arguments)

    def click(self) -> None:
        self.counted += 1
        self._stack.counter.add_many({(LONG_AGO, 5): 1})


async def test_a_page_that_reaches_postgres_during_a_read_is_counted_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken = Overtaken(stack, monkeypatch, pages=2)
    overtaken.click()
    reader = Reader(stack.settings, stack.redis, overtaken)
    reading = await reader.read([5], SECOND, SECOND + 60)
    assert [count for _, count, _ in reading.points[5]] == [overtaken.counted] == [3]
    overtaken._left = 2
    assert (await reader.top(SECOND, SECOND + 60, 1)).banners == [(5, overtaken.counted)] == [(5, 5)]


async def test_a_read_that_is_overtaken_each_time_is_refused_or_marked(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken = Overtaken(stack, monkeypatch, pages=100)
    overtaken.click()
    reader = Reader(stack.settings, stack.redis, overtaken)
    with pytest.raises(RedisUnavailable):
        await reader.read([5], SECOND, SECOND + 60)
    reading = await reader.read([5], SECOND, SECOND + 60, partial=True)
    assert reading.missing == ("redis",)
    assert [count for _, count, _ in reading.points[5]] == [overtaken.counted - 1]  # the last one is in the lane
    ranking = await reader.top(SECOND, SECOND + 60, 1, partial=True)
    assert ranking.missing == ("redis",)
    assert ranking.banners == [(5, overtaken.counted - 1)]


async def test_where_stores_come_out_of_order_a_read_waits_for_the_lanes_to_drain(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.counting.reader._ORDERED_STORES", False)
    stack.counter.add_many({(LONG_AGO, 5): 3})
    assert await stack.total(5) == 3

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(drain, "_ADD", away)
        stack.counter.add_many({(LONG_AGO, 5): 4})
        with pytest.raises(RedisUnavailable):
            await stack.total(5)
        assert (await stack.reader.read([5], SECOND, SECOND + 60, partial=True)).missing == ("redis",)


async def test_without_postgres_a_read_is_refused_or_marked(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.count(5, 2)

    class Away:
        async def fetch(self, *_: object) -> None:
            raise asyncpg.ConnectionDoesNotExistError("away")

    reader = Reader(stack.settings, stack.redis, Away())
    with pytest.raises(PostgresUnavailable):
        await reader.read([5], SECOND, SECOND + 60)
    reading = await reader.read([5], SECOND, SECOND + 60, partial=True)
    assert reading.missing == ("postgres",)
    assert [tuple(point) for point in reading.points[5]] == [(SECOND, 2, False)]
    assert (await reader.top(SECOND, SECOND + 60, 10, partial=True)).banners == [(5, 2)]


async def test_buckets_hold_exactly_the_minutes_between_their_borders(stack: Stack) -> None:
    for minute, clicks in ((0, 1), (59, 2), (60, 4), (119, 8), (120, 16)):
        await stack.count(5, clicks, LONG_AGO + minute)
        if minute % 2:
            await stack.minutes.flush()  # so some are persisted and some are still on their way
    bounds = [SECOND, SECOND + 3600, SECOND + 7200]
    reading = await stack.reader.read([5], SECOND, SECOND + 7200, bounds)
    assert [point[:2] for point in reading.points[5]] == [(bounds[0], 3), (bounds[1], 12)]


async def test_the_ranking_adds_persisted_and_open_clicks(stack: Stack) -> None:
    for banner, clicks in ((1, 5), (2, 9), (3, 5)):
        await stack.count(banner, clicks)
    await stack.minutes.flush()
    await stack.count(1, 10)
    assert (await stack.reader.top(SECOND, SECOND + 60, 2)).banners == [(1, 15), (2, 9)]
    assert (await stack.reader.top(SECOND, SECOND + 60, 9)).banners == [(1, 15), (2, 9), (3, 5)]
    total = await stack.reader.total(SECOND - 60, SECOND + 120, None)
    assert (total.points, total.banners) == ([(SECOND, 29, False)], 3)
    await stack.count(4, 2, LONG_AGO + 1)
    await stack.count(1, 3, LONG_AGO - 1)
    total = await stack.reader.total(SECOND - 60, SECOND + 120, [SECOND - 60, SECOND, SECOND + 120])
    assert ([point[:2] for point in total.points], total.banners) == ([(SECOND - 60, 3), (SECOND, 31)], 4)
    await stack.minutes.flush()
    total = await stack.reader.total(SECOND - 60, SECOND + 120, None)
    assert total.points == [(SECOND - 60, 3, True), (SECOND, 29, True), (SECOND + 60, 2, True)]
    assert (await stack.reader.total(SECOND + 300, SECOND + 360, None))[1:3] == ([], 0)
    for kinds in ((0,), (0, 1)):  # clicks alone, and together with another kind, of which there is nothing
        places, behind = list[tuple[int, int]](), None
        while page := (await stack.reader.top(SECOND, SECOND + 60, 1, behind=behind, kinds=kinds)).banners:
            places += page
            behind = (page[0][1], page[0][0])
        assert places == [(1, 15), (2, 9), (3, 5)]


async def test_what_is_removed_on_purpose_stays_in_the_account(stack: Stack, settings: Callable[..., Settings]) -> None:
    await stack.count(5, 7)
    await stack.count(5, 20, cells.cell(cells.SERVED, LONG_AGO))
    await stack.count(6, 3, cells.cell(cells.SERVED + cells.MACHINE, LONG_AGO))
    await stack.minutes.flush()
    await stack.pool.execute("UPDATE click_ledger SET applied_at = now() - interval '40 days'")
    upkeep = Upkeep(settings(retention_days=("clicks=30", "hits=60")), stack.pool)
    assert await upkeep.make_partitions() == 6
    assert await upkeep.make_partitions() == 0
    assert await upkeep.prune_ledger() == 3
    assert await upkeep.drop_expired() == ["banner_stats_2019_06", "click_stats_2019_06"]
    assert await stack.persisted() == 0
    assert await stack.persisted_kinds() == {}
    assert await stack.difference() == 0
    carry = dict(await stack.pool.fetch("SELECT name, clicks FROM click_carry"))
    assert carry == {
        "ledger_pruned": 7,
        "ledger_pruned:1": 20,
        "ledger_pruned:5": 3,
        "stats_dropped": 7,
        "stats_dropped:1": 20,
        "stats_dropped:5": 3,
    }
    await stack.count(5, 1, cells.cell(cells.SERVED, LONG_AGO))
    await stack.minutes.flush()
    await stack.pool.execute("UPDATE click_ledger SET applied_at = now() - interval '40 days'")
    assert await upkeep.prune_ledger() == 1
    assert await stack.difference() == 0
    assert await stack.pool.fetchval("SELECT clicks FROM click_carry WHERE name = 'ledger_pruned:1'") == 21


async def test_a_page_whose_answer_was_lost_counts_once_although_the_number_of_shards_was_raised(
    stack: Stack, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane keeps the shard that it began with: another one would know none of its pages."""
    lane = stack.counter._lane
    await stack.count(5, 7)
    await stack.minutes.flush()
    await end(*stack.counter._tasks)
    stack.counter.add_many({(LONG_AGO, 5): 4})
    lane.seal()
    assert (await stack.counter._apply(lane, lane.tail))[0] == b"OK"  # and the answer is lost: the page stays
    await stack.minutes.flush()
    more = settings(shards=next(n for n in range(3, 1000) if keys.shard_of(lane.id, n) != keys.shard_of(lane.id, 2)))
    monkeypatch.setattr(stack.counter, "_settings", more)
    reader = Reader(more, stack.redis, stack.pool)
    reading = await reader.read([5], 0, 2**32 // 60 * 60)
    assert sum(count for _, count, _ in reading.points[5]) == 11  # the page in the lane is known to be in Postgres
    await stack.counter._flush(lane)
    await Minutes(more, stack.redis, stack.pool).flush()
    assert await stack.persisted() == 11
    assert (await account(more, stack.redis, stack.pool, reader.fleet)).difference == 0


async def test_no_connection_repeats_a_command_by_itself(stack: Stack) -> None:
    connection = await stack.redis.connection_pool.get_connection()
    try:
        assert connection.retry._retries == 0
    finally:
        await stack.redis.connection_pool.release(connection)
