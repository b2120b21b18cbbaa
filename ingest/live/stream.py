"""One stream of server-sent events: frames of what changed, until a bound ends it.

A stream looks at the feed again only when its last frame has gone, so it holds one frame at most. It ends after 25 s or
256 KiB (`live_s` of the settings, and below), whatever was read of it: a client that never reads costs no more.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingest.http.access_log import BROKEN, OPEN, STREAMED
from ingest.http.openapi import EVENTS
from ingest.live.feed import Feed, Look, Ranked, Subscription, Wish
from shared.counting.reader import Point
from shared.runtime.tasks import end
from shared.telemetry.metrics import LIVE_FRAMES

#: Bytes of a stream.
BYTES_MOST = 256 << 10
#: Seconds without a frame after which a comment keeps proxies from closing: nginx waits 35 s.
KEEP_S = 15.0
#: Seconds that a frame may still take when the worker stops.
_STOP_S = 1.0
#: Bytes that the last frame takes: `end`.
_LAST = 128

_HEADERS = {
    "content-type": EVENTS,
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}


class Slow(Exception):
    """The client read nothing of a frame for too long, or it is gone."""


class Stream(Response):
    """The answer to one request. `who` names the key or address."""

    def __init__(self, feed: Feed, wish: Wish, who: str) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._feed, self._wish, self._who = feed, wish, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames until the stream ends. Raise Busy before anything is sent."""
        if scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        with self._feed.subscribed(self._wish, self._who) as place:
            scope[STREAMED] = OPEN
            gone = asyncio.create_task(_gone(receive, place.changed))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                frames = Frames(self._feed, place, send)
                await frames.send_all(gone)
            except Slow:
                scope[STREAMED] = BROKEN
            finally:
                await end(gone)


async def _gone(receive: Receive, changed: asyncio.Event) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    changed.set()


class Frames:
    """What one stream has sent."""

    def __init__(self, feed: Feed, place: Subscription, send: Send) -> None:
        self._feed, self._place, self._send = feed, place, send
        self._sent: dict[tuple[int, int], tuple[int, bool]] = {}
        self._ranked: Ranked | None = None
        self._is_first = True
        self._trouble: str | None = None
        self._bytes = 0

    async def send_all(self, gone: "asyncio.Task[None]") -> None:
        """Send frames until the client is gone, or the stream has to end. Raise Slow when nobody reads."""
        loop = asyncio.get_running_loop()
        over_at, keep_at = loop.time() + self._feed.lifetime_s, loop.time() + KEEP_S
        reason = ""
        while not reason and not gone.done():
            try:
                async with asyncio.timeout_at(min(over_at, keep_at)):
                    await self._place.changed.wait()
            except TimeoutError:
                pass
            self._place.changed.clear()
            if self._place.stopping.is_set():
                reason = "stopping"
            elif loop.time() >= over_at:
                reason = "lifetime"
            elif frame := self._frame(self._feed.look):
                reason = await self._put(*frame)
                keep_at = loop.time() + KEEP_S
            elif loop.time() >= keep_at:
                reason = await self._put("keep", b": keep\n\n")
                keep_at = loop.time() + KEEP_S
        if not gone.done():
            await self._put("end", _event("end", {"reason": reason}), is_last=True)

    async def _put(self, outcome: str, frame: bytes, *, is_last: bool = False) -> str:
        """Send one frame. Return why the stream has to end instead, if it has to. Raise Slow."""
        if not is_last and self._bytes + len(frame) + _LAST > BYTES_MOST:
            return "bytes"
        self._bytes += len(frame)
        message = {"type": "http.response.body", "body": frame, "more_body": not is_last}
        sending = asyncio.ensure_future(self._send(message))
        stopping = asyncio.create_task(self._place.stopping.wait())
        try:
            await asyncio.wait({sending, stopping}, timeout=self._feed.slow_s, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and stopping.done():
                await asyncio.wait({sending}, timeout=_STOP_S)
            if not sending.done():
                LIVE_FRAMES.labels("slow").inc()
                raise Slow
            sending.result()
        finally:
            await end(stopping, *([] if sending.done() else [sending]))
        LIVE_FRAMES.labels(outcome).inc()
        return ""

    # -- frames ----------------------------------------------------------------------------------------------------

    def _frame(self, look: Look | None) -> tuple[str, bytes] | None:
        """Return what is new to the client, and what it is called; None when nothing is."""
        if look is None:
            return None
        if look.trouble is not None:
            code = look.trouble.code
            if code == self._trouble:
                return None
            self._trouble = code
            return "trouble", _event("trouble", {"code": code, "retryAfter": look.trouble.retry_after_s})
        is_back, self._trouble = self._trouble is not None, None
        if self._place.wish.top:
            return self._ranking(look)
        if not self._place.wish.banners <= look.points.keys():  # the read was before this stream
            return None
        changed = self._changed(look.points)
        if not changed and not self._is_first and not is_back:
            return None
        self._is_first = False
        data = {"asOf": _text(look.as_of), "banners": changed}
        return "counts", _event("counts", data, round(look.as_of * 1000))

    def _changed(self, points: Mapping[int, list[Point]]) -> list[Any]:
        """Return the buckets that the client does not have as they are: of the first look, only those still open."""
        found = []
        kept: dict[tuple[int, int], tuple[int, bool]] = {}
        for banner in sorted(self._place.wish.banners):
            buckets = []
            for start, count, is_final in points.get(banner, ()):
                kept[banner, start] = count, is_final
                if self._is_first and is_final:
                    continue
                if self._sent.get((banner, start)) != (count, is_final):
                    buckets.append((_text(start), count, is_final))
            if buckets:
                found.append((banner, buckets[::-1]))
        self._sent = kept
        return found

    def _ranking(self, look: Look) -> tuple[str, bytes] | None:
        wish = self._place.wish
        ranked = look.rankings.get(wish.window)
        if ranked is None or ranked is self._ranked:
            return None
        self._ranked = ranked
        data = {
            "asOf": _text(ranked.as_of),
            "tsFrom": _text(ranked.start),
            "tsTo": _text(ranked.end),
            "banners": ranked.banners[: wish.top],
        }
        return "ranking", _event("ranking", data, round(ranked.as_of * 1000))


def _event(name: str, data: Any, number: int | None = None) -> bytes:
    """Return one event. JSON has no line breaks, so the data is one line."""
    identity = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), identity, msgspec.json.encode(data))


def _text(second: float) -> str:
    """Return epoch seconds as RFC 3339, to the millisecond where it is no whole second."""
    moment = datetime.fromtimestamp(second, UTC)
    if float(second).is_integer():
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
