"""The stage of the record path: that of the counter, with the engine of ClickHouse behind its gateway, a log of one of
the two kinds, and proxies before them."""

import asyncio
import logging
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis

from aggregator.sink.audit import in_range
from shared.events.known_ids import Range
from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.record_log.accounting import TableAccount, accounts
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.record_log.record_log import BEGIN, Log, Position
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import clickhouse
from tests.chaos.clicks.stage import Stage
from tests.harness.kafka.broker import Broker
from tests.harness.process import free_port
from tests.harness.proxy import Proxy, to_port
from tests.harness.wait import until

PARTITIONS = 3
RECORDS_MAX = 20_000
#: Small, so that batches are many, bad records are searched for, and partitions change hands within seconds.
SETTINGS: dict[str, Any] = {
    "log_partitions": PARTITIONS,
    "log_records_max": RECORDS_MAX,
    "log_waiting_max": 200,
    "journal_bytes_max": 256 << 10,
    "sink_rows": 200,
    "sink_wait_s": 0.2,
    "sink_lease_s": 2,
    "clickhouse_timeout_s": 3,
}
#: Seconds until Kafka has to listen, and ClickHouse to answer.
_START_S = 60.0

_CURSORS = """
SELECT partition, next_offset, next_seq, stored, dead_lettered,
       (SELECT count(*) FROM processing_errors AS one
        WHERE (one.log, one.topic, one.partition, one.sink) = (at.log, at.topic, at.partition, at.sink)) AS letters
FROM sink_cursor AS at
WHERE log = $1 AND sink = 'tracker_events'
"""
_NEXT = "SELECT partition, next_offset, next_seq FROM sink_cursor WHERE log = $1 AND topic = $2 AND sink = $2"


