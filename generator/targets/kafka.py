"""Send to Kafka with librdkafka, which batches, retries and acknowledges in threads of its own.

Each message has a header `generator`, `<run> <number>`. `generator/traffic/partitioner.py` chooses partitions, so that
every client spreads alike. The idempotent producer keeps retries out of the topic. A resumed run reads the topic for
messages of unknown outcome.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from generator.ledger import Ledger
from generator.targets.sender import Patience, TargetUnusable
from generator.traffic.partitioner import Partitioner
from generator.traffic.traffic import Message
from shared.errors import TallybookError
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.telemetry.metrics import GENERATOR_ERRORS, GENERATOR_RETRIES, GENERATOR_SECONDS

HEADER = "generator"
#: Seconds between two looks for acknowledgements while there are none, and messages that are handed over between two.
_POLL_S, _PIECE = 0.001, 500
#: Seconds for a call that the broker has to answer.
_CALL_S = 10.0
#: Seconds for the first call of a transactional producer: a new cluster makes its topic of transactions then.
_FENCE_S = 60.0
#: One in so many messages is timed.
_TIMED = 64

log = structlog.get_logger()


class KafkaSender:
    """A producer of one topic."""

    def __init__(
        self,
        servers: str,
        topic: str,
        partitions: int,
        spread: Partitioner,
        ledger: Ledger,
        run: str,
        patience: Patience,
        *,
        linger_ms: float = 5.0,
        is_idempotent: bool = True,
        transaction: str | None = None,
        abort_ratio: float = 0.0,
        compression: str = "none",
    ) -> None:
        """Produce; with a transactional id `transaction` every post is a transaction.

        A share `abort_ratio` of the transactions is aborted once and sent again."""
        self._servers, self._topic, self._partitions = servers, topic, partitions
        self._spread, self._ledger, self._run, self._patience = spread, ledger, run, patience
        self._is_transactional, self._abort_ratio = transaction is not None, abort_ratio
        self._aborts = Random(f"{run} aborts")  # noqa: S311 - no secret
        self._options: dict[str, Any] = {
            "bootstrap.servers": servers,
            "acks": "all",
            "enable.idempotence": is_idempotent or transaction is not None,
            "linger.ms": linger_ms,
            "compression.type": compression,
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 131_072,
            "batch.num.messages": 10_000,
            "retry.backoff.ms": max(1, int(patience.first_wait_s * 1000)),
            "retry.backoff.max.ms": max(1, int(patience.longest_wait_s * 1000)),
            "reconnect.backoff.ms": max(1, int(patience.first_wait_s * 1000)),
            "reconnect.backoff.max.ms": max(1, int(patience.longest_wait_s * 1000)),
            "message.timeout.ms": int(patience.give_up_s * 1000),
            "statistics.interval.ms": 1000,
            "stats_cb": self._note_statistics,
            "error_cb": self._note_error,
            "log_level": 0,
        }
        if transaction is not None:
            self._options |= {"transactional.id": transaction, "message.timeout.ms": 0}
        self._positions = [b'{"partition":%d,"offset":%%d}' % number for number in range(partitions)]
        self._producer: Producer | None = None
        self._polling: asyncio.Task[None] | None = None
        self._transactions = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.retries = 0

    async def open(self) -> dict[int, int]:
        """See Sender. A missing topic is made as the record log makes it."""
        topics = KafkaLog(self._servers, self._partitions, 1, timeout_s=_CALL_S)
        try:
            await topics.prepare(self._topic)
            ends = {number: (await topics.end(self._topic, number)).offset for number in range(self._partitions)}
        except TallybookError as error:
            raise TargetUnusable(
                f"Kafka at {self._servers} does not answer ({error.code}): check its address and topic."
            ) from error
        except ValueError as error:
            raise TargetUnusable(f"{error}; set the number of its partitions.") from None
        finally:
            await topics.close()
        self._producer = Producer(self._options)
        if self._is_transactional:
            with _unusable("does not begin transactions"):
                await asyncio.to_thread(self._producer.init_transactions, _FENCE_S)
        self._polling = asyncio.create_task(self._poll())
        return ends

    def post(self, messages: Sequence[Message], way: str) -> "asyncio.Future[None]":
        """See Sender."""
        if self._is_transactional:
            task = asyncio.create_task(self._transact(messages))
            self.in_flight += len(messages)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return task
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.in_flight += len(messages)
        self._produce(messages, _Post(len(messages), done))
        return done

    def _produce(self, messages: Sequence[Message], post: "_Post") -> None:
        """Queue messages in librdkafka. It never blocks: the queue is longer than what may be in flight."""
        producer, topic, spread, settled = self._producer, self._topic, self._spread, self._settled
        assert producer is not None  # noqa: S101 - for the type checker
        produce, prefix = producer.produce, self._run + " "
        for message in messages:
            number, _, key, value, _ = message
            began = time.perf_counter() if number % _TIMED == 0 else 0.0
            while True:
                try:
                    produce(
                        topic,
                        value,
                        key,
                        spread(key, number),
                        partial(settled, message, post, began),
                        headers=[(HEADER, f"{prefix}{number}")],
                    )
                    break
                except BufferError:
                    producer.poll(0.01)

    def _settled(self, message: Message, post: "_Post", began: float, error: Any, sent: Any) -> None:
        """Take the outcome of a message, during `poll`."""
        if began:
            GENERATOR_SECONDS.observe(time.perf_counter() - began)
        if post.notes is not None:  # of a transaction, so nothing is settled before its end
            post.notes.append((message, None if error else self._position(sent)))
        elif error is None:
            self.in_flight -= 1
            self._ledger.note(message, self._position(sent))
        else:
            self.in_flight -= 1
            is_refused = error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
            GENERATOR_ERRORS.labels("refused" if is_refused else "given_up").inc()
            self._ledger.note(message, b"null", "refused" if is_refused else "unknown")
        post.left -= 1
        if not post.left and not post.done.done():
            post.done.set_result(None)

    def _position(self, sent: Any) -> bytes:
        position: bytes = self._positions[sent.partition()] % sent.offset()
        return position

    # -- transactions ----------------------------------------------------------------------------------------------

    async def _transact(self, messages: Sequence[Message]) -> None:
        """Repeat a transaction until it is committed. After an unknown outcome, call `commit_transaction` again."""
        backoff = self._patience.backoff()
        async with self._transactions:
            is_aborted = self._aborts.random() < self._abort_ratio
            while True:
                try:
                    notes = await self._attempt(messages)
                    if is_aborted:
                        is_aborted = False
                        await asyncio.to_thread(self._ended, "abort_transaction")
                        GENERATOR_ERRORS.labels("aborted").inc()
                        for message, position in notes:
                            self._ledger.note(message, position or b"null", "aborted")
                        continue
                    await asyncio.to_thread(self._ended, "commit_transaction")
                except KafkaException as error:
                    await self._recover(error.args[0])
                    await asyncio.sleep(backoff.next_s())
                    continue
                for message, position in notes:
                    self._ledger.note(message, position or b"null", None if position else "unknown")
                self.in_flight -= len(messages)
                return

    async def _attempt(self, messages: Sequence[Message]) -> "list[tuple[Message, bytes | None]]":
        assert self._producer is not None  # noqa: S101 - for the type checker
        self._producer.begin_transaction()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        post = _Post(len(messages), done, [])
        self._produce(messages, post)
        await done
        return post.notes or []

    def _ended(self, how: str) -> None:
        """Commit or abort, and ask again if the response is lost."""
        while True:
            try:
                getattr(self._producer, how)(_CALL_S)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
                self._count_retries(1)

    async def _recover(self, error: Any) -> None:
        """Abort if possible, else start a producer that fences the old one."""
        GENERATOR_ERRORS.labels("aborted").inc()
        log.warning("generator_transaction_failed", reason=error.name())
        if error.txn_requires_abort():
            with contextlib.suppress(KafkaException):
                await asyncio.to_thread(self._ended, "abort_transaction")
                return
        self._producer = Producer(self._options)
        with contextlib.suppress(KafkaException):  # then the next attempt fails, and this is done again
            await asyncio.to_thread(self._producer.init_transactions, _FENCE_S)

    # -- polling ---------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        """Let librdkafka call back in this thread."""
        while True:
            called = self._producer.poll(0) if self._producer is not None else 0
            await asyncio.sleep(0 if called else _POLL_S)

    def _note_statistics(self, text: str) -> None:
        sent_again = sum(broker["txretries"] for broker in json.loads(text)["brokers"].values())
        self._count_retries(max(0, sent_again - self.retries))

    def _count_retries(self, count: int) -> None:
        self.retries += count
        GENERATOR_RETRIES.inc(count)

    def _note_error(self, error: Any) -> None:
        GENERATOR_ERRORS.labels("unavailable").inc()
        log.debug("generator_target_failing", reason=error.name())

    # -- after a kill ----------------------------------------------------------------------------------------------

    async def missing(self, messages: Sequence[Message], ends: dict[int, int], ways: dict[str, str]) -> list[Message]:
        """See Sender. It reads the topic from where the run began."""
        doubted = {message.number: message for message in messages}
        if doubted:
            with _unusable("does not let the topic be read"):
                found = await asyncio.to_thread(self._find, set(doubted), ends)
            for number, position in found.items():
                self._ledger.note(doubted.pop(number), position)
        return list(doubted.values())

    def _find(self, numbers: set[int], ends: dict[int, int]) -> dict[int, bytes]:
        """Return number -> position of the messages in the topic."""
        options = {"bootstrap.servers": self._servers, "group.id": f"generator-{self._run}", "log_level": 0}
        reader = Consumer(options | {"enable.auto.commit": False, "isolation.level": "read_committed"})
        found: dict[int, bytes] = {}
        try:
            bounds = self._bounds(reader)
            begins = {number: max(low, ends.get(number, 0)) for number, (low, _) in bounds.items()}
            waiting = {number for number, (_, high) in bounds.items() if begins[number] < high}
            reader.assign([TopicPartition(self._topic, number, begins[number]) for number in waiting])
            while waiting:
                for message in reader.consume(1000, 1.0):
                    if message.error():
                        raise KafkaException(message.error())
                    number = self._number(message)
                    if number in numbers:
                        found[number] = self._position(message)
                for place in reader.position([TopicPartition(self._topic, number) for number in waiting]):
                    if place.offset >= bounds[place.partition][1]:
                        waiting.discard(place.partition)
        finally:
            reader.close()
        return found

    def _number(self, message: Any) -> int:
        """Return the number of a message of this run, or -1 for others."""
        run, _, number = dict(message.headers() or ()).get(HEADER, b"").decode().partition(" ")
        return int(number) if run == self._run else -1

    def _bounds(self, reader: Consumer) -> dict[int, tuple[int, int]]:
        """Return first offsets and ends once they rest: a request of the killed process may still be running."""
        former: dict[int, tuple[int, int]] = {}
        while True:
            bounds = {
                number: reader.get_watermark_offsets(TopicPartition(self._topic, number), _CALL_S)
                for number in range(self._partitions)
            }
            if bounds == former:
                return bounds
            former = bounds
            time.sleep(0.5)

    async def close(self) -> None:
        """See Sender."""
        for task in (*self._tasks, *([self._polling] if self._polling else [])):
            task.cancel()
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)
            self._producer = None


class _Post:
    """Messages that were posted together. `notes` keeps those of a transaction until its end."""

    __slots__ = ("done", "left", "notes")

    def __init__(
        self, left: int, done: "asyncio.Future[None]", notes: "list[tuple[Message, bytes | None]] | None" = None
    ) -> None:
        self.left, self.done, self.notes = left, done, notes


@contextlib.contextmanager
def _unusable(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise TargetUnusable(f"Kafka {what} ({error.args[0].name()}).") from error
