"""Letters that wait, as the real service lists them: counts and places, and nothing of the records."""

from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tallybook.registries import api_keys
from tests.harness.subjects.tracking import Tracking, tracking

PERSON = "ann@example.org"
ADD = """
INSERT INTO processing_errors
    (log, topic, partition, log_offset, log_seq, sink, reason, detail, key, raw, version, created_at)
SELECT 'streams', $1, n % 3, $2::bigint + n, n, $3, $4, $5::text, $5::text::bytea, $5::text::bytea, 1,
    '2026-03-01T12:00:00Z'::timestamptz
FROM generate_series(1, $6::int) AS n
"""


async def filled(database: str) -> None:
    """Seven letters of two tables wait; two were settled."""
    connection = await asyncpg.connect(database)
    await connection.execute(ADD, "hits", 100, "tracker_events", "malformed", PERSON, 4)
    await connection.execute(ADD, "events", 200, "events", "252", PERSON, 3)
    await connection.execute(ADD, "events", 300, "events", "columns", PERSON, 2)
    await connection.execute(
        "UPDATE processing_errors SET replayed_at = now(), key = NULL, raw = NULL WHERE log_offset = 301;"
        "UPDATE processing_errors SET dropped_at = now(), key = NULL, raw = NULL WHERE log_offset = 302"
    )
    await connection.close()


async def paged(one: Tracking, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = (await one.http.get("/dead-letters", params=params)).raise_for_status()
        assert PERSON not in answer.text
        found += answer.json()["letters"]
        if "next" not in answer.json():
            return found
        params["cursor"] = answer.json()["next"]


async def test_q4_letters_are_counted_by_reason_and_listed_page_by_page(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database) as one:
        assert (await one.http.get("/dead-letters")).json() == {"counts": [], "letters": []}
        await filled(database)
        answer = (await one.http.get("/dead-letters", params={"limit": 1})).json()
        assert answer["counts"] == [
            {"table": "tracker_events", "reason": "malformed", "count": 4},
            {"table": "events", "reason": "252", "count": 3},
        ]
        every = await paged(one)
        assert [letter["offset"] for letter in every] == [203, 201, 202, 103, 101, 104, 102]
        assert every[0] == {
            "id": "streams/events/0/203-3/events",
            "table": "events",
            "reason": "252",
            "topic": "events",
            "partition": 0,
            "offset": 203,
            "created_at": "2026-03-01T12:00:00Z",
        }
        for limit in (1, 2, 3, 7, 1000):
            assert await paged(one, limit=limit) == every
        assert await paged(one, table="events", limit=2) == every[:3]
        assert await paged(one, table="nothing") == []
        page = (await one.http.get("/dead-letters", params={"limit": 1})).json()
        for params, status, parameter in (
            ({"limit": "0"}, 422, "limit"),
            ({"limit": "1001"}, 422, "limit"),
            ({"table": ""}, 422, "table"),
            ({"table": "a\0"}, 422, "table"),
            ({"cursor": "x"}, 400, "cursor"),
            ({"cursor": page["next"], "table": "events"}, 400, "cursor"),
            ({"settled": "true"}, 400, "settled"),
        ):
            refused = await one.http.get("/dead-letters", params=params)
            assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (status, parameter), params


async def test_letters_need_the_scope_admin(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database)
    reader = await api_keys.create(connection, "reads", ["stats:read", "logs:read"], None)
    admin = await api_keys.create(connection, "admin", ["admin"], None)
    await connection.close()
    async with tracking(tmp_path, redis_url, database, keys="required") as one:
        for key, status in ((reader, 403), (admin, 200)):
            headers = {"authorization": f"Bearer {key.text}"}
            assert (await one.http.get("/dead-letters", headers=headers)).status_code == status