class RecordStage(Stage):
    """See Stage. `log` is streams or kafka."""

    def __init__(self, folder: Path, seed: int, library: Path, *, log: str, crash: str = "", mutant: str = "") -> None:
        super().__init__(folder, seed, library, ack="redis", crash=crash, mutant=mutant, clickhouse=True)
        self.kind = log
        self.trackers = [uuid.UUID(int=(seed << 32) + number) for number in range(12)]
        self._broker: Broker | None = None
        self._clients: list[Any] = []
        self.settings = SETTINGS
        #: Records of each table that are in their places, and that a Redis which came back older has never heard of.
        self.forgotten = Counter[str]()

    async def prepare(self) -> None:
        """The tables, the trackers, and the log."""
        url = urlsplit(str(self.servers.clickhouse_url))
        assert url.port is not None
        await migrate_clickhouse(Settings(clickhouse_url=str(self.servers.clickhouse_url)))
        proxy = self.proxies["clickhouse"] = Proxy(to_port(url.port), self._chance)
        await proxy.start()
        proxied = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}")).geturl()
        self.settings = {**self.settings, "clickhouse_url": proxied}
        async with self.database() as connection:
            await connection.executemany("INSERT INTO trackers VALUES ($1, 'x')", [(one,) for one in self.trackers])
        if self.kind == "kafka":
            await self._prepare_kafka()
        self.tables = clickhouse.connect(Settings(clickhouse_url=str(self.servers.clickhouse_url)))
        self.log_client = self.make_log()

    async def _prepare_kafka(self) -> None:
        port = free_port()
        self._broker = await asyncio.to_thread(Broker, self.folder / "kafka", port)
        self._broker.launch()
        self.servers.processes["kafka"] = self._broker.process  # type: ignore[assignment]
        await asyncio.to_thread(self._broker.wait)
        proxy = self.proxies["kafka"] = Proxy(to_port(self._broker.faulty), self._chance)
        await proxy.start(port)
        self.settings = {**self.settings, "log_url": f"kafka://127.0.0.1:{port}"}

    def make_log(self) -> Log:
        """A client of the log, past the proxy."""
        if self._broker is not None:
            logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
            return KafkaLog(self._broker.address, PARTITIONS, RECORDS_MAX, timeout_s=3)
        client: Any = Redis.from_url(str(self.servers.redis_url), socket_timeout=2)
        self._clients.append(client)
        return StreamsLog(client, PARTITIONS, RECORDS_MAX)

    async def bring_back(self, name: str) -> None:
        """Start a server that is away, and wait until it answers."""
        if name == "kafka":
            await self._bring_back_kafka()
            return
        if name != "clickhouse":
            await super().bring_back(name)
            return
        if self.servers.processes[name].poll() is not None:
            self._data.kill_orphans("clickhouse")
            self.servers.launch(name)
        answers = self.servers._servers[name].answers

        def is_there() -> bool:
            try:
                return answers()
            except OSError:
                return False

        await until(is_there, "an answer of ClickHouse", _START_S)

    async def _bring_back_kafka(self) -> None:
        assert self._broker is not None
        if self._broker.process is None or self._broker.process.poll() is not None:
            self._broker.launch()
            self.servers.processes["kafka"] = self._broker.process  # type: ignore[assignment]
        await asyncio.to_thread(self._broker.wait)

    async def heal(self) -> None:
        """End all faults, and let every process start anew without crash points."""
        for name in ("clickhouse", "kafka") if self.kind == "kafka" else ("clickhouse",):
            self.proxies[name].calm()
            await self.bring_back(name)
        await super().heal()

    async def end(self) -> None:
        """Leave nothing behind, however it went."""
        for client in (getattr(self, "tables", None), *self._clients):
            if client is not None:
                await client.aclose()
        if hasattr(self, "log_client"):
            await self.log_client.close()
        broker = self.servers.processes.pop("kafka", None)
        if broker is not None:
            broker.kill()
            await asyncio.to_thread(broker.wait)
        await super().end()

    # -- what is where ---------------------------------------------------------------------------------------------

    async def books(self) -> dict[str, TableAccount]:
        """The accounts, past the proxies."""
        async with self.database() as connection:
            return await accounts(self.log_client, connection, self.folder / "service" / "journal")

    async def accepted(self) -> Counter[str]:
        """Rows of each table that the log knows of; where it has forgotten some, less their records."""
        return Counter({table: one.accepted for table, one in (await self.books()).items()})

    async def settle(self, patience_s: float = _START_S) -> bool:
        """Wait until every record is in its place; False when that does not come."""
        deadline = time.monotonic() + patience_s
        while any(one.in_flight != 0 or one.in_journals for one in (await self.books()).values()):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.1)
        return await super().settle(max(1.0, deadline - time.monotonic()))

    async def cursors(self) -> tuple[list[Any], Mapping[int, tuple[int, int]]]:
        """What the cursors say, and (rows, places in the log) that the table has below each of them."""
        async with self.database() as connection:
            rows = await connection.fetch(_CURSORS, self.kind)
        found = {}
        for row in rows:
            below = Range(row["partition"], *BEGIN, row["next_offset"], row["next_seq"])
            found[row["partition"]] = await in_range(self.tables, "tracker_events", below)
        return rows, found

    async def ends(self, topic: str) -> list[Position]:
        """The end of each partition now."""
        return [await self.log_client.end(topic, partition) for partition in range(PARTITIONS)]

    async def are_behind(self, topic: str, ends: Sequence[Position]) -> bool:
        """Whether the sink of the topic has moved its cursors to these ends, or further."""
        async with self.database() as connection:
            rows = await connection.fetch(_NEXT, self.kind, topic)
        found = {row["partition"]: Position(row["next_offset"], row["next_seq"]) for row in rows}
        return all(partition in found and found[partition] >= end for partition, end in enumerate(ends))

    async def rows(self) -> list[bytes]:
        """The address of each row."""
        return [str(url).encode() for (url,) in await self.tables.query("SELECT url FROM tracker_events")]

    async def places(self) -> tuple[int, int]:
        """Rows of the table, and places in the log that they come from."""
        [(rows, places)] = await self.tables.query(
            "SELECT count(), uniqExact(log_partition, log_offset, log_seq) FROM tracker_events"
        )
        return rows, places

    async def repeated(self) -> Sequence[Sequence[Any]]:
        """Addresses that stand in more than one row, and in how many: each was sent once."""
        return await self.tables.query(
            "SELECT url, count() AS rows FROM tracker_events GROUP BY url HAVING rows > 1 LIMIT 3"
        )

    async def events(self) -> Sequence[Sequence[Any]]:
        """Id and user of each row, merged or not."""
        return await self.tables.query("SELECT toString(event_id), user_id FROM events")

    async def repeated_events(self) -> Sequence[Sequence[Any]]:
        """Ids of events that stand in more than one row, and in how many."""
        return await self.tables.query(
            "SELECT toString(event_id) AS id, count() AS rows FROM events GROUP BY id HAVING rows > 1 LIMIT 3"
        )

    async def items(self) -> Sequence[tuple[str, int]]:
        """View and number of each row of items of pages."""
        return [(view, n) for view, n in await self.tables.query("SELECT toString(view), n FROM web_items")]

    async def repeated_items(self) -> Sequence[Sequence[Any]]:
        """Items of pages that stand in more than one row, and in how many."""
        return await self.tables.query(
            "SELECT (toString(view), n) AS name, count() AS rows FROM web_items GROUP BY name HAVING rows > 1 LIMIT 3"
        )

    async def letters(self) -> list[bytes]:
        """The record of each letter that was not sent again."""
        async with self.database() as connection:
            rows = await connection.fetch("SELECT raw FROM processing_errors WHERE replayed_at IS NULL")
        return [row["raw"] for row in rows]

    async def left_behind(self) -> list[str]:
        """See Stage; and journals."""
        journals = (self.folder / "service" / "journal").iterdir()
        return [*await super().left_behind(), *(path.name for path in journals)]


def versions(kind: str) -> dict[str, str]:
    """Of what only this stage has."""
    from importlib.metadata import version

    names = Counter({"chdb-core": 1, "clickhouse-connect": 1, "aiokafka": int(kind == "kafka")})
    java = {"java": shutil.which("java") or ""} if kind == "kafka" else {}
    return {name: version(name) for name in names.elements()} | java
