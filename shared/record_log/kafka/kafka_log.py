"""The record log in Apache Kafka. A key belongs to the partition that Kafka's own clients would take (murmur2).

**Appends once.** `enable_idempotence` covers what this client repeats by itself within the life of one producer: an
answer lost to a broken connection, a leader that moved. It ends with the producer, and a record whose answer never came
before a kill -9 would be stored a second time. Transactions would not change that without a list of what was committed
(their protocol has losses of its own before KIP-890). So each record carries its (seq, place, producer) in a header,
repeats *are* in the topic, and the readers drop them by the marks that they keep with their positions. What is promised
is therefore: **every sink of tallybook sees an append once, for ever**, however late its repeat comes; another program
that reads the topic has to look at the header `tallybook` itself. The three rules that make marks exact:

1. A producer sends the next seq only when the former is acknowledged; so what is new is always above its mark.
2. An append is sent in pieces that the broker stores whole or not at all (one record batch each), one after the other.
   Two at the same time could arrive in the wrong order, and the first one would then pass for a repeat.
3. After an outcome that is not known the client is thrown away: its late requests are repeats to everybody.

**Positions** live in Postgres. The group offsets that `note` commits only show lag to Kafka's tools; losing them loses
nothing. `auto_offset_reset` is none: a position that is gone is LogDamaged, never silently the next one.

**Topics** are made without retention: `trim` deletes behind the slowest sink instead. Whoever makes them by hand sets
`retention.ms=-1` and `retention.bytes=-1`. `min.insync.replicas` and the replication factor are the broker's defaults.
"""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, for_code
from aiokafka.partitioner import murmur2

from shared.errors import LogFull, LogUnavailable, TooLarge
from shared.record_log.entries import packed
from shared.record_log.kafka.connection import KAFKA_ERRORS, client_options, start_client, stop_client
from shared.record_log.kafka.reader import HEADER, KafkaReader, header
from shared.record_log.record_log import RECORD_MAX_BYTES, Position, Stock, check
from shared.stores.failures import WrongTopic

#: Bytes of one record batch. A broker takes 1,048,588 by default (`message.max.bytes`).
_BATCH_BYTES = RECORD_MAX_BYTES + 64_000
#: Seconds for which the ends of a partition are believed, when they only tell whether it is full.
_ENDS_S = 1.0
#: The error code of a topic that somebody else made meanwhile (TOPIC_ALREADY_EXISTS).
_EXISTS = 36

_POLICY = "cleanup.policy"
_TOPIC = {
    _POLICY: "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
}


