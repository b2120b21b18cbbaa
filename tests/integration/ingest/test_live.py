"""Streams of live clicks of the real service: what they send, what they cost, and how they end."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from aggregator.clicks.minutes import Minutes
from ingest.live.stream import BYTES_MOST
from shared.settings import Settings
from shared.stores.postgres import create_pool
from tests.harness.subjects.tracking import PATIENCE_S, Tracking, tracking
from tests.harness.wait import until


class Stream:
    """One open stream."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        """The next event: its name, and its data."""
        name = ""
        async for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        return "", None

    async def awaited(self, name: str, is_right: Callable[[Any], bool] = lambda data: True) -> Any:
        """The data of the next event of this name that is right."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found, data = await self.next()
                assert found, "the stream ended"
                if found == name and is_right(data):
                    return data


@asynccontextmanager
async def opened(one: Tracking, address: str = "127.0.0.1", **params: Any) -> AsyncIterator[Stream]:
    """A stream of a client of this address."""
    transport = httpx2.AsyncHTTPTransport(local_address=address)
    async with (
        httpx2.AsyncClient(base_url=one.http.base_url, transport=transport, timeout=PATIENCE_S) as client,
        client.stream("GET", "/stats/live", params=params) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer)


@pytest.fixture
async def service(redis_client: "Redis", redis_url: str, database: str, tmp_path: Path) -> AsyncIterator[Tracking]:
    async with tracking(tmp_path, redis_url, database) as one:
        yield one


def counts(data: Any) -> dict[int, list[int]]:
    return {banner: [count for _, count, _ in buckets] for banner, buckets in data["banners"]}


# -- what it sends -----------------------------------------------------------------------------------------------------


async def test_clicks_are_seen_as_they_come_with_their_whole_count(service: Tracking) -> None:
    for _ in range(3):
        assert (await service.http.post("/stats/42")).status_code == 204
    async with opened(service, bannerIds="42,43") as stream:
        headers = stream.answer.headers
        assert headers["content-type"] == "text/event-stream"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        first = await stream.awaited("counts")
        assert sum(counts(first)[42]) == 3
        assert [final for _, _, final in dict(first["banners"])[42]] == [False] * len(counts(first)[42])
        assert 43 not in counts(first)
        await service.http.post("/stats", json=[{"bannerId": 43, "count": 5}, {"bannerId": 44}])
        later = await stream.awaited("counts", lambda data: 43 in counts(data))
        assert (counts(later)[43], 44 in counts(later)) == ([5], False)
        read = (await service.http.get("/stats", params={"bannerIds": "42,43"})).json()
        assert read["total"] == 8


