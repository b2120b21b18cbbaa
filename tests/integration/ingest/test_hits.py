"""Hits of trackers, asked of the real service: one record per hit, and what its row says."""

import asyncio
import contextlib
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid1, uuid4

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis

from ingest.caches import cached_table as module
from ingest.caches.trackers import Trackers
from shared.errors import Busy, PostgresUnavailable, UnknownTracker
from shared.record_log.cursors import Cursors
from shared.settings import Settings
from shared.stores.clickhouse import connect as connect_to_clickhouse
from shared.stores.postgres import create_pool
from shared.uuid7 import NIL, uuid7
from tests.harness.counted_pool import counted
from tests.harness.proxy import Proxy, proxy, to_url
from tests.harness.subjects.tracking import BROWSER, PATIENCE_S, Tracking, add_tracker, tracking
from tests.harness.wait import until
from tests.integration.ingest import test_nginx as nginx

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
#: Fields of the row of a hit: the columns of the table without the place in the log.
COLUMNS = ["date", "date_time", "event_id", "tracker_id", "ip", "user_id", "user_agent", "url", "value", "is_bot"]
ORIGIN = "https://shop.example"
ATTRIBUTES = "Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"


@pytest.fixture(scope="module")
async def running(
    redis_url: str, module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Tracking]:
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    folder = tmp_path_factory.mktemp("tracker")
    async with tracking(folder, redis_url, module_database, track_origins=ORIGIN) as one:
        yield one


@pytest.fixture
async def tracker(module_database: str) -> UUID:
    """A tracker of this test alone, whose value is `Spring sale`."""
    one = uuid4()
    await add_tracker(module_database, one, "Spring sale")
    return one


async def hits_of(one: Tracking, tracker: UUID) -> list[dict[str, object]]:
    """Hits of a tracker by time: partitions of the log have no order among each other."""
    hits = [hit for hit in await one.hits() if hit["tracker_id"] == str(tracker)]
    return sorted(hits, key=lambda hit: str(hit["event_id"]))


