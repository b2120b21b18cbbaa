"""Hits by zone, users and machines, rankings and the list of trackers, asked of the real service."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse
from shared.uuid7 import NIL
from tests.harness.subjects.tracking import Tracking, add_tracker, tracking

ONE, OTHER, GONE = UUID(int=1), UUID(int=2), UUID(int=3)
#: Midnight of 29 March 2026 in Berlin, when its clocks go ahead.
MIDNIGHT = datetime(2026, 3, 28, 23, tzinfo=UTC)


def hit(tracker: UUID, minutes: float, user: UUID = NIL, is_bot: bool = False) -> dict[str, Any]:
    moment = MIDNIGHT + timedelta(minutes=minutes)
    row: dict[str, Any] = {"date": f"{moment:%Y-%m-%d}", "date_time": f"{moment:%Y-%m-%d %H:%M:%S.000}"}
    row |= {"event_id": str(UUID(int=round(minutes * 100) + 10**6)), "tracker_id": str(tracker), "ip": "::"}
    row |= {"user_id": str(user), "user_agent": "", "url": "", "value": "", "is_bot": is_bot}
    return row | {"log_partition": 0, "log_offset": 0, "log_seq": 0}


@pytest.fixture
async def service(
    tmp_path: Path,
    redis_client: "Redis",
    redis_url: str,
    database: str,
    clickhouse_settings: Settings,
    tables: ClickHouse,
) -> AsyncIterator[Tracking]:
    ann, bob = UUID(int=11), UUID(int=12)
    hits = [
        *(hit(ONE, 0, ann), hit(ONE, 30, ann), hit(ONE, 90, bob), hit(ONE, 91), hit(ONE, 92, is_bot=True)),
        *(hit(ONE, 23 * 60 - 1, ann), hit(ONE, 23 * 60, bob), hit(ONE, -1, bob)),
        *(hit(OTHER, n) for n in range(9)),
        hit(GONE, 5),
    ]
    await tables.insert("tracker_events", "\n".join(map(json.dumps, hits)).encode(), "hits")
    await add_tracker(database, ONE, "Spring sale")
    await add_tracker(database, OTHER, "über (all)")
    url = clickhouse_settings.clickhouse_url
    async with tracking(tmp_path, redis_url, database, clickhouse_url=url) as one:
        yield one


async def test_hits_their_users_and_machines_by_local_day_and_hour(service: Tracking) -> None:
    day = {"tracker_id": str(ONE), "from": "2026-03-29", "to": "2026-03-29", "tz": "Europe/Berlin"}
    answer = (await service.http.get("/stats", params=day)).json()
    assert answer == {**day, "count": 6, "users": 2, "bots": 1}
    answer = (await service.http.get("/stats", params=day | {"step": "day"})).json()
    bucket = {"timestamp": "2026-03-28T23:00:00Z", "count": 6, "users": 2, "bots": 1}
    assert (answer["count"], answer["users"], answer["bots"], answer["stats"]) == (6, 2, 1, [bucket])
    answer = (await service.http.get("/stats", params=day | {"step": "hour", "fill": "true"})).json()
    assert len(answer["stats"]) == 23  # the clocks go ahead
    found = [(one["count"], one["users"], one["bots"]) for one in answer["stats"]]
    assert found == [(2, 1, 0), (3, 1, 1), *[(0, 0, 0)] * 20, (1, 1, 0)]
    both = (await service.http.get("/stats", params=day | {"step": "day", "to": "2026-03-30"})).json()
    assert ([one["users"] for one in both["stats"]], both["users"]) == ([2, 1], 2)
    refused = await service.http.get("/stats", params=day | {"fill": "true"})
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "fill")


async def test_hits_are_files_too(service: Tracking) -> None:
    day = {"tracker_id": str(ONE), "from": "2026-03-29", "to": "2026-03-29", "tz": "Europe/Berlin"}
    lines = await service.http.get("/stats", params=day, headers={"accept": "text/csv"})
    assert lines.text.splitlines() == ["count,users,bots", "6,2,1"]
    lines = await service.http.get("/stats", params=day | {"step": "day"}, headers={"accept": "text/csv"})
    assert lines.text.splitlines() == ["timestamp,count,users,bots", "2026-03-28T23:00:00Z,6,2,1"]
    assert "tallybook-hits-day-20260329-20260329.csv" in lines.headers["content-disposition"]
    file = await service.http.get(
        "/stats", params=day | {"step": "day"}, headers={"accept": "application/vnd.apache.parquet"}
    )
    assert file.content[:4] == b"PAR1"


async def test_trackers_are_ranked_by_their_hits(service: Tracking) -> None:
    days = {"from": "2026-03-28", "to": "2026-03-30"}
    answer = (await service.http.get("/stats/trackers/top", params=days)).json()
    assert answer == {
        **days,
        "tz": "UTC",
        "trackers": [
            {"tracker_id": str(OTHER), "value": "über (all)", "count": 9, "users": 0, "bots": 0},
            {"tracker_id": str(ONE), "value": "Spring sale", "count": 8, "users": 2, "bots": 1},
            {"tracker_id": str(GONE), "count": 1, "users": 0, "bots": 0},
        ],
    }
    first = (await service.http.get("/stats/trackers/top", params=days | {"limit": 1})).json()
    assert first["trackers"] == answer["trackers"][:1]
    lines = await service.http.get("/stats/trackers/top", params=days, headers={"accept": "text/csv"})
    assert lines.text.splitlines()[2] == f"{ONE},Spring sale,8,2,1"
    for more, parameter in (({"limit": "0"}, "limit"), ({"to": "2027-03-30"}, "to"), ({"tz": "x"}, "tz")):
        refused = await service.http.get("/stats/trackers/top", params=days | more)
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, parameter)


async def test_trackers_are_listed_with_their_values_and_searched(service: Tracking) -> None:
    async def ids(**params: Any) -> list[str]:
        found: list[str] = []
        while True:
            answer = (await service.http.get("/trackers", params=params)).raise_for_status().json()
            found += [one["tracker_id"] for one in answer["trackers"]]
            if "next" not in answer:
                return found
            params["cursor"] = answer["next"]

    first = (await service.http.get("/trackers", params={"limit": 1})).json()["trackers"][0]
    assert (first["tracker_id"], first["value"]) == (str(ONE), "Spring sale")
    assert abs(datetime.fromisoformat(first["created_at"]) - datetime.now(UTC)) < timedelta(minutes=10)
    assert await ids() == await ids(limit=1) == [str(ONE), str(OTHER)]
    assert await ids(q="ÜBER (") == [str(OTHER)]
    assert await ids(q="SPRING") == [str(ONE)]
    assert await ids(q=str(OTHER).upper()) == [str(OTHER)]
    for params, status, parameter in (
        ({"limit": "0"}, 422, "limit"),
        ({"q": "\0"}, 422, "q"),
        ({"cursor": "x"}, 400, "cursor"),
        ({"ids": "1"}, 400, "ids"),
    ):
        refused = await service.http.get("/trackers", params=params)
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (status, parameter)
