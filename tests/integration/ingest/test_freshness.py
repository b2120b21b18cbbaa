"""How far behind tables and minutes are, asked of the real service with real sinks."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tests.harness.subjects.events import EventStage, event
from tests.harness.subjects.tracking import Tracking, tracking
from tests.harness.wait import until


async def asked(service: Tracking) -> Any:
    return (await service.http.get("/freshness")).raise_for_status().json()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_table_is_fresh_until_the_oldest_record_that_waits(stage: EventStage) -> None:
    assert "events" not in (await asked(stage.service))["tables"]  # no sink was ever there
    await stage.settle()
    sent_after = datetime.now(UTC)
    assert await stage.statuses(event()) == ["accepted"]
    sent_before = datetime.now(UTC)
    assert await stage.statuses(event(), event()) == ["accepted"] * 2

    async def of_events() -> Any:
        return (await asked(stage.service))["tables"].get("events", {})

    async def is_waiting() -> bool:
        return bool((await of_events()).get("waiting") == 2)

    await until(is_waiting, "two records wait")
    found = await asked(stage.service)
    table = found["tables"]["events"]
    assert (table["state"], table["reason"]) == ("stopped", "no aggregator")
    until_ms = moment(table["freshUntil"])
    assert sent_after.replace(microsecond=sent_after.microsecond // 1000 * 1000) <= until_ms <= sent_before
    assert abs((moment(found["asOf"]) - until_ms).total_seconds() - table["oldestS"]) < 0.002
    async with stage.sink():
        await stage.drained()

        async def is_fresh() -> bool:
            return bool((await of_events())["waiting"] == 0)

        await until(is_fresh, "nothing waits")
        found = await asked(stage.service)
        table = found["tables"]["events"]
        assert (table["freshUntil"], table["oldestS"], table["state"]) == (found["asOf"], 0.0, "moving")
        assert "reason" not in table


async def test_a_sink_that_stands_still_says_why_and_nothing_of_its_records(stage: EventStage, database: str) -> None:
    async with stage.sink():
        await stage.drained()
        connection = await asyncpg.connect(database)
        await connection.execute("UPDATE sink_cursor SET trouble = '60: table default.events is gone, see u-1'")
        await connection.close()

        async def is_stopped() -> bool:
            return bool((await asked(stage.service))["tables"]["events"]["state"] == "stopped")

        await until(is_stopped, "it stands still")
        answer = await stage.service.http.get("/freshness")
        assert answer.json()["tables"]["events"]["reason"] == "60"
        assert "u-1" not in answer.text


async def test_an_entry_of_the_outbox_that_waits_is_behind_too(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO tallybook_outbox (event_type, environment, created_at)"
        " VALUES ('a', 'test', now() - interval '90 s')"
    )
    await connection.close()
    async with tracking(tmp_path, redis_url, database) as one:
        table = (await asked(one))["tables"]["event_log"]
        assert (table["waiting"], table["state"], table["reason"]) == (1, "stopped", "no relay")
        assert 89 < table["oldestS"] < 600


async def test_a_minute_that_is_over_grows_old_until_it_is_in_postgres(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database, minute_s=1) as one:
        assert (await asked(one))["minutes"] == {"oldestS": 0.0}
        assert (await one.http.post("/stats/42")).status_code == 204

        async def is_old() -> bool:
            return bool((await asked(one))["minutes"]["oldestS"] > 0.5)

        await until(is_old, "nobody flushes the minute")


async def test_without_a_store_nobody_can_say(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database, log_url="redis://127.0.0.1:1") as one:
        connection = await asyncpg.connect(database)
        await connection.execute(
            "INSERT INTO sink_cursor (log, topic, partition, sink) VALUES ('streams', 'hits', 0, 'tracker_events')"
        )
        await connection.close()
        answer = await one.http.get("/freshness")
        assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
