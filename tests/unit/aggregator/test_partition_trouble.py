"""Readiness shows what stops a partition as long as it does, and no longer."""

from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from aggregator.delivery import waits
from aggregator.sink.configured_pipelines import PIPELINES
from aggregator.sink.partition import Partition, Stores
from shared.record_log.cursors import Claim
from shared.record_log.record_log import BEGIN, Limit


class Pool:
    """Postgres, which holds the notes that it was given, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.notes: list[str | None] = []

    async def execute(self, _: str, *arguments: Any) -> None:
        if self.is_away:
            raise ConnectionRefusedError
        self.notes.append(arguments[-1])


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(waits, "wait_s", lambda *_: 0.0)
    return Pool()


@pytest.fixture
def partition(pool: Pool) -> Partition:
    of: Any = SimpleNamespace(name="streams", reader=lambda *_: None)
    cursors: Any = SimpleNamespace(log="streams", pool=pool)
    share: Any = SimpleNamespace(claims={0: Claim("hits", 0, "tests", 1, BEGIN, None, {})})
    nowhere: Any = None
    return Partition(Stores(of, cursors, nowhere, Limit()), PIPELINES[0], share, 0)


async def works() -> None:
    """A step without a fault."""


async def test_a_step_that_works_at_once_hides_no_other_that_does_not(partition: Partition, pool: Pool) -> None:
    tries = 0

    async def step() -> None:
        nonlocal tries
        tries += 1
        await partition.patiently("clickhouse", works)
        if tries < 4:
            raise asyncpg.UndefinedTableError("no table")

    await partition.patiently("postgres", step)
    assert pool.notes == ["42P01: no table"] * 3 + [None]
    assert partition.trouble is None


async def test_a_trouble_that_is_overcome_while_postgres_is_away_is_forgotten_when_it_is_back(
    partition: Partition, pool: Pool
) -> None:
    async def step() -> None:
        if not pool.notes:
            raise asyncpg.UndefinedTableError("no table")
        pool.is_away = True

    await partition.patiently("log", step)
    assert pool.notes == ["42P01: no table"]
    pool.is_away = False
    await partition.patiently("log", works)
    await partition.patiently("log", works)
    assert pool.notes == ["42P01: no table", None]
