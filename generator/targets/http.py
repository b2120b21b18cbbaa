"""Send to the HTTP interface: views as events (`POST /events`), or as clicks on the pages' numbers (`POST /stats`).

The id of an item names run and event, and a duplicate has that of its original. So a request of unknown outcome is
retried, and the service counts its items once. Broken JSON is sent alone, because it fails the whole request.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import aiohttp
import msgspec
import structlog

from generator.ledger import Ledger
from generator.targets.sender import Patience, TargetUnusable
from generator.traffic.kinds import BROKEN_JSON
from generator.traffic.traffic import Message
from shared.telemetry.metrics import GENERATOR_ERRORS, GENERATOR_RETRIES, GENERATOR_SECONDS

#: Items of one request, and requests at the same time.
_ITEMS, _REQUESTS = 500, 8
#: Seconds until a request counts as failed.
_REQUEST_S = 30.0
#: Statuses after which the same request may be sent again; others are the last word.
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})

log = structlog.get_logger()


class HttpSender:
    """Send requests to one route."""

    def __init__(
        self, url: str, ledger: Ledger, run: str, patience: Patience, headers: dict[str, str] | None = None
    ) -> None:
        """Send to a URL that ends with /events or /stats."""
        self._url, self._ledger, self._run, self._patience = url, ledger, run, patience
        self._item = _click if url.endswith("/stats") else _event
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(_REQUESTS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = 0
        self.in_flight = 0
        self.retries = 0

    async def open(self) -> dict[int, int]:
        """See Sender."""
        timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=_REQUESTS))
        try:
            async with self._session.options(self._url):
                return {}
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self._session.close()
            raise TargetUnusable(f"{self._url} does not answer ({type(error).__name__}).") from error

    def post(self, messages: Sequence[Message], way: str) -> "asyncio.Future[None]":
        """See Sender. Requests of one way may overtake one another, unless the way waits for each."""
        self.in_flight += len(messages)
        task = asyncio.create_task(self._post(messages))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _post(self, messages: Sequence[Message]) -> None:
        alone = [[message] for message in messages if _is_broken(message)]
        good = [message for message in messages if not _is_broken(message)]
        requests = alone + [good[at : at + _ITEMS] for at in range(0, len(good), _ITEMS)]
        await asyncio.gather(*map(self._request, requests))

    async def _request(self, messages: list[Message]) -> None:
        async with self._turns:
            self._requests += 1
            number, began = self._requests, time.perf_counter()
            status, answer = await self._answered(self._body(messages), began)
            GENERATOR_SECONDS.observe(time.perf_counter() - began)
        results = _results(status, answer, len(messages))
        for index, (message, result) in enumerate(zip(messages, results, strict=True)):
            place = {"request": number, "index": index, "status": status, "result": result}
            outcome = {"rejected": "refused", "unknown": "unknown"}.get(result)
            if result == "rejected":
                GENERATOR_ERRORS.labels("refused").inc()
            self._ledger.note(message, msgspec.json.encode(place), outcome)  # type: ignore[arg-type]
        self.in_flight -= len(messages)

    def _body(self, messages: Sequence[Message]) -> bytes:
        if _is_broken(messages[0]):
            return b"[" + messages[0].value
        return msgspec.json.encode([self._item(self._run, message) for message in messages])

    async def _answered(self, body: bytes, began: float) -> tuple[int, bytes]:
        """Return status and body of the final response, or status 0 if it gave up."""
        assert self._session is not None  # noqa: S101 - for the type checker
        backoff = self._patience.backoff()
        while True:
            wait_s = 0.0
            try:
                async with self._session.post(self._url, data=body, headers=self._headers) as answer:
                    content = await answer.read()
                    if answer.status not in _AGAIN:
                        return answer.status, content
                    wait_s = _seconds(answer.headers.get("retry-after", ""))
                    reason = "full" if answer.status == 429 else "unavailable"
            except (aiohttp.ClientError, OSError, TimeoutError):
                reason = "unavailable"
            GENERATOR_ERRORS.labels(reason).inc()
            log.debug("generator_target_failing", reason=reason)
            if 0 < self._patience.give_up_s < time.perf_counter() - began:
                GENERATOR_ERRORS.labels("given_up").inc()
                return 0, b""
            await asyncio.sleep(min(max(wait_s, backoff.next_s()), self._patience.longest_wait_s))
            self.retries += 1
            GENERATOR_RETRIES.inc()

    async def missing(self, messages: Sequence[Message], ends: dict[int, int], ways: dict[str, str]) -> list[Message]:
        """See Sender. Return all: the service knows their ids."""
        return list(messages)

    async def close(self) -> None:
        """See Sender."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


def _is_broken(message: Message) -> bool:
    return message.kind == BROKEN_JSON


def _id(run: str, message: Message) -> str:
    """Return the id of an item, the same for a duplicate and its original."""
    number = message.number if message.of is None else message.of
    return str(uuid5(NAMESPACE_URL, f"tallybook-generator:{run}:{number}"))


def _event(run: str, message: Message) -> dict[str, Any]:
    view = msgspec.json.decode(message.value)
    at, user = view.pop("timestamp"), view.pop("user_id")
    return {
        "event_id": _id(run, message),
        "occurred_at": at,
        "user_id": user,
        "event_type": "page_view",
        "properties": view,
    }


def _click(run: str, message: Message) -> dict[str, Any]:
    """Return a click. An empty page becomes banner 0, a negative duration the count -1: both are to be rejected."""
    view = msgspec.json.decode(message.value)
    banner = int(view["page_id"].rpartition("-")[2] or 0)
    count = 1 if view["view_duration_ms"] >= 0 else -1
    return {"bannerId": banner, "count": count, "timestamp": view["timestamp"], "id": _id(run, message)}


def _results(status: int, answer: bytes, count: int) -> list[str]:
    """Return the outcome of each item: accepted, duplicate, rejected or unknown."""
    if status == 0:
        return ["unknown"] * count
    if not 200 <= status < 300:
        return ["rejected"] * count
    results = ["accepted"] * count
    try:
        told = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return results
    for index, item in enumerate(told.get("results", ())):
        results[item.get("index", index)] = item["status"]
    for index in told.get("duplicates", ()):
        results[index] = "duplicate"
    for fault in told.get("errors", ()):
        results[fault["index"]] = "rejected"
    return results


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0
