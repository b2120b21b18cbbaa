"""The registered banners, with a real Postgres: a banner counts once it is added, and Postgres may go away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import REGISTRY

from ingest.caches import cached_table as module
from ingest.caches.banners import Banners
from ingest.caches.trackers import Trackers
from shared.counting.lane import BANNER_MAX
from shared.errors import Busy, PostgresUnavailable, UnknownBanner
from shared.settings import Settings
from shared.stores.postgres import create_pool
from tallybook.registries import banners as banner_table
from tallybook.registries import chunks
from tests.harness.counted_pool import CountedPool, counted
from tests.harness.wait import until


def started(settings: Settings) -> "AbstractAsyncContextManager[tuple[Banners, CountedPool]]":
    """A worker's registry that has been started, and its pool."""
    return counted(settings, partial(Banners, settings))


@pytest.fixture
async def connection(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection of whoever administers the banners."""
    connection = await asyncpg.connect(database)
    yield connection
    if not connection.is_closed():
        await connection.close()


@pytest.fixture
def registered(settings: Callable[..., Settings]) -> Settings:
    """Settings under which only registered banners count."""
    return settings(banners="registered", postgres_timeout_s=5.0)


def failures() -> float:
    """Rounds of the registry that have failed in this process."""
    return REGISTRY.get_sample_value("tallybook_loop_errors_total", {"loop": "banners"}) or 0.0


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_tables_that_look_at_the_same_time_ask_with_one_statement(
    registered: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with create_pool(registered) as pool:
        asked: list[str] = []

        async def fetchrow(self: Any, sql: str) -> Any:
            asked.append(sql)
            return await pool.fetchrow(sql)

        monkeypatch.setattr(CountedPool, "fetchrow", fetchrow, raising=False)
        counting = CountedPool(pool)
        banners, trackers = Banners(registered, counting), Trackers(counting)
        try:
            for table in (banners, trackers):
                await table.start()
            del asked[:]
            await until(lambda: len(asked) >= 2, "two looks")
        finally:
            for table in (banners, trackers):
                await table.stop()
        assert set(asked) <= {
            f"SELECT ({first}), ({second})"
            for first, second in permutations(f"SELECT version FROM {name}_version" for name in ("banners", "trackers"))
        }


async def test_a_version_that_cannot_be_read_hides_no_other(registered: Settings) -> None:
    async with create_pool(registered) as pool:
        asked = [module._version(pool, f"SELECT {text}") for text in ("7", "1 / 0", "9")]
        seven, failed, nine = await asyncio.gather(*asked, return_exceptions=True)
    assert (seven, nine) == (7, 9)
    assert isinstance(failed, asyncpg.DivisionByZeroError)


async def test_a_table_that_stops_while_versions_are_asked_for_stops_no_other(registered: Settings) -> None:
    async with create_pool(registered) as pool:
        leaving, staying = (asyncio.create_task(module._version(pool, f"SELECT {number}")) for number in (7, 9))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == 9
        assert leaving.cancelled()


# -- the table --------------------------------------------------------------------------------------------------------


async def test_banners_are_added_renamed_listed_and_removed(connection: Any) -> None:
    assert await banner_table.add(connection, [(3, "c"), (1, ""), (2, "b"), (2, "bb")]) == 3
    assert await banner_table.add(connection, [(3, "c"), (1, "a"), (2, "")]) == 1  # only 1 has changed
    rows = await banner_table.listed(connection)
    assert [(row.banner_id, row.name) for row in rows] == [(1, "a"), (2, "bb"), (3, "c")]
    assert all(row.created_at.tzinfo == UTC for row in rows)
    assert [row.banner_id for row in await banner_table.listed(connection, after=1, limit=1)] == [2]
    assert await banner_table.remove(connection, [1, 3, 99]) == 2
    assert [row.banner_id for row in await banner_table.listed(connection)] == [2]


@pytest.mark.parametrize("row", [(0, ""), (-1, ""), (BANNER_MAX + 1, ""), (7, "x" * 201), (7, "a\nb"), (7, "\0")])
async def test_what_the_table_cannot_hold_is_refused_and_nothing_is_added(
    connection: Any, row: tuple[int, str]
) -> None:
    with pytest.raises(ValueError, match="banner"):
        await banner_table.add(connection, [(1, "fine"), row])
    assert await banner_table.listed(connection) == []


async def test_many_banners_are_added_in_one_transaction(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_CHUNK", 10)
    assert await banner_table.add(connection, ((number, "") for number in range(1, 96))) == 95
    with pytest.raises(ValueError, match="no banner id"):
        await banner_table.add(connection, ((number, "") for number in range(150, -1, -1)))
    assert len(await banner_table.listed(connection)) == 95


# -- the registry of a worker -----------------------------------------------------------------------------------------


async def test_an_open_service_counts_every_banner_and_asks_nobody(tmp_path: Path) -> None:
    settings = Settings(database_url=f"postgresql:///none?host={tmp_path}")
    async with started(settings) as (banners, pool):
        assert (banners.gate, banners.is_loaded()) == (None, True)
        await banners.check(12345)
        assert await banners.refusals([1, 2, BANNER_MAX]) == {}
        assert pool.look_ups == 0


async def test_registered_banners_are_known_from_the_start(
    registered: Settings, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_ROWS", 2)
    await banner_table.add(connection, [(number, "") for number in range(1, 6)])
    async with started(registered) as (banners, pool):
        assert banners.is_loaded()
        assert banners.gate
        for number in range(1, 6):
            banners.gate(number)
            await banners.check(number)
        assert pool.look_ups == 0
        with pytest.raises(UnknownBanner):
            banners.gate(6)
        with pytest.raises(UnknownBanner):
            await banners.check(6)
        assert list(await banners.refusals([5, 6, 7])) == [6, 7]


async def test_the_gate_may_be_asked_from_another_thread(registered: Settings, connection: Any) -> None:
    await banner_table.add(connection, [(1, "")])
    async with started(registered) as (banners, _):
        assert banners.gate
        await asyncio.to_thread(banners.gate, 1)
        with pytest.raises(UnknownBanner):
            await asyncio.to_thread(banners.gate, 2)


async def test_a_banner_counts_at_its_first_click_after_it_was_added(registered: Settings, connection: Any) -> None:
    async with started(registered) as (banners, pool):
        await banner_table.add(connection, [(9, "")])
        await banners.check(9)
        assert banners.gate
        banners.gate(9)
        before = pool.look_ups
        await banners.check(9)
        assert pool.look_ups == before


async def test_a_change_is_noticed_without_a_click(registered: Settings, connection: Any) -> None:
    await banner_table.add(connection, [(1, ""), (2, "")])
    async with started(registered) as (banners, pool):
        await banner_table.remove(connection, [1])
        await banner_table.add(connection, [(3, "")])
        await until(lambda: [bool(banners.known(n)) for n in (1, 2, 3)] == [False, True, True])
        assert pool.look_ups == 0
        await connection.execute("TRUNCATE banners")
        await until(lambda: not (banners.known(2) or banners.known(3)))


async def test_l6_a_flood_of_invented_ids_costs_postgres_a_few_look_ups(
    registered: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ABSENT_S", 3600.0)
    async with started(registered) as (banners, pool):
        answers = await asyncio.gather(
            *(banners.check(number) for number in [*range(1, 3001), *range(1, 3001)]), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {UnknownBanner}
        assert pool.look_ups <= 5  # batches of 1,000, the first of which may be smaller
        before = pool.look_ups
        answers = await asyncio.gather(*(banners.check(n) for n in range(1, 3001)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {UnknownBanner}
        assert pool.look_ups == before  # a "no" is believed for a while


async def test_a_banner_that_was_refused_counts_soon_after_it_was_added(
    registered: Settings, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ABSENT_S", 3600.0)
    async with started(registered) as (banners, _):
        with pytest.raises(UnknownBanner):
            await banners.check(4)
        await banner_table.add(connection, [(4, "")])
        await until(lambda: banners.known(4))
        await banners.check(4)


async def test_l6_what_waits_and_what_is_remembered_of_a_flood_is_bounded(
    registered: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ABSENT_S", 3600.0)
    monkeypatch.setattr(module, "_ABSENT_MAX", 100)
    monkeypatch.setattr(module, "_WAITING_MAX", 500)
    async with started(registered) as (banners, _):
        refusals = await banners.refusals(range(1, 502))
        assert {type(error) for error in refusals.values()} == {Busy}
        refusals = await banners.refusals(range(1, 501))
        assert {type(error) for error in refusals.values()} == {UnknownBanner}
        assert len(banners._absent) == 100


async def test_a_start_does_not_need_postgres(registered: Settings, tmp_path: Path) -> None:
    before = failures()
    settings = Settings(banners="registered", database_url=f"postgresql:///none?host={tmp_path}")
    async with started(settings) as (banners, _):
        assert not banners.is_loaded()
        assert banners.gate
        with pytest.raises(PostgresUnavailable):
            banners.gate(1)
        with pytest.raises(PostgresUnavailable):
            await banners.check(1)
        await until(lambda: failures() >= before + 2)  # it goes on trying


async def test_while_postgres_is_away_known_banners_count_and_the_others_wait(
    registered: Settings, connection: Any, database: str, postgres_url: str
) -> None:
    await banner_table.add(connection, [(1, "")])
    name = urlsplit(database).path.removeprefix("/")
    admin = await asyncpg.connect(postgres_url)
    try:
        async with started(registered) as (banners, _):
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await admin.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            before = failures()
            await until(lambda: failures() > before)
            assert banners.gate
            banners.gate(1)
            await banners.check(1)
            with pytest.raises(PostgresUnavailable):
                await banners.check(2)
            assert banners.is_loaded()

            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            again = await asyncpg.connect(database)
            await banner_table.add(again, [(2, "")])
            await again.close()
            await until(lambda: banners.known(2))
            await banners.check(2)
    finally:
        await admin.close()


async def test_a_stop_leaves_nobody_waiting(registered: Settings) -> None:
    async with create_pool(registered) as pool:
        banners = Banners(registered, pool)
        await banners.start()
        waiting = [asyncio.create_task(banners.check(number)) for number in range(1, 4)]
        await asyncio.sleep(0)  # all of them have asked
        await banners.stop()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {PostgresUnavailable, UnknownBanner}
        with pytest.raises(PostgresUnavailable):
            await banners.check(9)
