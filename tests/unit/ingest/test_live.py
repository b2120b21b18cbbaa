"""One live stream over a feed in memory: what its frames hold, and every way in which it ends."""

import asyncio
import json
from typing import Any

import pytest

from ingest.live import stream as module
from ingest.live.feed import Feed, Look, Subscription, Wish
from ingest.live.stream import BYTES_MOST, Frames, Slow
from shared.errors import RedisUnavailable
from shared.settings import Settings

MINUTE = 1_772_366_400


class Client:
    """Takes frames until it is told to read no more."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Any]] = []
        self.size = 0
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.size += len(message["body"])
        for block in message["body"].decode().strip().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if lines:
                self.frames.append((lines["event"], json.loads(lines["data"])))


class Stage:
    """A stream that runs, and what it looks at."""

    def __init__(self, **fields: float) -> None:
        self.feed = Feed(Settings(**fields), None)  # type: ignore[arg-type]  # nothing is read
        self.place = Subscription(Wish(frozenset({42, 43})))
        self.client = Client()
        self.gone = asyncio.create_task(asyncio.Event().wait())
        self.frames = Frames(self.feed, self.place, self.client.send)
        self.running = asyncio.create_task(self.frames.send_all(self.gone))  # type: ignore[arg-type]

    async def show(self, *points: tuple[int, int, bool], trouble: Any = None) -> None:
        self.feed.look = Look(MINUTE + 30.5, {42: list(points), 43: []}, {}, trouble)
        self.place.changed.set()
        for _ in range(20):
            await asyncio.sleep(0)

    def sent(self) -> list[Any]:
        return [data["banners"] for name, data in self.client.frames if name == "counts"]

    def stop(self) -> None:
        self.place.stopping.set()
        self.place.changed.set()


async def test_frames_hold_what_changed_and_a_final_minute_once_more() -> None:
    stage = Stage()
    text = ["2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"]
    await stage.show((MINUTE - 60, 9, True), (MINUTE, 1, False))
    await stage.show((MINUTE - 60, 9, True), (MINUTE, 1, False))
    await stage.show((MINUTE - 60, 9, True), (MINUTE, 1, True), (MINUTE + 60, 2, False))
    await stage.show((MINUTE - 60, 9, True), (MINUTE, 1, True), (MINUTE + 60, 2, False))
    assert stage.sent() == [[[42, [[text[0], 1, False]]]], [[42, [[text[1], 2, False], [text[0], 1, True]]]]]
    stage.stop()
    await stage.running
    assert stage.client.frames[-1] == ("end", {"reason": "stopping"})


async def test_a_client_that_reads_nothing_gets_the_newest_when_it_reads_again() -> None:
    stage = Stage()
    await stage.show((MINUTE, 1, False))
    stage.client.reads.clear()
    for count in range(2, 50):
        await stage.show((MINUTE, count, False))
    stage.client.reads.set()
    await stage.show((MINUTE, 50, False))
    counts = [frame[0][1][0][1] for frame in stage.sent()]
    assert (counts[0], counts[-1], len(counts)) == (1, 50, 3)  # one frame was on its way
    stage.stop()
    await stage.running


async def test_a_frame_that_does_not_go_ends_the_stream() -> None:
    stage = Stage(live_slow_s=0.05)
    stage.client.reads.clear()
    await stage.show((MINUTE, 1, False))
    with pytest.raises(Slow):
        await stage.running


async def test_a_stop_does_not_wait_for_a_client_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_S", 0.01)
    stage = Stage()
    stage.client.reads.clear()
    await stage.show((MINUTE, 1, False))
    stage.stop()
    with pytest.raises(Slow):
        await asyncio.wait_for(stage.running, 5)


async def test_a_stream_ends_before_it_has_too_many_bytes() -> None:
    stage = Stage()
    for round_ in range(100_000):
        await stage.show(*((MINUTE - 60 * n, 10**15 + round_, False) for n in range(10)))
        if stage.running.done():
            break
    await stage.running
    assert stage.client.frames[-1] == ("end", {"reason": "bytes"})
    assert BYTES_MOST - 4096 < stage.client.size <= BYTES_MOST


async def test_a_trouble_is_said_once_and_its_end_by_a_frame() -> None:
    stage = Stage()
    await stage.show((MINUTE, 1, False))
    for _ in range(3):
        await stage.show((MINUTE, 1, False), trouble=RedisUnavailable())
    await stage.show((MINUTE, 1, False))
    assert [name for name, _ in stage.client.frames] == ["counts", "trouble", "counts"]
    assert stage.client.frames[1][1] == {"code": "redis_unavailable", "retryAfter": 1}
    stage.stop()
    await stage.running


async def test_a_quiet_stream_is_kept_open_and_a_lifetime_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_S", 0.01)
    stage = Stage(live_s=0.2)
    await stage.show((MINUTE, 1, False))
    await stage.running
    assert stage.client.size > len(b": keep\n\n") * 2
    assert [name for name, _ in stage.client.frames] == ["counts", "end"]
    assert stage.client.frames[-1][1] == {"reason": "lifetime"}