def assert_problem(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert "no-store" in answer.headers["cache-control"]


# -- one hit -----------------------------------------------------------------------------------------------------------


async def test_a_hit_is_one_record_in_the_log_with_its_row(running: Tracking, tracker: UUID) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    answer = await running.track(tracker, params={"page": "/a b", "ä": "ü"})
    assert (answer.status_code, answer.content) == (204, b"")
    [hit] = await hits_of(running, tracker)
    assert list(hit) == COLUMNS
    moment = datetime.strptime(str(hit["date_time"]), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert before <= moment <= datetime.now(UTC)
    assert hit["date"] == str(hit["date_time"])[:10]
    assert UUID(str(hit["event_id"])).version == 7
    assert UUID(str(hit["event_id"])).int >> 80 == round(moment.timestamp() * 1000)
    assert hit["ip"] == "127.0.0.1"
    assert hit["user_agent"] == BROWSER
    assert hit["url"] == str(answer.request.url)
    assert (hit["value"], hit["is_bot"]) == ("Spring sale", False)
    assert answer.headers["set-cookie"] == f"user_id={hit['user_id']}; {ATTRIBUTES}"
    assert answer.headers["cache-control"] == "no-store, private"
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_the_row_fits_into_the_table(running: Tracking, tracker: UUID, clickhouse_settings: Settings) -> None:
    await running.track(tracker, params={"q": "a'b\\\"\u2028"})
    [hit] = await hits_of(running, tracker)
    row = json.dumps(hit | {"log_partition": 1, "log_offset": 2, "log_seq": 3})
    async with connect_to_clickhouse(clickhouse_settings) as clickhouse:
        await clickhouse.insert("tracker_events", row.encode(), "one")
        [[url, ip, value, moment]] = await clickhouse.query(
            "SELECT url, toString(ip), value, toString(date_time) FROM tracker_events"
        )
    assert (url, ip, value, moment) == (hit["url"], "::ffff:127.0.0.1", "Spring sale", hit["date_time"])


async def test_o5_a_beacon_and_a_pixel_are_hits_that_nobody_keeps(running: Tracking, tracker: UUID) -> None:
    beacon = await running.track(tracker, method="POST", content=b"whatever", headers={"content-type": "text/plain"})
    assert (beacon.status_code, beacon.content) == (204, b"")
    for headers in ({"content-encoding": "gzip"}, {"content-type": "multipart/form-data"}):
        large = await running.track(tracker, method="POST", content=b"x" * 65_536, headers=headers)
        assert (large.status_code, large.content) == (204, b"")
    larger = await running.track(tracker, method="POST", content=b"x" * 65_537)
    assert (larger.status_code, larger.json()["code"]) == (413, "too_large")
    pixel = await running.track(tracker, path="/track.gif")
    assert (pixel.status_code, len(pixel.content), pixel.content[:6]) == (200, 43, b"GIF89a")
    assert pixel.headers["content-type"] == "image/gif"
    assert "user_id=" in pixel.headers["set-cookie"]
    ahead = await running.track(tracker, path="/track.gif", method="HEAD")
    for answer in (beacon, pixel, ahead):
        assert answer.headers["cache-control"] == "no-store, private"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(await hits_of(running, tracker)) == 4


@pytest.mark.parametrize("path", ["/track", "/track.gif"])
async def test_b3_head_options_and_prefetches_are_no_hits(running: Tracking, tracker: UUID, path: str) -> None:
    assert (await running.track(tracker, path=path, method="HEAD")).status_code in (200, 204)
    assert (await running.track(tracker, path=path, method="OPTIONS")).status_code == 204
    ahead = [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
        ("purpose", "preview"),
        ("x-moz", "prefetch"),
    ]
    for name, value in [*ahead, ("x-purpose", "preview")]:
        answer = await running.track(tracker, path=path, headers={name: value})
        assert answer.status_code in (200, 204)
        assert "set-cookie" not in answer.headers
    assert await hits_of(running, tracker) == []


@pytest.mark.parametrize(
    ("user_agent", "is_bot"), [(GOOGLEBOT, True), ("curl/8.5.0", True), ("", True), (BROWSER, False)]
)
async def test_b2_machines_are_flagged_and_not_told(
    running: Tracking, tracker: UUID, user_agent: str, is_bot: bool
) -> None:
    answer = await running.track(tracker, headers={"user-agent": user_agent})
    assert answer.status_code == 204
    [hit] = await hits_of(running, tracker)
    assert (hit["user_agent"], hit["is_bot"]) == (user_agent, is_bot)


async def test_l5_a_user_agent_is_cut(running: Tracking, tracker: UUID) -> None:
    assert (await running.track(tracker, headers={"user-agent": "x" * 5000})).status_code == 204
    [hit] = await hits_of(running, tracker)
    assert hit["user_agent"] == "x" * 512


@pytest.mark.parametrize(
    ("query", "more"),
    [
        ("id=%s", {}),
        ("a=b&id=%s&c=%%2F+d&%%20", {"headers": {"cookie": f"a=b; user_id={uuid4()}", "origin": ORIGIN}}),
        ("id=%s&ü=ä€\U0001f600", {"headers": {"origin": "https://evil.example", "user-agent": GOOGLEBOT}}),
        ("id=%s", {"headers": {"sec-gpc": "1", "user-agent": ""}, "path": "/track.gif"}),
        ("id=%s", {"headers": {"x-forwarded-for": "6.6.6.6", "x-forwarded-host": "evil.example"}, "method": "POST"}),
    ],
)
async def test_a_hit_that_is_answered_at_once_is_as_any_other(
    running: Tracking, tracker: UUID, query: str, more: dict[str, Any]
) -> None:
    """Any `Purpose` leads around the short way, and only the long one has request ids."""
    await running.track(tracker)  # from now on its value is known
    await asyncio.sleep(0.002)
    target = more.get("path", "/track") + "?" + query.replace("%s", str(tracker)).replace("%%", "%")
    host = f"127.0.0.1:{running.port}"
    answers = []
    for extra in ({}, {"purpose": "x"}):
        headers = {"host": host, "user-agent": BROWSER} | more.get("headers", {}) | extra
        lines = [f"{more.get('method', 'GET')} {target} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
        answers.append(await exchanged(running.port, "\n".join(lines)))
        await asyncio.sleep(0.002)  # ids are ordered by milliseconds
    [_, *rows] = [hit for hit in await hits_of(running, tracker)]
    assert len(rows) == 2
    for row, (_, headers, _) in zip(rows, answers, strict=True):
        assert UUID(str(row.pop("event_id"))).version == 7
        assert str(row.pop("date_time"))[:10] == row["date"]
        if "cookie" not in more.get("headers", {}) and "sec-gpc" not in more.get("headers", {}):
            assert row["user_id"] in headers.pop("set-cookie")
            row.pop("user_id")
    assert rows[0] == rows[1]
    (status, plain, body), (other_status, other, other_body) = answers
    assert (status, body) == (other_status, other_body)
    assert "x-request-id" not in plain
    assert other.pop("x-request-id")
    assert {name: plain[name] for name in plain if name != "date"} == {
        name: other[name] for name in other if name != "date"
    }


@pytest.mark.parametrize("query", ["id=%s&%%69d=1", "id=%s&pid=1", "i%%64=%s"])
async def test_what_could_be_another_id_is_not_answered_at_once(running: Tracking, tracker: UUID, query: str) -> None:
    await running.track(tracker)
    answer = await running.http.get("/track?" + query.replace("%s", str(tracker)).replace("%%", "%"))
    assert "x-request-id" in answer.headers
    assert answer.status_code == (400 if "%%69" in query else 204)


async def exchanged(port: int, head: str) -> tuple[int, dict[str, str], bytes]:
    """One request as it stands, and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): text for name, _, text in (one.partition(": ") for one in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    writer.close()
    headers.pop("server", None)  # Granian's own
    return int(status.split()[1]), headers, body


# -- which tracker -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "1", "not-a-uuid", "0" * 32, "{%s}", "%s ", "%s%%00", "urn:uuid:%s", "%s&id=%s"])
async def test_what_is_no_uuid_is_malformed(running: Tracking, tracker: UUID, text: str) -> None:
    given = text.replace("%s", str(tracker)).replace("%%", "%")
    assert_problem(await running.http.get(f"/track?id={given}"), 400, "malformed")
    assert await hits_of(running, tracker) == []


async def test_a_tracker_that_is_missing_or_unknown_is_said_so(running: Tracking) -> None:
    assert_problem(await running.http.get("/track"), 400, "malformed")
    assert_problem(await running.track(uuid4()), 404, "unknown_tracker")
    assert_problem(await running.track(NIL), 404, "unknown_tracker")


async def test_an_id_may_be_written_in_capitals(running: Tracking, tracker: UUID) -> None:
    assert (await running.track(str(tracker).upper())).status_code == 204
    assert len(await hits_of(running, tracker)) == 1


async def test_a_hit_has_the_value_of_its_moment(running: Tracking, tracker: UUID, module_database: str) -> None:
    await running.track(tracker)
    await add_tracker(module_database, tracker, "Summer sale")

    async def is_summer() -> bool:
        await running.track(tracker)
        return (await hits_of(running, tracker))[-1]["value"] == "Summer sale"

    await until(is_summer, "the new value is used")
    assert (await hits_of(running, tracker))[0]["value"] == "Spring sale"


async def test_a_flood_of_unknown_ids_reaches_postgres_a_few_times(database: str) -> None:
    async with counted(Settings(database_url=database), Trackers) as (trackers, pool):
        unknown = [uuid4() for _ in range(500)]
        began = time.monotonic()
        for _ in range(4):
            answers = await asyncio.gather(*(trackers.value(one) for one in unknown * 4), return_exceptions=True)
            assert {type(answer) for answer in answers} == {UnknownTracker}
        # One look-up for all that wait, then none while the answer is believed.
        assert pool.look_ups <= 2 + (time.monotonic() - began) / module._ABSENT_S
        before, began = pool.look_ups, time.monotonic()
        while time.monotonic() - began < 1:
            with pytest.raises(UnknownTracker):
                await trackers.value(uuid4())
        assert pool.look_ups - before <= 1 + 1.2 / module._LOOK_UP_EVERY_S


async def test_what_is_remembered_of_unknown_ids_is_bounded(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ABSENT_MAX", 10)
    monkeypatch.setattr(module, "_WAITING_MAX", 50)
    async with counted(Settings(database_url=database), Trackers) as (trackers, _):
        answers = await asyncio.gather(*(trackers.value(uuid4()) for _ in range(80)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [UnknownTracker] * 50 + [Busy] * 30
        assert len(trackers._absent) <= 10


async def test_a_tracker_works_from_the_moment_at_which_it_was_added(database: str) -> None:
    async with counted(Settings(database_url=database), Trackers) as (trackers, _):
        one = uuid4()
        await add_tracker(database, one, "new")
        assert await trackers.value(one) == "new"


async def test_an_old_answer_of_a_look_up_replaces_no_newer_value(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.05)
    monkeypatch.setattr(module, "_LOOK_UP_S", 30)
    async with counted(Settings(database_url=database), Trackers) as (trackers, pool):
        one = uuid4()
        await add_tracker(database, one, "old")
        fetch, is_read = pool.fetch, asyncio.Event()

        async def slow(sql: str, *arguments: Any) -> Any:
            rows = await fetch(sql, *arguments)
            await is_read.wait()  # it is on its way while the table is read
            return rows

        pool.fetch = slow  # type: ignore[method-assign]
        asked = asyncio.create_task(trackers.value(one))
        await until(lambda: pool.look_ups, "the look-up")
        await add_tracker(database, one, "new")
        await until(lambda: trackers._values.get(one) == "new", "the table is read")
        is_read.set()
        await asked
        assert await trackers.value(one) == "new"


async def test_a_tracker_that_is_gone_is_unknown(database: str) -> None:
    one = uuid4()
    await add_tracker(database, one, "x")
    connection = await asyncpg.connect(database)
    async with counted(Settings(database_url=database), Trackers) as (trackers, _):
        assert await trackers.value(one) == "x"
        await connection.execute("DELETE FROM trackers")

        async def is_gone() -> bool:
            try:
                await trackers.value(one)
            except UnknownTracker:
                return True
            return False

        await until(is_gone, "the tracker is gone")
    await connection.close()


async def test_known_trackers_go_on_without_postgres(database: str, postgres_url: str) -> None:
    known = uuid4()
    await add_tracker(database, known, "x")
    name = urlsplit(database).path.removeprefix("/")
    admin = await asyncpg.connect(postgres_url)
    try:
        async with counted(Settings(database_url=database), Trackers) as (trackers, _):
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await admin.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await until(lambda: trackers._is_failing, "Postgres is missed")
            assert await trackers.value(known) == "x"
            with pytest.raises(PostgresUnavailable):
                await trackers.value(uuid4())
            assert trackers.is_loaded()
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


# -- who ---------------------------------------------------------------------------------------------------------------


async def test_o4_a_valid_cookie_is_kept_and_its_age_renewed(running: Tracking, tracker: UUID) -> None:
    mine = uuid7(1_700_000_000_000)
    older = uuid4()  # as other trackers make them
    cookies = {f"user_id={mine}": mine, f"a=b; user_id=junk; user_id={mine}; c=d": mine, f"user_id={older}": older}
    for header, user in cookies.items():
        answer = await running.track(tracker, headers={"cookie": header})
        assert answer.headers["set-cookie"] == f"user_id={user}; {ATTRIBUTES}"
    assert [hit["user_id"] for hit in await hits_of(running, tracker)] == list(map(str, cookies.values()))


# The fast and the slow way: a second header of one name is nothing for the front.
@pytest.mark.parametrize("more", [b"", b"X-A: 1\r\nX-A: 2\r\n"], ids=["plain", "relayed"])
async def test_headers_are_bytes_to_the_end(running: Tracking, tracker: UUID, more: bytes) -> None:
    mine = uuid7(time.time_ns() // 1_000_000)
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Prénom’s iPhone"
    lines = [
        f"GET /track?id={tracker} HTTP/1.1\r\nHost: t.example\r\nConnection: keep-alive\r\n".encode(),
        f"Cookie: city=東京; user_id={mine}\r\nUser-Agent: {agent}\r\nReferer: https://пример.рф/\r\n".encode(),
    ]
    # A header that says "prefetch" among bytes outside ASCII is still one.
    prefetch = [*lines, "Sec-Purpose: é;prefetch\r\n".encode()]
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    for request in (lines, lines, prefetch):
        writer.write(b"".join(request) + more + b"\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 204 "), answer
        assert (f"user_id={mine};".encode() in answer) == (request is not prefetch)
    writer.close()
    rows = await hits_of(running, tracker)
    assert [(row["user_id"], row["user_agent"], row["is_bot"]) for row in rows] == [(str(mine), agent, False)] * 2


@pytest.mark.parametrize(
    "forged",
    ["", "x", str(uuid1()), str(NIL), f"{uuid7(1)}x", str(uuid7(1)).upper()],
    ids=["empty", "short", "version_1", "nil", "longer", "capitals"],
)
async def test_o4_a_forged_cookie_is_replaced(running: Tracking, tracker: UUID, forged: str) -> None:
    answer = await running.track(tracker, headers={"cookie": f"user_id={forged}"})
    [hit] = await hits_of(running, tracker)
    assert UUID(str(hit["user_id"])).version == 7
    assert hit["user_id"] != forged
    assert answer.headers["set-cookie"].startswith(f"user_id={hit['user_id']}; ")


async def test_v1_global_privacy_control_is_counted_without_person(running: Tracking, tracker: UUID) -> None:
    mine = uuid7(1_700_000_000_000)
    answer = await running.track(tracker, headers={"sec-gpc": "1", "cookie": f"user_id={mine}"})
    assert answer.status_code == 204
    assert "set-cookie" not in answer.headers
    [hit] = await hits_of(running, tracker)
    assert (hit["user_id"], hit["ip"]) == (str(NIL), "127.0.0.0")


async def test_v1_do_not_track_counts_where_it_is_honoured(
    running: Tracking, tracker: UUID, redis_url: str, module_database: str, tmp_path: Path
) -> None:
    assert "set-cookie" in (await running.track(tracker, headers={"dnt": "1"})).headers
    settings = {"honour_dnt": True, "track_ip": "truncated"}
    more = {"cookie": "Domain=example.org; Max-Age=60; SameSite=Lax"}
    async with tracking(tmp_path, redis_url, module_database, **settings, **more) as other:
        assert "set-cookie" not in (await other.track(tracker, headers={"dnt": "1"})).headers
        answer = await other.track(tracker)
        *_, hit = await hits_of(other, tracker)
        assert hit["ip"] == "127.0.0.0"
        cookie = f"user_id={hit['user_id']}; Max-Age=60; Path=/; Domain=example.org; SameSite=Lax"
        assert answer.headers["set-cookie"] == cookie


# -- pages of other origins --------------------------------------------------------------------------------------------


async def test_o6_an_allowed_origin_may_read_the_answer(running: Tracking, tracker: UUID) -> None:
    for answer in (
        await running.track(tracker, headers={"origin": ORIGIN}),
        await running.track(uuid4(), headers={"origin": ORIGIN}),
    ):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://shop.example.evil", "http://shop.example"])
async def test_o6_another_origin_counts_and_reads_nothing(running: Tracking, tracker: UUID, origin: str) -> None:
    answer = await running.track(tracker, headers={"origin": origin})
    assert answer.status_code == 204
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["vary"] == "Origin"
    assert len(await hits_of(running, tracker)) == 1


async def test_o6_preflights(running: Tracking) -> None:
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    answer = await running.http.options("/track", headers={"origin": ORIGIN, **asking})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == "content-type"
    foreign = await running.http.options("/track", headers={"origin": "https://evil.example", **asking})
    assert not [name for name in foreign.headers if name.startswith("access-control")]


# -- behind a proxy ----------------------------------------------------------------------------------------------------


async def test_p1_p5_headers_of_a_stranger_do_not_count(running: Tracking, tracker: UUID) -> None:
    forged = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    answer = await running.track(tracker, headers=forged)
    [hit] = await hits_of(running, tracker)
    assert (hit["ip"], hit["url"]) == ("127.0.0.1", str(answer.request.url))


async def test_p2_address_and_url_are_right_behind_nginx(
    redis_url: str, module_database: str, tracker: UUID, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, module_database, trusted_proxies="127.0.0.1/32") as one:
        (tmp_path / "nginx").mkdir()
        async with nginx.running(tmp_path / "nginx", [one.port]) as port:
            target = f"/track?id={tracker}&x=%2Fa"
            forged = "X-Forwarded-For: 6.6.6.6\nX-Forwarded-Host: evil.example\nX-Forwarded-Proto: https\n"
            status, headers, _ = await nginx.exchange(
                port, f"GET {target} HTTP/1.1\nHost: t.example:{port}\nUser-Agent: {BROWSER}\n{forged}"
            )
        assert status == 204
        assert "user_id=" in headers["set-cookie"]
        [hit] = await hits_of(one, tracker)
        assert hit["url"] == f"http://t.example:{port}{target}"
        assert hit["ip"] == "127.0.0.1"
        # What nginx would say of a client elsewhere who speaks https to something in front of it.
        said = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "x-forwarded-host": "t.example"}
        await one.track(tracker, headers=said)
        *_, hit = await hits_of(one, tracker)
        assert (hit["ip"], hit["url"]) == ("203.0.113.9", f"https://t.example/track?id={tracker}")


# -- the log is away ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def way(redis_url: str) -> AsyncIterator[Proxy]:
    """The way to the log, which can be cut. Redis is empty at first."""
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    async with proxy(to_url(redis_url)) as one:
        yield one


def numbers(hits: list[dict[str, object]]) -> list[int]:
    """The parameter `n` of the hits."""
    return sorted(int(str(hit["url"]).rpartition("n=")[2]) for hit in hits)


async def test_hits_wait_in_the_journal_while_the_log_is_away_and_count_once(
    way: Proxy, redis_url: str, module_database: str, tracker: UUID, tmp_path: Path
) -> None:
    more = {"log_url": f"redis://127.0.0.1:{way.port}", "redis_timeout_s": 1}
    async with tracking(tmp_path, redis_url, module_database, **more) as one:
        await one.track(tracker, params={"n": 0})
        way.fail(deaf=True)  # what is sent arrives, and its answer does not
        first = asyncio.create_task(one.track(tracker, params={"n": 1}))
        await until(lambda: one.journals() > 0, "the journal is written")
        assert (await first).status_code == 204
        way.fail(away=True)
        answers = await asyncio.gather(*(one.track(tracker, params={"n": n}) for n in range(2, 100)))
        assert {answer.status_code for answer in answers} == {204}
        assert numbers(await hits_of(one, tracker)) == [0, 1]
        await until(lambda: is_degraded(one), "readiness says so")
        way.heal()
        await until(lambda: one.journals() == 0, "the journal is sent")
        assert numbers(await hits_of(one, tracker)) == list(range(100))
        await one.track(tracker, params={"n": 100})
        assert numbers(await hits_of(one, tracker)) == list(range(101))


@pytest.mark.parametrize("point", ["journal_written", "journal_synced", "append", "appended", "kill"])
async def test_a_killed_worker_leaves_a_journal_that_counts_once(
    way: Proxy, redis_url: str, module_database: str, tracker: UUID, tmp_path: Path, point: str
) -> None:
    more = {"log_url": f"redis://127.0.0.1:{way.port}", "redis_timeout_s": 0.5}
    environ = {} if point == "kill" else {"TALLYBOOK_CRASH": f"{point}=0.2"}
    acknowledged: set[int] = set()
    asked = itertools.count()

    async def hit(one: Tracking) -> None:
        number = next(asked)
        with contextlib.suppress(httpx2.TransportError):  # then nobody knows
            if (await one.track(tracker, params={"n": number})).status_code == 204:
                acknowledged.add(number)

    for _ in range(2):
        async with tracking(tmp_path, redis_url, module_database, environ, **more) as one:
            for fault in ({}, {"deaf": True}, {"away": True}, {}):
                way.heal()
                way.fail(**fault)
                for _ in range(2):
                    await asyncio.gather(*(hit(one) for _ in range(10)))
            for worker in one.workers():
                worker.send_signal(signal.SIGKILL)
    way.heal()
    async with tracking(tmp_path, redis_url, module_database) as one:  # the last life takes over what is left
        await until(lambda: one.journals() == 0, "the journals are sent")
        await until(lambda: len(list((tmp_path / "journal").glob("*.journal"))) == 2, "those of its topics are left")
        found = numbers(await hits_of(one, tracker))
    assert len(found) == len(set(found)), "a hit counts twice"
    assert acknowledged <= set(found), "an acknowledged hit is gone"


async def test_the_accounts_know_every_hit_wherever_it_is(
    way: Proxy, redis_url: str, module_database: str, tracker: UUID, tmp_path: Path
) -> None:
    more = {"log_url": f"redis://127.0.0.1:{way.port}", "redis_timeout_s": 1}
    async with tracking(tmp_path, redis_url, module_database, **more) as one:

        async def account() -> dict[str, int]:
            answer = await one.http.get("/accounting")
            assert answer.status_code == 200, answer.text
            records: dict[str, dict[str, int]] = answer.json()["records"]
            return records["accounted_for"]

        async with create_pool(Settings(database_url=module_database)) as pool:
            await Cursors(pool, "streams", "tests").register("hits", "accounted_for", 2)
        before = await account()
        await one.track(tracker)
        now = await account()
        assert now == {**before, "accepted": before["accepted"] + 1, "inFlight": before["inFlight"] + 1}
        way.fail(away=True)
        assert [(await one.track(tracker)).status_code for _ in range(4)] == [204] * 4
        assert_problem(await one.http.get("/accounting"), 503, "log_unavailable")
        way.heal()
        await until(lambda: one.journals() == 0, "the journal is sent")
        now = await account()
        assert now == {**before, "accepted": before["accepted"] + 5, "inFlight": before["inFlight"] + 5}
        assert (now["inJournals"], now["difference"]) == (0, before["difference"])


async def is_degraded(one: Tracking) -> bool:
    checks = (await one.http.get("/health/ready")).json()["checks"]
    return bool(checks["log"] == "degraded")


async def test_a_full_journal_is_503_and_nothing_of_it_is_counted(
    way: Proxy, redis_url: str, module_database: str, tracker: UUID, tmp_path: Path
) -> None:
    more = {"log_url": f"redis://127.0.0.1:{way.port}", "redis_timeout_s": 1, "journal_bytes_max": 5000}
    async with tracking(tmp_path, redis_url, module_database, **more) as one:
        await one.track(tracker, params={"n": 0})
        way.fail(away=True)
        taken, refused = [0], 0
        for number in range(1, 40):
            answer = await one.track(tracker, params={"n": number})
            if answer.status_code == 204:
                taken.append(number)
            else:
                assert_problem(answer, 503, "journal_full")
                assert int(answer.headers["retry-after"]) > 0
                refused += 1
        assert len(taken) > 2
        assert refused > 10
        assert one.journals() <= 5000
        way.heal()
        await until(lambda: one.journals() == 0, "the journal is sent")
        assert numbers(await hits_of(one, tracker)) == taken


async def test_l7_a_full_log_is_503(
    way: Proxy, redis_url: str, module_database: str, tracker: UUID, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, module_database, log_records_max=3) as one:
        statuses = [(await one.track(tracker)).status_code for _ in range(5)]
        assert statuses == [204] * 3 + [503] * 2
        assert_problem(await one.track(tracker), 503, "log_full")
        assert len(await hits_of(one, tracker)) == 3


# -- counts ------------------------------------------------------------------------------------------------------------


def event(tracker: UUID, moment: str, number: int) -> dict[str, object]:
    """A row as the sink stores it."""
    row = {"date": moment[:10], "date_time": moment, "event_id": str(uuid7(number)), "tracker_id": str(tracker)}
    row |= {"ip": "203.0.113.9", "user_id": str(NIL), "user_agent": "", "url": "", "value": "", "is_bot": False}
    return row | {"log_partition": 0, "log_offset": number, "log_seq": 0}


MOMENTS = [
    "2026-03-01 00:00:00.000",
    "2026-03-01 00:00:59.999",
    "2026-03-01 23:59:59.999",
    "2026-03-02 00:00:00.000",
    "2026-03-31 12:00:00.500",
    "2026-04-01 00:00:00.000",
]


async def test_counts_are_exact(
    redis_url: str, module_database: str, clickhouse_settings: Settings, tmp_path: Path
) -> None:
    tracker, other = uuid4(), uuid4()
    rows = [event(tracker, moment, number) for number, moment in enumerate(MOMENTS)] + [event(other, MOMENTS[0], 99)]
    async with connect_to_clickhouse(clickhouse_settings) as clickhouse:
        await clickhouse.insert("tracker_events", "\n".join(map(json.dumps, rows)).encode(), "one")
    url = clickhouse_settings.clickhouse_url
    async with tracking(tmp_path, redis_url, module_database, clickhouse_url=url) as one:

        async def asked(since: str, to: str, **more: str) -> dict[str, Any]:
            parameters = {"tracker_id": str(tracker), "from": since, "to": to} | more
            answer = await one.http.get("/stats", params=parameters)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        whole = {"tracker_id": str(tracker), "from": "2026-03-01", "to": "2026-03-31", "tz": "UTC"}
        whole |= {"count": 5, "users": 0, "bots": 0}
        assert await asked("2026-03-01", "2026-03-31") == whole
        for since, to, count in [
            ("2026-03-01", "2026-03-01", 3),
            ("2026-03-02", "2026-03-02", 1),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:59.999Z", 1),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:59.9990001Z", 2),
            ("2026-03-01T00:00:00.0001Z", "2026-03-02", 3),
            ("2026-03-02T01:00:00+01:00", "2026-03-31T12:00:00.500Z", 1),
            ("1970-01-01", "2200-12-31", 6),
            ("2025-01-01", "2025-12-31", 0),
        ]:
            assert (await asked(since, to))["count"] == count, (since, to)
        series = await asked("2026-03-01", "2026-04-01", step="day")
        assert (series["count"], series["step"]) == (6, "day")
        assert [(one["timestamp"], one["count"]) for one in series["stats"]] == [
            ("2026-03-01T00:00:00Z", 3),
            ("2026-03-02T00:00:00Z", 1),
            ("2026-03-31T00:00:00Z", 1),
            ("2026-04-01T00:00:00Z", 1),
        ]
        minutes = await asked("2026-03-01", "2026-03-01", step="minute")
        assert [one["count"] for one in minutes["stats"]] == [2, 1]
        for parameters, status in [
            ({"from": "2026-03-01"}, 400),
            ({"to": "2026-03-01"}, 400),
            ({"from": "2026-03-02", "to": "2026-03-01"}, 422),
            ({"from": "2026-02-30", "to": "2026-03-01"}, 400),
            ({"from": "2026-03-01T00:00:00", "to": "2026-03-01"}, 400),
            ({"from": "2026-03-01", "to": "2026-04-30", "step": "minute"}, 422),
            ({"from": "2026-03-01", "to": "2026-03-01", "step": "week"}, 422),
            ({"from": "2026-03-01", "to": "2026-03-01", "bannerIds": "1"}, 400),
        ]:
            answer = await one.http.get("/stats", params={"tracker_id": str(tracker)} | parameters)
            assert answer.status_code == status, (parameters, answer.text)
        # The other question of the same route.
        assert (await one.http.get("/stats", params={"bannerIds": "1,2"})).json()["total"] == 0
        assert (await one.http.get("/stats")).status_code == 400


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1/tallybook"])
async def test_counts_without_clickhouse_are_503(
    redis_url: str, module_database: str, tmp_path: Path, url: str
) -> None:
    async with tracking(tmp_path, redis_url, module_database, clickhouse_url=url, clickhouse_timeout_s=1) as one:
        parameters = {"tracker_id": str(uuid4()), "from": "2026-03-01", "to": "2026-03-01"}
        assert_problem(await one.http.get("/stats", params=parameters), 503, "clickhouse_unavailable")