class KafkaLog:
    """Topics of one cluster, each with the given number of partitions. It connects at first use."""

    name = "kafka"

    def __init__(
        self,
        servers: str,
        partitions: int,
        records_max: int,
        timeout_s: float = 10.0,
        *,
        topics: Mapping[str, int] | None = None,
    ) -> None:
        """A partition holds `records_max` records, or as many as `topics` says of its topic."""
        self._servers = servers
        self.partitions = partitions
        self._records_max = records_max
        self._topics = topics or {}
        self._timeout_s = timeout_s
        self._connecting = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._offsets: AIOKafkaConsumer | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        #: One append at a time to each partition: aiokafka's own queue gives up on whoever waits behind others.
        self._turns: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Partition -> records that may be appended until `_ENDS_S` are over, and the moment of the look.
        self._room: dict[TopicPartition, tuple[int, float]] = {}

    def partition_of(self, key: bytes) -> int:
        """See Log."""
        return int((murmur2(key) & 0x7FFFFFFF) % self.partitions)

    async def prepare(self, topic: str) -> None:
        """See Log. Makes the topic if it is missing."""
        with _translated():
            admin = await self._administration()
            new = NewTopic(topic, self.partitions, 1, topic_configs=_TOPIC)
            new.replication_factor = -1  # the broker's default, which the constructor of aiokafka 0.14 refuses
            async with asyncio.timeout(self._timeout_s):
                code = (await admin.create_topics([new])).topic_errors[0][1]
                if code not in (0, _EXISTS):
                    raise for_code(code)()
                about = (await admin.describe_topics([topic]))[0]
                is_compacted = code == _EXISTS and await _is_compacted(admin, topic)
        there = len(about["partitions"])
        if code == _EXISTS and there != self.partitions:
            raise WrongTopic(f"topic {topic} has {there} partitions, and TALLYBOOK_LOG_PARTITIONS is {self.partitions}")
        if is_compacted:
            raise WrongTopic(f"topic {topic} is compacted and would lose records: set cleanup.policy=delete")

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], *, producer: str, seq: int
    ) -> None:
        """See Log. Whether the partition is full is known to a second; it may grow a little beyond."""
        check(records, seq, self._most(topic))
        where = TopicPartition(topic, partition)
        with _translated():
            async with asyncio.timeout(self._timeout_s), self._turns[where]:
                await self._make_room(where, len(records))
                client = await self._produced()
                try:
                    await self._send(client, where, records, producer, seq)
                except BaseException:
                    self._abandon(client)
                    raise

    async def end(self, topic: str, partition: int) -> Position:
        """See Log."""
        with _translated():
            return Position((await self._ends(TopicPartition(topic, partition)))[1])

    async def stock(self, topic: str, partition: int, start: Position) -> Stock:
        """See Log. Kafka counts messages, each of which may hold several records."""
        with _translated():
            first, end = await self._ends(TopicPartition(topic, partition))
        return Stock(end, max(0, end - max(start.offset, first)))

    async def trim(self, topic: str, partition: int, before: Position, keep_s: float) -> None:
        """See Log."""
        where = TopicPartition(topic, partition)
        with _translated():
            first, end = await self._ends(where)
            limit = min(before.offset, end)
            if (end - first) * 2 < self._most(topic):
                limit = min(limit, await self._first_since(where, keep_s, end))
            if limit > first:
                admin = await self._administration()
                async with asyncio.timeout(self._timeout_s):
                    await admin.delete_records({where: RecordsToDelete(before_offset=limit)})
                self._room.pop(where, None)

    def reader(self, topic: str, partition: int, sink: str) -> KafkaReader:
        """See Log."""
        return KafkaReader(self._servers, TopicPartition(topic, partition), sink, self._timeout_s, self._ends)

    async def close(self) -> None:
        """See Log."""
        self._abandon(self._producer)
        for client in (self._offsets, self._admin):
            if client is not None:
                await stop_client(client)
        self._offsets = self._admin = None
        await asyncio.gather(*self._stopping, return_exceptions=True)

    # -- appending -------------------------------------------------------------------------------------------------

    async def _send(
        self,
        client: AIOKafkaProducer,
        where: TopicPartition,
        records: Sequence[tuple[bytes, bytes]],
        producer: str,
        seq: int,
    ) -> None:
        """Store one piece after the other, and wait for each."""
        entries, place = deque(packed(records)), 0
        while entries:
            piece = client.create_batch()
            while entries:
                key, value, held = entries[0]
                headers = [(HEADER, header(producer, seq, place))]
                if piece.append(key=key, value=value, timestamp=None, headers=headers) is None:
                    break
                place += held
                entries.popleft()
            piece.close()
            await (await client.send_batch(piece, where.topic, partition=where.partition))

    def _most(self, topic: str) -> int:
        return self._topics.get(topic, self._records_max)

    async def _make_room(self, where: TopicPartition, more: int) -> None:
        room, seen = self._room.get(where, (0, 0.0))
        if room < more or time.monotonic() - seen > _ENDS_S:
            first, end = await self._ends(where)
            room, seen = self._most(where.topic) - (end - first), time.monotonic()
        if room < more:
            self._room.pop(where, None)
            raise LogFull
        self._room[where] = (room - more, seen)

    def _abandon(self, client: AIOKafkaProducer | None) -> None:
        """Throw the producer away, with what is on its way. Its requests may still arrive: they are repeats then."""
        if client is not None and client is self._producer:
            self._producer = None
            task = asyncio.create_task(stop_client(client))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    # -- asking ----------------------------------------------------------------------------------------------------

    async def _ends(self, where: TopicPartition) -> tuple[int, int]:
        """Return the first offset that is there, and the one behind the last."""
        asked = await self._asked()
        try:
            async with asyncio.timeout(self._timeout_s):
                first, end = await asked.beginning_offsets([where]), await asked.end_offsets([where])
        except (KafkaTimeoutError, TimeoutError):  # all that aiokafka says of a topic that is not there
            await self._check_exists(where.topic)
            raise
        return first[where], end[where]

    async def _check_exists(self, topic: str) -> None:
        """Raise the broker's own error for a topic that it does not have, or does not let us see."""
        admin = await self._administration()
        async with asyncio.timeout(self._timeout_s):
            code = (await admin.describe_topics([topic]))[0]["error_code"]
        if code:
            raise for_code(code)(topic)

    async def _first_since(self, where: TopicPartition, keep_s: float, end: int) -> int:
        """Return the offset of the first record that is younger than `keep_s` seconds."""
        since = int((time.time() - keep_s) * 1000)
        asked = await self._asked()
        async with asyncio.timeout(self._timeout_s):
            found = await asked.offsets_for_times({where: since})
        return found[where].offset if found[where] is not None else end

    # -- clients ---------------------------------------------------------------------------------------------------

    async def _produced(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                made = client_options(self._servers, self._timeout_s)
                client = AIOKafkaProducer(**made, enable_idempotence=True, acks="all", max_batch_size=_BATCH_BYTES)
                await start_client(client, self._timeout_s)
                self._producer = client
            return self._producer

    async def _administration(self) -> AIOKafkaAdminClient:
        async with self._connecting:
            if self._admin is None:
                client = AIOKafkaAdminClient(**client_options(self._servers, self._timeout_s))
                await start_client(client, self._timeout_s)
                self._admin = client
            return self._admin

    async def _asked(self) -> AIOKafkaConsumer:
        """Return a consumer that reads nothing and is asked for offsets."""
        async with self._connecting:
            if self._offsets is None:
                made = client_options(self._servers, self._timeout_s)
                client = AIOKafkaConsumer(**made, enable_auto_commit=False, isolation_level="read_committed")
                await start_client(client, self._timeout_s)
                self._offsets = client
            return self._offsets


async def _is_compacted(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Return whether Kafka compacts the topic. False where we may not ask."""
    asked = ConfigResource(ConfigResourceType.TOPIC, topic, {_POLICY: None})
    entries = [
        entry for answer in await admin.describe_configs([asked]) for one in answer.resources for entry in one[4]
    ]
    return any(name == _POLICY and "compact" in (value or "") for name, value, *_ in entries)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MessageSizeTooLargeError as error:
        raise TooLarge("The broker takes no record of this size (message.max.bytes).") from error
    except KAFKA_ERRORS as error:
        raise LogUnavailable from error
