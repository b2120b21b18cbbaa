"""Dead letters as messages of a Kafka topic, for programs that would rather read them there than in Postgres.

The letters of a batch and the position behind it, as an offset of the group `tallybook-letters-<sink>`, are one
transaction of Kafka. It is committed after the rows are in ClickHouse and before the cursor moves in Postgres. So
whoever repeats a batch asks the group first: what lies before its offset is in the topic already.

**When a transaction does not come to its end** (refused, cut off, no answer to the commit) nobody here knows whether it
counts. The producer is thrown away; a new one under the same transactional id makes Kafka abort what the former left
open and refuses it from then on; then the offset says whether the letters are there, and if not they are sent again.
Nothing is lost meanwhile: the cursor waits, and the rows that it waits with are known by their token.

Kafka's transactions are weaker than their name (before KIP-890 a late end of a transaction could hit the next one), so
nothing else stands on them: the books are in Postgres, and each message says which letter it is, in the header
`letter`. A reader that keeps those in mind and reads `read_committed` sees each letter once.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata

from shared.errors import LogUnavailable
from shared.record_log.cursors import Claim
from shared.record_log.dead_letters import DeadLetter, Place
from shared.record_log.kafka.connection import KAFKA_ERRORS, client_options, start_client, stop_client
from shared.record_log.record_log import RECORD_MAX_BYTES, Position
from shared.telemetry.metrics import LETTER_TRANSACTIONS

#: The error code of a topic that is there already (TOPIC_ALREADY_EXISTS).
_EXISTS = 36
#: Characters of a detail that travel with a letter.
_DETAIL_MAX = 200

log = structlog.get_logger()


class LetterTopic:
    """The topic, for all partitions that this process has. It connects at first use."""

    def __init__(self, servers: str, topic: str, timeout_s: float = 10.0) -> None:
        self._servers = servers
        self._topic = topic
        self._timeout_s = timeout_s
        self._is_made = False
        #: (sink, topic, partition) -> its producer, and the position before which all letters are in the topic.
        self._producers: dict[tuple[str, str, int], tuple[AIOKafkaProducer, Position]] = {}

    async def publish(self, claim: Claim, end: Position, letters: Sequence[DeadLetter]) -> None:
        """Have the letters of a batch in the topic, once, however often this is repeated with it. Raises
        LogUnavailable."""
        if not letters:
            return
        key = (claim.sink, claim.topic, claim.partition)
        try:
            async with asyncio.timeout(self._timeout_s):
                if key not in self._producers:
                    self._producers[key] = await self._begun(claim)
                producer, known = self._producers[key]
                missing = [letter for letter in letters if letter.record.position >= known]
                if missing:
                    await self._send(producer, claim, end, missing)
                    self._producers[key] = (producer, end)
        except KAFKA_ERRORS as error:
            await self._abandon(key)
            LETTER_TRANSACTIONS.labels("unknown").inc()
            log.warning("letters_unknown", partition=claim.partition, error=type(error).__name__)
            raise LogUnavailable from error
        except BaseException:
            await self._abandon(key)
            raise
        LETTER_TRANSACTIONS.labels("committed" if missing else "known").inc()

    async def close(self) -> None:
        """Drop all producers."""
        for key in list(self._producers):
            await self._abandon(key)

    async def _begun(self, claim: Claim) -> tuple[AIOKafkaProducer, Position]:
        """A producer that has ended whatever its predecessors left open; and only then, how far they came."""
        made, name = client_options(self._servers, self._timeout_s), f"{claim.sink}-{claim.topic}-{claim.partition}"
        admin = AIOKafkaAdminClient(**made)
        await start_client(admin, self._timeout_s)
        try:
            await self._make(admin)
            producer = AIOKafkaProducer(**made, transactional_id=f"tallybook-letters-{name}", acks="all")
            await start_client(producer, self._timeout_s)
            try:
                where = TopicPartition(claim.topic, claim.partition)
                found = await admin.list_consumer_group_offsets(_group(claim), partitions=[where])
            except BaseException:
                await stop_client(producer)
                raise
            return producer, Position(found[where].offset, int(found[where].metadata or 0))
        finally:
            await stop_client(admin)

    async def _make(self, admin: AIOKafkaAdminClient) -> None:
        """The topic, if it is missing. What it keeps, and for how long, is for the broker to say."""
        if self._is_made:
            return
        new = NewTopic(self._topic, 1, 1)
        new.replication_factor = -1  # the broker's default, which the constructor of aiokafka 0.14 refuses
        code = (await admin.create_topics([new])).topic_errors[0][1]
        if code not in (0, _EXISTS):
            raise for_code(code)()
        self._is_made = True

    async def _send(
        self, producer: AIOKafkaProducer, claim: Claim, end: Position, letters: Sequence[DeadLetter]
    ) -> None:
        await producer.begin_transaction()
        sent = []
        for letter in letters:
            record = letter.record
            value = record.value if len(record.value) <= RECORD_MAX_BYTES else None  # Postgres has it whole
            headers = [
                ("letter", str(Place("kafka", claim.topic, claim.partition, record.position, claim.sink)).encode()),
                ("reason", letter.reason.encode()),
                ("detail", letter.detail[:_DETAIL_MAX].encode(errors="backslashreplace")),
            ]
            sent.append(await producer.send(self._topic, value, record.key or None, headers=headers))
        await asyncio.gather(*sent)
        where = TopicPartition(claim.topic, claim.partition)
        await producer.send_offsets_to_transaction({where: OffsetAndMetadata(end.offset, str(end.seq))}, _group(claim))
        await producer.commit_transaction()

    async def _abandon(self, key: tuple[str, str, int]) -> None:
        """Throw a producer away. What it had open is aborted by the next one, or by Kafka's own time-out."""
        if one := self._producers.pop(key, None):
            with contextlib.suppress(*KAFKA_ERRORS):
                await stop_client(one[0])


def _group(claim: Claim) -> str:
    return f"tallybook-letters-{claim.sink}"