async def test_a_minute_that_becomes_final_is_sent_once_more(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    settings = Settings(redis_url=redis_url, database_url=database, data_dir=str(tmp_path), minute_s=1, grace_s=0.2)
    async with (
        tracking(tmp_path, redis_url, database, minute_s=1, grace_s=0.2) as one,
        create_pool(settings) as pool,
        opened(one, bannerIds=42) as stream,
    ):
        assert (await stream.awaited("counts"))["banners"] == []
        assert (await one.http.post("/stats/42")).status_code == 204
        frame = await stream.awaited("counts", lambda data: 42 in counts(data))
        [(begin, count, is_final)] = dict(frame["banners"])[42]
        assert (count, is_final) == (1, False)
        minutes = Minutes(settings, redis_client, pool)

        async def is_flushed() -> bool:
            return bool(await minutes.flush())

        await until(is_flushed, "the minute is in Postgres")
        frame = await stream.awaited("counts", lambda data: 42 in counts(data))
        assert dict(frame["banners"])[42] == [[begin, 1, True]]
        assert (await one.http.post("/stats/42")).status_code == 204
        frame = await stream.awaited("counts", lambda data: 42 in counts(data))
        assert begin not in [at for at, _, _ in dict(frame["banners"])[42]]  # what has not changed is not sent again


async def test_a_ranking_has_the_most_clicked_of_the_last_minutes(service: Tracking) -> None:
    items = [{"bannerId": banner, "count": banner} for banner in range(1, 6)]
    await service.http.post("/stats", json=items)
    async with opened(service, top=3, window=5) as stream:
        ranking = await stream.awaited("ranking")
        assert ranking["banners"] == [[5, 5], [4, 4], [3, 3]]
        begin, finish = (time.strptime(ranking[name], "%Y-%m-%dT%H:%M:%SZ") for name in ("tsFrom", "tsTo"))
        assert time.mktime(finish) - time.mktime(begin) == 300


async def test_a_store_that_is_away_is_said_and_the_stream_goes_on(service: Tracking, redis_client: "Redis") -> None:
    async with opened(service, bannerIds=42) as stream:
        await stream.awaited("counts")
        await redis_client.execute_command("CLIENT", "PAUSE", "4000", "ALL")
        trouble = await stream.awaited("trouble")
        assert (trouble["code"], trouble["retryAfter"] >= 1) == ("redis_unavailable", True)
        await stream.awaited("counts")  # it is back


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_l6_what_is_no_stream_is_refused(service: Tracking) -> None:
    many = ",".join(map(str, range(1, 102)))
    for params, status, parameter in (
        ({}, 400, "bannerIds"),
        ({"bannerIds": "1", "top": "1"}, 400, "bannerIds"),
        ({"bannerIds": "1", "window": "1"}, 400, "window"),
        ({"bannerIds": many}, 422, "bannerIds"),
        ({"top": "101"}, 422, "top"),
        ({"top": "1", "window": "61"}, 422, "window"),
        ({"top": "1", "step": "hour"}, 400, "step"),
    ):
        answer = await service.http.get("/stats/live", params=params)
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (status, parameter), params
    head = await service.http.head("/stats/live", params={"top": "1"})
    assert (head.status_code, head.content) == (200, b"")


async def test_l6_streams_and_their_banners_are_bounded_and_free_their_places(service: Tracking) -> None:
    async def refused(address: str = "127.0.0.1", **params: Any) -> str:
        transport = httpx2.AsyncHTTPTransport(local_address=address)
        async with httpx2.AsyncClient(base_url=service.http.base_url, transport=transport) as client:
            answer = await client.get("/stats/live", params=params)
            assert (answer.status_code, answer.json()["code"]) == (503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
            return str(answer.json()["detail"])

    def hundred(n: int) -> str:
        return ",".join(map(str, range(100 * n + 1, 100 * n + 101)))

    async with AsyncExitStack() as stack:
        for n in range(4):
            await stack.enter_async_context(opened(service, bannerIds=hundred(n)))
        assert "4 streams" in await refused(bannerIds=1)
        assert "400 banners" in await refused("127.0.0.2", bannerIds=1000)
        for n in range(4, 32):
            await stack.enter_async_context(opened(service, f"127.0.0.{n // 4 + 2}", bannerIds=hundred(n % 4)))
        assert "32 streams" in await refused("127.0.0.99", bannerIds=1)
    for _ in range(100):  # they are all free again, once the worker knows that their clients are gone
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(opened(service, bannerIds=1000))
            except AssertionError:
                await asyncio.sleep(0.05)
                continue
            assert (await stream.awaited("counts"))["banners"] == []
            return
    pytest.fail("no place became free")


async def test_a_stream_ends_by_its_lifetime_and_is_no_slow_request(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database, live_s=1.5) as one:
        async with opened(one, bannerIds=42) as stream:
            assert await stream.awaited("end") == {"reason": "lifetime"}
            assert await stream.next() == ("", None)
        again = await one.http.get("/stats/42")  # over the connection that the stream had
        assert again.status_code == 200


async def test_l7_a_client_that_never_reads_costs_a_bound_and_ends(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    banners = list(range(1, 101))
    async with tracking(tmp_path, redis_url, database, minute_s=1, live_slow_s=2) as one:
        [worker] = one.workers()
        stop = asyncio.Event()

        async def click() -> None:
            while not stop.is_set():
                await one.http.post("/stats", json=[{"bannerId": banner} for banner in banners])
                await asyncio.sleep(0.3)

        clicking = asyncio.create_task(click())
        query = ",".join(map(str, banners))
        transport_reader, writer = await asyncio.open_connection("127.0.0.1", one.port, limit=1)
        sock = writer.get_extra_info("socket")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        sock.setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
        before = worker.memory_info().rss
        writer.write(f"GET /stats/live?bannerIds={query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

        def ended() -> bool:
            return any(line["route"] == "/stats/live" for line in one.events("request"))

        try:
            await until(ended, "the stream ends")
        finally:
            stop.set()
            await clicking
        [line] = [line for line in one.events("request") if line["route"] == "/stats/live"]
        assert 0 < line["bytes"] <= BYTES_MOST
        assert worker.memory_info().rss - before < 32 << 20  # no frame waits beside what is bounded above
        assert not one.events("response_broken_off")
        writer.close()
        assert transport_reader is not None


# -- stopping ----------------------------------------------------------------------------------------------------------


async def test_l8_a_stop_with_ten_open_streams_ends_in_time(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    async with tracking(tmp_path, redis_url, database, drain_timeout_s=10) as one, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(opened(one, f"127.0.0.{n + 1}", bannerIds=42)) for n in range(10)]
        for stream in streams:
            await stream.awaited("counts")
        began = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        for stream in streams:
            assert await stream.awaited("end") == {"reason": "stopping"}
        assert await asyncio.to_thread(one.process.wait, 20) == 0
        assert time.monotonic() - began < 10
        assert not one.events("stop_timed_out")
