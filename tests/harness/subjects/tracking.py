"""The service as it is run, for tests of trackers: its process, its log, and its journals."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import psutil
from redis.asyncio import Redis

from shared.hit import TOPIC, text_of
from shared.record_log.deduplication import Mark
from shared.record_log.record_log import BEGIN, Limit
from shared.record_log.streams import StreamsLog
from tests.harness.preloaded import Forked, forked_service
from tests.harness.process import end, environ, free_port
from tests.harness.wait import until
from tests.harness.workers import workers_of

#: Seconds that anything here may take.
PATIENCE_S = 30.0
PARTITIONS = 2
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Tracking:
    """One running service with its stores."""

    def __init__(self, variables: dict[str, str], folder: Path, port: int, redis: "Redis") -> None:
        self.folder, self.port = folder, port
        self._variables, self._redis = variables, redis
        self.process = self._begun()
        self.http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, headers={"user-agent": BROWSER}
        )

    def _begun(self) -> Forked:
        return forked_service(self.folder / "log", self._variables)

    def supervise(self) -> None:
        """Start it again if it is gone: Granian gives up when a worker dies within seconds of its start."""
        if self.process.poll() is not None:
            self.process = self._begun()

    async def track(self, tracker: object, **more: Any) -> httpx2.Response:
        """One hit; `params` are added to its own."""
        params = {"id": str(tracker), **more.pop("params", {})}
        answer = await self.http.request(more.pop("method", "GET"), more.pop("path", "/track"), params=params, **more)
        self.http.cookies.clear()  # each test says itself what it sends
        return answer

    async def hits(self) -> list[dict[str, Any]]:
        """All hits in the log, each as often as a sink sees it."""
        found = []
        log = StreamsLog(self._redis, PARTITIONS, 100_000)
        for partition in range(PARTITIONS):
            reader, start, marks = log.reader(TOPIC, partition, "tests"), BEGIN, dict[str, Mark]()
            while (batch := await reader.read(start, marks, Limit(wait_s=0))).end != start:
                start, marks = batch.end, marks | batch.marks
                for record in batch.records:
                    found.append(json.loads(text_of(record.value)))
        return found

    def journals(self) -> int:
        """Bytes that wait in journals."""
        return sum(max(0, path.stat().st_size - 8) for path in (self.folder / "journal").glob("*.journal"))

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        return workers_of(self.process.pid)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log of this event."""
        lines = (self.folder / "log").read_bytes().splitlines()
        return [line for line in map(json.loads, (one for one in lines if one[:1] == b"{")) if line["event"] == name]


@asynccontextmanager
async def tracking(
    folder: Path, redis_url: str, database_url: str, crashing: dict[str, str] | None = None, **settings: object
) -> AsyncIterator[Tracking]:
    """`python -m ingest` with these settings, until the block ends."""
    port = free_port()
    values: dict[str, object] = {"redis_url": redis_url, "database_url": database_url, "data_dir": folder}
    values |= {"port": port, "workers": 1, "log_format": "json", "log_partitions": PARTITIONS} | settings
    variables = environ(**values) | (crashing or {})
    redis = Redis.from_url(redis_url)
    one = Tracking(variables, folder, port, redis)
    try:
        await until(lambda: is_live(one), "the start of the service")
        yield one
    finally:
        await one.http.aclose()
        await redis.aclose()
        await asyncio.to_thread(end, one.process, PATIENCE_S)


async def is_live(one: Tracking) -> bool:
    """Whether it answers."""
    assert one.process.poll() is None, (one.folder / "log").read_text()[-4000:]
    try:
        return (await one.http.get("/health/live")).status_code == 200
    except httpx2.TransportError:
        return False


async def add_tracker(database_url: str, tracker: UUID, value: str) -> None:
    """Add a tracker, or give it this value."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO trackers VALUES ($1, $2) ON CONFLICT (uuid) DO UPDATE SET value = EXCLUDED.value",
            tracker,
            value,
        )
    finally:
        await connection.close()
