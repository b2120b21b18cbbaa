"""The two clients: `Client` for threads, `AsyncClient` for asyncio. They record alike and differ in how they wait."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from uuid import uuid4

from tallybook_sdk import calls, models
from tallybook_sdk.calls import Call
from tallybook_sdk.errors import NotConfigured
from tallybook_sdk.outbox.carried import trace_id
from tallybook_sdk.outbox.ids import forget, random_id_text
from tallybook_sdk.reading import Asking
from tallybook_sdk.records import (
    Click,
    Event,
    Id,
    Unsendable,
    click_entry,
    event_body,
    moment,
)
from tallybook_sdk.sending.batch import CLICKS, EVENTS, MINUTE_S, Route, weight_of
from tallybook_sdk.sending.courier import Rejected
from tallybook_sdk.sending.http import HttpTransport, Transport
from tallybook_sdk.sending.queue import Bounds, Store
from tallybook_sdk.sending.report import Report
from tallybook_sdk.sending.setup import Clock, OnFull, Setup
from tallybook_sdk.sending.worker import Worker
from tallybook_sdk.settings import VERSION, Key, service_url, spool_folder

P = ParamSpec("P")
T = TypeVar("T")

#: Moves with the version of the distribution.
_AGENT = f"tallybook-sdk-python/{VERSION}"
#: Threads in which an AsyncClient asks.
_HELPERS_MAX = 8
#: Bytes of an event that `upload` takes (docs/api.md).
_UPLOAD_BYTES_MAX = 5 << 20
#: Bytes that wait at most, in memory and in a spool.
_MEMORY_BYTES, _SPOOL_BYTES = 32 << 20, 256 << 20
#: Items of a batch: an answer to clicks names so many faults.
_BATCH_ITEMS_MAX = 1_000
#: What kinds of impressions there are.
ImpressionKind = Literal["served", "viewable"]


class _Recorder:
    """Record without waiting for the network. Nothing here raises for what is recorded: the report tells of it."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 10.0,
        on_full: OnFull = "drop",
        block_s: float = 1.0,
        on_reject: Callable[[Rejected], object] | None = None,
        spool: str | os.PathLike[str] | None = None,
        max_items: int = 50_000,
        max_bytes: int | None = None,
        batch_items: int = _BATCH_ITEMS_MAX,
        batch_bytes: int = 512 * 1024,
        batch_age_s: float = 1.0,
        exit_timeout_s: float = 2.0,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a client, without connecting. Raises NotConfigured without a usable URL, and ValueError.

        `url` and `api_key` default to TALLYBOOK_URL, and to TALLYBOOK_API_KEY or the file TALLYBOOK_API_KEY_FILE. With
        the URL `off` everything is dropped. `spool` (TALLYBOOK_SPOOL_DIR) is a folder whose records outlive a kill.
        `max_bytes` is 32 MiB of memory, or 256 MiB of a spool.
        """
        if on_full not in ("drop", "block", "raise"):
            raise ValueError(f"on_full has to be drop, block or raise, not {on_full!r}")
        if not 1 <= batch_items <= _BATCH_ITEMS_MAX:
            raise ValueError(f"batch_items has to be 1 to {_BATCH_ITEMS_MAX:,}, not {batch_items!r}")
        folder = spool_folder(spool)
        if max_bytes is None:
            max_bytes = _MEMORY_BYTES if folder is None else _SPOOL_BYTES
        if min(timeout_s, max_items, max_bytes, batch_bytes) <= 0 or min(block_s, batch_age_s, exit_timeout_s) < 0:
            raise ValueError("times and bounds have to be positive")
        address = service_url(url)
        bounds = Bounds(batch_items, batch_bytes, batch_age_s, max_items, max_bytes)
        self._key = Key(api_key, address)
        self._setup = Setup(
            url=address.url,
            headers=self._headers,
            renew=self._key.renew,
            bounds=bounds,
            timeout_s=timeout_s,
            exit_timeout_s=exit_timeout_s,
            on_full=on_full,
            block_s=block_s,
            on_reject=on_reject,
            transport=transport or HttpTransport(),
            clock=clock or time,
            is_far=not address.is_loopback,
            is_off=address.is_off,
            store=None if folder is None or address.is_off else _spooled(folder, bounds),
        )
        #: By process: a forked child gets a worker of its own, and the parent's stays as it is.
        self._workers = {os.getpid(): Worker(self._setup)}
        self._worker = self._workers[os.getpid()]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._setup.url!r}, {self._key!r})"

    def _mine(self) -> Worker:
        """Return the worker of this process."""
        worker = self._worker
        if worker.pid == (pid := os.getpid()):
            return worker
        if pid not in self._workers:  # a fork that Python was perhaps not told of
            worker.forked()
            forget()
            self._workers.setdefault(pid, Worker(self._setup, is_child=True))
        self._worker = self._workers[pid]
        return self._worker

    def _headers(self) -> dict[str, str]:
        return {"user-agent": _AGENT, "x-request-id": uuid4().hex, **self._key.header()}

    # -- recording -----------------------------------------------------------------------------------------------------

    def event(
        self,
        type: str,
        user_id: str | int,
        properties: Mapping[str, Any] | None = None,
        *,
        id: Id | None = None,
        at: datetime | None = None,
        trace: bool = False,
    ) -> str:
        """Record that somebody did something, now or `at` a moment. Return the event's id, which counts once for ever.

        NaN in `properties` becomes null. With `trace` the current trace goes along as the property `trace_id`.
        """
        worker = self._mine()
        name = random_id_text() if id is None else str(id)
        if trace and (current := trace_id()):
            properties = {**(properties or {}), "trace_id": current}
        try:
            when = moment(self._setup.clock.time()) if at is None else at
            body = event_body(name, type, user_id, properties, when, worker.bytes_max[EVENTS])
        except Unsendable as error:
            self._refuse(EVENTS, 1, {"event_id": name, "event_type": type}, error)
        else:
            worker.put_event(body)
        return name

    def click(self, banner: int, count: int = 1, *, id: str | None = None, at: datetime | None = None) -> None:
        """Record clicks of a banner, now or `at` a moment. With an `id` they count once within the service's window."""
        self._click(banner, count, id, at, "")

    def clicks(self, clicks: Mapping[int, int] | Iterable[Click]) -> None:
        """Record clicks of several banners: counts by banner, or Click objects."""
        if isinstance(clicks, Mapping):
            clicks = [Click(banner, count) for banner, count in clicks.items()]
        for one in clicks:
            self._click(one.banner, one.count, one.id, one.at, "")

    def impression(
        self,
        banner: int,
        kind: ImpressionKind = "viewable",
        count: int = 1,
        *,
        id: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Record that a banner was delivered (`served`) or seen (`viewable`)."""
        if kind not in ("served", "viewable"):
            raise ValueError(f"an impression is served or viewable, not {kind!r}")
        self._click(banner, count, id, at, kind)

    def _click(self, banner: int, count: int, id: str | None, at: datetime | None, kind: str) -> None:
        worker = self._mine()
        now, offset_s = self._setup.clock.time(), worker.offset_s
        if id is None and at is None and type(banner) is type(count) is int and count > 0:
            cell = (kind, banner, int((now + offset_s) // MINUTE_S), False)
            if worker.put_clicks(cell, count):
                return
        try:
            entry = click_entry(banner, count, id, at, kind, now, offset_s, worker.bytes_max[CLICKS])
        except Unsendable as error:
            self._refuse(CLICKS, weight_of(count), None, error)
        else:
            worker.put(entry)

    def _refuse(self, route: Route, weight: int, item: Any, error: Unsendable) -> None:
        self._mine().refuse(route, weight, Rejected(route.name, item, error.code, "", error.detail))

    def report(self) -> Report:
        """Return where every record is, at one moment. Its `difference` is 0."""
        return self._mine().report()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _asking(self, call: Call[T]) -> Asking[T]:
        if self._setup.is_off:
            raise NotConfigured("the URL is `off`: there is no service to ask")
        return Asking(self._setup, call, random.random)

    def _bodies(self, events: Iterable[Event]) -> list[bytes]:
        """Return the events as bodies of uploads. Raises Unsendable."""
        bodies: list[list[bytes]] = []
        room = 0
        now = moment(self._setup.clock.time())
        for one in events:
            name = random_id_text() if one.id is None else one.id
            body = event_body(name, one.type, one.user_id, one.properties, one.at or now, _UPLOAD_BYTES_MAX)
            if not bodies or len(bodies[-1]) >= _BATCH_ITEMS_MAX or len(body) > room:
                bodies.append([])
                room = self._setup.bounds.batch_bytes
            bodies[-1].append(body)
            room -= len(body) + 1
        return [b"[" + b",".join(items) + b"]" for items in bodies]


def _spooled(folder: Path, bounds: Bounds) -> Callable[[], Store]:
    """Return what opens the spool of a process. SQLite is loaded for those who want it."""

    def opened() -> Store:
        from tallybook_sdk.sending.spool import Spool

        return Spool(folder, bounds)

    return opened


def _blocking(call: Callable[P, Call[T]]) -> Callable[Concatenate["Client", P], T]:
    """Make a method that waits for the answer."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.ask(call(*args, **kwargs))

    return method


def _awaiting(call: Callable[P, Call[T]]) -> Callable[Concatenate["AsyncClient", P], Awaitable[T]]:
    """Make a method that awaits the answer."""

    @wraps(call)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.ask(call(*args, **kwargs))

    return method


class Client(_Recorder):
    """Record from any thread, and read. `docs/sdk/python.md` is the guide."""

    stats = _blocking(calls.stats)
    series = _blocking(calls.series)
    hits = _blocking(calls.hits)
    top = _blocking(calls.top)
    pages = _blocking(calls.pages)
    dau = _blocking(calls.dau)
    top_events = _blocking(calls.top_events)
    retention = _blocking(calls.retention)
    logs_page = _blocking(calls.logs)
    accounting = _blocking(calls.accounting)
    ready = _blocking(calls.ready)
    limits = _blocking(calls.limits)

    def logs(self, *, since: datetime, until: datetime, **parameters: Any) -> Iterator[models.LoggedEvent]:
        """Yield event logs of a range, the newest first, page by page. Parameters are those of `logs_page`."""
        while True:
            page = self.logs_page(since=since, until=until, **parameters)
            yield from page.events
            if not isinstance(page.next, str):
                return
            parameters["cursor"] = page.next

    def upload(self, events: Iterable[Event]) -> list[models.Result]:
        """Send events now, in batches, and return one result for each. For back-fills.

        Raises Unsendable before anything is sent, Problem or Unreachable in between. Events that name `id` and `at` may
        be uploaded again: each counts once.
        """
        results: list[models.Result] = []
        for body in self._bodies(events):
            results += self.ask(calls.upload(body)).results
        return results

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything that was recorded before is settled. Return False after the time-out."""
        return self._mine().flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Refuse new records, send what is here, and stop. What is left is in the report, or in the spool."""
        self._mine().close(timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, call: Call[T]) -> T:
        """Return the answer of a call of `calls`, or of one for a route without a method. Raises as reads do."""
        return self._asking(call).answer()


class AsyncClient(_Recorder):
    """Record from a coroutine without awaiting, and await reads, `flush` and `aclose`."""

    stats = _awaiting(calls.stats)
    series = _awaiting(calls.series)
    hits = _awaiting(calls.hits)
    top = _awaiting(calls.top)
    pages = _awaiting(calls.pages)
    dau = _awaiting(calls.dau)
    top_events = _awaiting(calls.top_events)
    retention = _awaiting(calls.retention)
    logs_page = _awaiting(calls.logs)
    accounting = _awaiting(calls.accounting)
    ready = _awaiting(calls.ready)
    limits = _awaiting(calls.limits)

    def __init__(self, url: str | None = None, api_key: str | None = None, **options: Any) -> None:
        """Make a client. Options are those of Client; `on_full="block"` would stop the loop and is a ValueError."""
        if options.get("on_full") == "block":
            raise ValueError("on_full='block' would stop the event loop: use drop or raise")
        super().__init__(url, api_key, **options)
        self._helpers: tuple[int, ThreadPoolExecutor] | None = None
        self._under_way: set[Asking[Any]] = set()

    async def logs(self, *, since: datetime, until: datetime, **parameters: Any) -> AsyncIterator[models.LoggedEvent]:
        """Yield event logs of a range, the newest first, page by page. Parameters are those of `logs_page`."""
        while True:
            page = await self.logs_page(since=since, until=until, **parameters)
            for event in page.events:
                yield event
            if not isinstance(page.next, str):
                return
            parameters["cursor"] = page.next

    async def upload(self, events: Iterable[Event]) -> list[models.Result]:
        """Send events now, in batches, and return one result for each, as `Client.upload` does."""
        results: list[models.Result] = []
        for body in self._bodies(events):
            results += (await self.ask(calls.upload(body))).results
        return results

    async def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything that was recorded before is settled. Return False after the time-out."""
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[bool] = loop.create_future()

        def settle(is_settled: bool) -> None:
            if not settled.done():
                settled.set_result(is_settled)

        def notify(is_settled: bool) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, is_settled)

        self._mine().when_settled(notify)
        try:
            return await asyncio.wait_for(settled, timeout_s)
        except asyncio.TimeoutError:
            return False

    async def aclose(self, timeout_s: float = 5.0) -> None:
        """Refuse new records, send what is here, and stop. What is left is in the report, or in the spool."""
        worker = self._mine()
        worker.refuse_more()
        try:
            await self.flush(timeout_s)
        finally:
            await asyncio.to_thread(worker.stop)
            for asking in list(self._under_way):
                asking.cancel()
            if self._helpers:
                self._helpers[1].shutdown(wait=False)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def ask(self, call: Call[T]) -> T:
        """Return the answer of a call of `calls`, or of one for a route without a method. Raises as reads do."""
        pid = os.getpid()
        if self._helpers is None or self._helpers[0] != pid:  # threads do not survive a fork
            self._helpers = pid, ThreadPoolExecutor(_HELPERS_MAX, "tallybook-sdk-read")
        asking = self._asking(call)
        self._under_way.add(asking)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._helpers[1], asking.answer)
        finally:
            asking.cancel()  # of no effect when it has its answer
            self._under_way.discard(asking)
