"""An aggregator with nothing to do asks little of its stores."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from shared.settings import Settings
from tests.harness.process import ROOT

#: Seconds of idleness, longer than the first accounts take, and seconds that are counted.
_SETTLE_S, _COUNTED_S = 8.0, 10.0
#: Commands (of scripts as well) and transactions a second of all its loops, with four partitions of each topic.
_REDIS, _POSTGRES = 90, 20


async def test_an_idle_aggregator_asks_little_of_its_stores(
    redis_url: str, database: str, clickhouse_settings: Settings, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "TALLYBOOK_DATA_DIR": str(tmp_path),
        "TALLYBOOK_REDIS_URL": redis_url,
        "TALLYBOOK_DATABASE_URL": database,
        "TALLYBOOK_CLICKHOUSE_URL": clickhouse_settings.clickhouse_url or "",
    }
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", "aggregator"), cwd=ROOT, env=environ)
    redis = Redis.from_url(redis_url)
    try:
        await asyncio.sleep(_SETTLE_S)
        before = await _redis_calls(redis), await _transactions(database)
        await asyncio.sleep(_COUNTED_S)
        after = await _redis_calls(redis), await _transactions(database)
        assert process.returncode is None
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await redis.aclose()
    calls, transactions = ((now - then) / _COUNTED_S for then, now in zip(before, after, strict=True))
    assert 0 < calls < _REDIS
    assert 0 < transactions < _POSTGRES


async def _redis_calls(redis: Any) -> int:
    """Commands so far, those that scripts called as well."""
    return int((await redis.info("stats"))["total_commands_processed"])


async def _transactions(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        return int(
            await connection.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        )
    finally:
        await connection.close()
