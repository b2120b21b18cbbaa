"""What a worker reads from ClickHouse at a time, and what those are told that find no place."""

import asyncio

import pytest

from ingest.statistics.clickhouse_reads import Reads
from shared.errors import Busy
from shared.settings import Settings
from shared.stores.clickhouse import CLICKHOUSE_ERRORS
from tests.harness.subjects.analytics import asking

DAU = {"from": "2026-03-01", "to": "2026-03-01"}


async def test_who_finds_no_place_is_asked_to_come_back(clickhouse_settings: Settings) -> None:
    async with Reads(clickhouse_settings, most=1, patience_s=0.05) as reads, asking(reads) as service:
        assert (await service.get("/stats/dau", params=DAU)).status_code == 200
        slow = asyncio.create_task(reads.query("SELECT sleep(2)"))
        await asyncio.sleep(0)  # it has the place now
        answer = await service.get("/stats/dau", params=DAU)
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        await slow
        assert (await service.get("/stats/dau", params=DAU)).status_code == 200


async def test_who_waits_shortly_is_answered(clickhouse_settings: Settings) -> None:
    async with Reads(clickhouse_settings, most=1, patience_s=20) as reads:
        assert await asyncio.gather(*(reads.query(f"SELECT {number}") for number in range(5))) == [
            [(number,)] for number in range(5)
        ]


async def test_a_place_is_free_again_after_a_failure_and_after_somebody_left(clickhouse_settings: Settings) -> None:
    async with Reads(clickhouse_settings, most=1, patience_s=5) as reads:
        for _ in range(2):
            with pytest.raises(CLICKHOUSE_ERRORS):
                await reads.query("SELECT nothing")
        left = asyncio.create_task(reads.query("SELECT sleep(2)"))
        waiting = asyncio.create_task(reads.query("SELECT 2"))
        await asyncio.sleep(0)
        waiting.cancel()
        left.cancel()
        await asyncio.wait([left, waiting])
        assert await reads.query("SELECT 1") == [(1,)]


async def test_the_statements_say_whose_work_they_are(clickhouse_settings: Settings) -> None:
    async with Reads(clickhouse_settings) as reads:
        assert await reads.query("SELECT getSetting('workload')") == [("reads",)]
    async with Reads(clickhouse_settings, most=0, patience_s=0) as full:
        with pytest.raises(Busy):
            await full.query("SELECT 1")
