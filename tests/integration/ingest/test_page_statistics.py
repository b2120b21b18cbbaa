"""`GET /stats/pages` of the real service, compared with what was sent; and the schema as it was first drawn, which was
wrong."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse
from shared.stores.clickhouse_errors import CLICKHOUSE_ERRORS
from shared.stores.postgres import create_pool
from tests.harness.subjects.events import EventStage
from tests.harness.subjects.page_stage import Stage
from tests.harness.subjects.pages import DAY_MS, HOUR_MS, MINUTE_MS, Sent, generate, view
from tests.harness.subjects.tracking import Tracking, tracking

pytestmark = pytest.mark.every_engine


@pytest.fixture
async def stage(redis_client: "Redis", database: str, tables: ClickHouse) -> AsyncIterator[Stage]:
    async with create_pool(Settings(database_url=database)) as pool:
        one = Stage(StreamsLog(redis_client, 3, 1_000_000), pool, tables)
        yield one
        await one.close()


@pytest.fixture
async def service(
    tmp_path: Path, redis_url: str, database: str, clickhouse_settings: Settings
) -> AsyncIterator[Tracking]:
    async with tracking(tmp_path, redis_url, database, clickhouse_url=clickhouse_settings.clickhouse_url) as one:
        yield one


async def asked(service: Tracking, **params: object) -> Any:
    """The answer, or the fields of the error."""
    answer = await service.http.get("/stats/pages", params={name.rstrip("_"): str(v) for name, v in params.items()})
    return answer.json()


def moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"


def sums(views: list[Sent]) -> dict[str, Any]:
    """What an answer has to say of views."""
    return {
        "views": len(views),
        "users": len({one.user for one in views}),
        "average_duration_ms": sum(one.duration for one in views) / len(views),
        "bounce_rate": sum(one.is_bounce for one in views) / len(views),
    }


async def test_views_are_merged_by_minute_by_hour_and_in_all(stage: Stage, service: Tracking) -> None:
    now = int(time.time() * 1000)
    for seed in range(5):  # several inserts of the same minutes
        await stage.append(generate(seed, 600, now))
    stage.sink()
    await stage.drained()
    await stage.check()
    since, until = now // HOUR_MS * HOUR_MS - 2 * HOUR_MS, now // HOUR_MS * HOUR_MS + HOUR_MS
    good = [one for one in stage.sent if one.kind in ("view", "repeat") and since <= one.ms < until]
    by_page = {page: sums([one for one in good if one.page == page]) for page in {one.page for one in good}}
    top = sorted(by_page, key=lambda page: (-by_page[page]["views"], page))
    for step, size_ms in (("minute", MINUTE_MS), ("hour", HOUR_MS)):
        answer = await asked(service, from_=moment(since), to=moment(until), step=step, limit=7)
        begins = sorted({one.ms // size_ms * size_ms for one in good})
        assert answer["total"] == pytest.approx(sums(good))
        assert [bucket["timestamp"] for bucket in answer["stats"]] == [moment(begin) for begin in begins]
        for bucket, begin in zip(answer["stats"], begins, strict=True):
            of = sums([one for one in good if begin <= one.ms < begin + size_ms])
            assert {name: bucket[name] for name in of} == pytest.approx(of)
        assert [place["page_id"] for place in answer["pages"]] == top[:7]
        for place in answer["pages"]:
            assert {name: place[name] for name in by_page[top[0]]} == pytest.approx(by_page[place["page_id"]])
        one = await asked(service, from_=moment(since), to=moment(until), step=step, page_id=top[0])
        assert one["total"] == pytest.approx(by_page[top[0]])
        assert (one["page_id"], "pages" in one) == (top[0], False)


async def test_a_range_is_compared_with_another(stage: Stage, service: Tracking) -> None:
    hour = int(time.time() * 1000) // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    former = (("a", -HOUR_MS), ("c", -1), ("d", -1))
    await stage.append([view(page, ms=hour + at) for page, at in (("a", 0), ("a", 1), ("b", 2), ("c", 3), *former)])
    stage.sink()
    await stage.drained()
    ends = {"from_": moment(hour), "to": moment(hour + HOUR_MS)}
    past = {"against_from": moment(hour - HOUR_MS), "against_to": moment(hour)}
    for step in ("minute", "hour"):
        answer = await asked(service, **ends, **past, step=step)
        assert [(one["page_id"], one["views"], one["before"]) for one in answer["pages"]] == [
            ("a", 2, 1),
            ("b", 1, 0),
            ("c", 1, 1),
        ]
        assert (answer["total"]["views"], answer["before"]["views"]) == (4, 3)
    one = await asked(service, **ends, **past, page_id="c")
    assert (one["total"]["views"], one["before"]["views"], "pages" in one) == (1, 1, False)
    assert "before" not in await asked(service, **ends)


async def test_a_range_is_widened_to_whole_buckets(stage: Stage, service: Tracking) -> None:
    hour = int(time.time() * 1000) // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    await stage.append([view(ms=hour), view(ms=hour + HOUR_MS - 1), view(ms=hour - 1), view(ms=hour + HOUR_MS)])
    stage.sink()
    await stage.drained()
    answer = await asked(service, from_=moment(hour + 2000), to=moment(hour + 3000))
    assert (answer["from"], answer["to"], answer["step"]) == (moment(hour), moment(hour + HOUR_MS), "hour")
    assert answer["total"]["views"] == 2


async def test_days_of_a_zone_are_whole_and_empty_ones_are_filled(stage: Stage, service: Tracking) -> None:
    zone = ZoneInfo("Europe/Berlin")
    today = datetime.now(zone).date()
    midnights = [
        int(datetime(*(today - timedelta(days=n)).timetuple()[:3], tzinfo=zone).timestamp()) * 1000 for n in (3, 2, 1)
    ]
    await stage.append(
        [view(ms=midnights[0]), view(ms=midnights[1] - 1), view(ms=midnights[0] - 1), view(ms=midnights[2])]
    )
    stage.sink()
    await stage.drained()
    days = {"from_": today - timedelta(days=3), "to": today - timedelta(days=1), "tz": "Europe/Berlin"}
    before = datetime.now(UTC)
    answer = await asked(service, **days, step="day", fill="true")
    assert (answer["from"], answer["to"]) == (moment(midnights[0]), moment(_next(midnights[2], zone)))
    assert [one["timestamp"] for one in answer["stats"]] == list(map(moment, midnights))
    assert [one["views"] for one in answer["stats"]] == [2, 0, 1]
    assert (answer["stats"][1]["users"], answer["total"]["views"], answer["tz"]) == (0, 3, "Europe/Berlin")
    assert before <= datetime.fromisoformat(answer["asOf"]) <= datetime.now(UTC)
    assert abs(datetime.fromisoformat(answer["freshUntil"]) - datetime.now(UTC)) < timedelta(minutes=1)
    bare = await asked(service, **days, step="day")
    assert [one["views"] for one in bare["stats"]] == [2, 1]
    params = {"from": str(days["from_"]), "to": str(days["to"]), "tz": "Europe/Berlin", "step": "day", "fill": "true"}
    file = await service.http.get("/stats/pages", params=params, headers={"accept": "text/csv"})
    lines = file.text.splitlines()
    assert lines[0] == "timestamp,views,users,average_duration_ms,bounce_rate"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [moment(at), views] for at, views in zip(midnights, "201", strict=True)
    ]
    assert "tallybook-as-of" in file.headers
    parquet = await service.http.get(
        "/stats/pages", params=params, headers={"accept": "application/vnd.apache.parquet"}
    )
    assert parquet.content[:4] == b"PAR1"


def _next(ms: int, zone: ZoneInfo) -> int:
    day = datetime.fromtimestamp(ms / 1000, zone).date() + timedelta(days=1)
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


async def test_a_range_without_views(module_stage: EventStage) -> None:
    nothing = {"views": 0, "users": 0, "average_duration_ms": 0.0, "bounce_rate": 0.0}
    answer = await asked(module_stage.service, from_="2020-01-01", to="2020-12-31")
    assert (answer["total"], answer["stats"], answer["pages"]) == (nothing, [], [])
    answer = await asked(module_stage.service, from_="2199-12-30", to="2199-12-31", page_id="' OR 1 --")
    assert (answer["total"], answer["page_id"]) == (nothing, "' OR 1 --")


@pytest.mark.parametrize(
    ("params", "code", "parameter"),
    [
        ({"to": "2026-01-01"}, "malformed", "from"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "invalid", "to"),
        ({"from": "2026-01-01", "to": "2026-01-01", "step": "week"}, "invalid", "step"),
        ({"from": "2016-01-01", "to": "2026-01-08", "step": "day"}, "invalid", "to"),
        ({"from": "2026-01-01", "to": "2026-01-01", "tz": "Asia/Kolkata"}, "invalid", "tz"),
        ({"from": "2026-01-01", "to": "2026-01-01", "tz": "Mars"}, "invalid", "tz"),
        ({"from": "2026-01-01", "to": "2026-01-01", "fill": "yes"}, "invalid", "fill"),
        ({"from": "2025-01-01", "to": "2026-01-02"}, "invalid", "to"),
        ({"from": "2026-01-01", "to": "2026-01-01", "limit": "0"}, "invalid", "limit"),
        ({"from": "2026-01-01", "to": "2026-01-01", "limit": "1001"}, "invalid", "limit"),
        ({"from": "2026-01-01", "to": "2026-01-01", "page_id": ""}, "invalid", "page_id"),
        ({"from": "2026-01-01", "to": "2026-01-01", "page_id": "x" * 513}, "invalid", "page_id"),
        ({"from": "2026-01-01", "to": "2026-01-01", "pageId": "x"}, "malformed", "pageId"),
        ({"from": "2026-01-01", "to": "2026-01-01", "against_to": "2025-12-31"}, "malformed", "against_from"),
        (
            {"from": "2026-01-01", "to": "2026-01-01", "against_from": "2025-12-31", "against_to": "2025-12-30"},
            "invalid",
            "against_to",
        ),
        (
            {"from": "2026-01-01", "to": "2026-01-01", "against_from": "2020-12-31", "against_to": "2025-12-30"},
            "invalid",
            "against_to",
        ),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    module_stage: EventStage, params: dict[str, str], code: str, parameter: str
) -> None:
    answer = await module_stage.service.http.get("/stats/pages", params=params)
    assert (answer.json()["code"], answer.json()["errors"][0]["parameter"]) == (code, parameter)


async def test_minutes_that_have_expired_are_refused_and_not_answered_by_half(module_stage: EventStage) -> None:
    week = datetime.now(UTC) - timedelta(days=7)
    for since, status in ((week + timedelta(minutes=2), 200), (week - timedelta(minutes=2), 422)):
        params = {"from": f"{since:%Y-%m-%dT%H:%M:%SZ}", "to": f"{datetime.now(UTC):%Y-%m-%d}", "step": "minute"}
        assert (await module_stage.service.http.get("/stats/pages", params=params)).status_code == status


async def test_a_service_without_clickhouse_says_so(tmp_path: Path, redis_url: str, database: str) -> None:
    params = {"from": "2026-01-01", "to": "2026-01-01"}
    async with tracking(tmp_path, redis_url, database) as one:
        assert (await one.http.get("/stats/pages", params=params)).json()["code"] == "clickhouse_unavailable"
    async with tracking(tmp_path, redis_url, database, clickhouse_url="http://127.0.0.1:1/x") as one:
        answer = await one.http.get("/stats/pages", params=params)
        assert (answer.status_code, answer.json()["code"]) == (503, "clickhouse_unavailable")


# -- the schema as it was first drawn ----------------------------------------------------------------------------------

_FIRST_RAW = (
    "CREATE TABLE first_raw (event_time DateTime64(3, 'UTC'), page_id String, user_id String, duration_ms UInt32,"
    " is_bounce UInt8) ENGINE = MergeTree ORDER BY (page_id, event_time)"
)
_FIRST_MINUTE = (
    "CREATE TABLE first_minute (minute DateTime('UTC'), page_id String, views AggregateFunction(sum, UInt64),"
    " users AggregateFunction(uniq, String), duration AggregateFunction(avg, UInt32))"
    " ENGINE = AggregatingMergeTree ORDER BY (page_id, minute)"
)
_FIRST_MINUTE_MV = (
    "CREATE MATERIALIZED VIEW first_minute_mv TO first_minute AS SELECT"
    " toDateTime(toStartOfMinute(event_time), 'UTC') AS minute, page_id, sumState({one}) AS views,"
    " uniqState(user_id) AS users, avgState(duration_ms) AS duration FROM first_raw GROUP BY minute, page_id"
)
_FIRST_HOUR = (
    "CREATE TABLE first_hour (hour DateTime('UTC'), page_id String, views UInt64, users UInt64, duration Float64)"
    " ENGINE = SummingMergeTree ORDER BY (page_id, hour)"
)
_FIRST_HOUR_MV = (
    "CREATE MATERIALIZED VIEW first_hour_mv TO first_hour AS SELECT toStartOfHour(minute) AS hour, page_id,"
    " {0}(views) AS views, {1}(users) AS users, {2}(duration) AS duration FROM first_minute GROUP BY hour, page_id"
)


def lines(views: list[Sent]) -> bytes:
    return b"".join(
        b'{"event_time":"%s","page_id":"%s","user_id":"%s","duration_ms":%d,"is_bounce":0}\n'
        % (f"{one.ms / 1000:.3f}".encode(), one.page.encode(), one.user.encode(), one.duration)
        for one in views
    )


async def test_parts_of_the_first_schema_cannot_even_be_made(tables: ClickHouse) -> None:
    """A sum of UInt8 is no sum of UInt64; states are merged, not summed; and the errors have no column to come from."""
    await tables.execute(_FIRST_RAW)
    await tables.execute(_FIRST_MINUTE)
    await tables.execute(_FIRST_HOUR)
    await tables.execute("CREATE TABLE first_errors (raw_message String) ENGINE = MergeTree ORDER BY tuple()")
    codes = []
    for statement in (
        _FIRST_MINUTE_MV.format(one=1),
        _FIRST_HOUR_MV.format("sum", "uniq", "avg"),
        "CREATE MATERIALIZED VIEW first_errors_mv TO first_errors AS SELECT raw_message FROM first_raw"
        " WHERE duration_ms <= 0",
    ):
        with pytest.raises(CLICKHOUSE_ERRORS) as caught:
            await tables.execute(statement)
        codes.append(caught.value.code)  # type: ignore[attr-defined]
    assert codes == [70, 43, 47]


async def test_what_is_left_of_the_first_schema_is_wrong_and_ours_is_right_on_the_same_rows(
    tables: ClickHouse, stage: Stage
) -> None:
    """Five batches of a hundred users whose every view takes 200 ms, and the first batch once more."""
    await tables.execute(_FIRST_RAW)
    await tables.execute(_FIRST_MINUTE)
    await tables.execute(_FIRST_MINUTE_MV.format(one="toUInt64(1)"))
    await tables.execute(_FIRST_HOUR)
    await tables.execute(_FIRST_HOUR_MV.format("sumMerge", "uniqMerge", "avgMerge"))
    hour = int(time.time() * 1000) // HOUR_MS * HOUR_MS - 2 * HOUR_MS
    stage.sink()
    for batch in range(5):
        views = [view("/a", f"u{n}", hour + batch * MINUTE_MS + n) for n in range(100)]
        await tables.insert("first_raw", lines(views), f"batch {batch}")
        await stage.append(views)
    await stage.drained()
    columns = "sum(views), sum(users), sum(duration)"
    for table in ("first_hour", "first_hour FINAL"):
        assert await tables.query(f"SELECT {columns} FROM {table}") == [(500, 500, 1000.0)]
    assert [tuple(one) for one in (await stage.sums("hour")).values()] == [(500, 0, 500 * 200, 100)]
    # A repeat of the first batch, as after a lost answer: nothing keeps it out of the first schema.
    first = [view("/a", f"u{n}", hour + n) for n in range(100)]
    await tables.insert("first_raw", lines(first), "batch 0")
    assert await tables.query("SELECT sum(views) FROM first_hour") == [(600,)]


async def test_a_negative_duration_is_not_seen_by_the_first_schema(tables: ClickHouse) -> None:
    """It becomes 49 days."""
    await tables.execute(_FIRST_RAW)
    await tables.execute("INSERT INTO first_raw (duration_ms) SELECT toInt32(-5)")
    assert await tables.query("SELECT duration_ms, countIf(duration_ms <= 0) FROM first_raw GROUP BY 1") == [
        (4_294_967_291, 0)
    ]


async def test_a_batch_sent_twice_counts_once_in_raw_minute_and_hour(tables: ClickHouse) -> None:
    now = int(time.time() * 1000) - DAY_MS
    rows = b"".join(
        b'{"event_time":"%d.000","page_id":"/a","user_id":"u","duration_ms":1,"is_bounce":true,"user_agent":"",'
        b'"ip_address":"::","region":"","processed_time":"1700000000.000","log_partition":0,"log_offset":%d,"log_seq":0}\n'
        % (now // 1000, n)
        for n in range(10)
    )
    for _ in range(2):
        await tables.insert("page_views_raw", rows, "one")
    for table, count in (("raw", "count()"), ("agg_minute", "sum(views)"), ("agg_hour", "sum(views)")):
        assert await tables.query(f"SELECT {count} FROM page_views_{table}") == [(10,)]
