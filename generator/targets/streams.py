"""Send to Redis Streams, in the form of the record log.

The seq of an append is one more than the number of its last message. So after a kill the log tells how far each
(way, partition) has come, however messages were cut into appends, and a retry stores nothing twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
from redis.asyncio import Redis

from generator.ledger import Ledger
from generator.targets.sender import Patience, TargetUnusable
from generator.traffic.partitioner import Partitioner
from generator.traffic.traffic import Message
from shared.errors import LogFull, TallybookError, TooLarge
from shared.record_log.streams import StreamsLog, prefix
from shared.stores.redis_client import REDIS_ERRORS
from shared.telemetry.metrics import GENERATOR_ERRORS, GENERATOR_RETRIES, GENERATOR_SECONDS

#: Records of one append, as many as the ingest service takes. Redis does nothing else meanwhile.
_RECORDS = 500
#: Entries that are read at a time when the log is asked what it has.
_PAGE = 1000

log = structlog.get_logger()


class StreamsSender:
    """The appends of a run to one topic. The caller closes the Redis client."""

    def __init__(
        self,
        redis: "Redis",
        topic: str,
        records_log: StreamsLog,
        records_max: int,
        spread: Partitioner,
        ledger: Ledger,
        run: str,
        patience: Patience,
    ) -> None:
        self._redis: Any = redis
        self._log = records_log
        self._topic, self._spread, self._ledger, self._run, self._patience = topic, spread, ledger, run, patience
        self._records = min(_RECORDS, records_max)
        self._lines: dict[tuple[str, int], _Line] = {}
        self.in_flight = 0
        self.retries = 0

    async def open(self) -> dict[int, int]:
        """See Sender. Return {}: Redis has no offsets."""
        try:
            await self._log.prepare(self._topic)
        except TallybookError as error:
            raise TargetUnusable(f"Redis does not answer ({error.code}): check its address.") from error
        return {}

    def post(self, messages: Sequence[Message], way: str) -> "asyncio.Future[None]":
        """See Sender."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = len(messages)

        def settled(count: int) -> None:
            nonlocal left
            left -= count
            if not left and not done.done():
                done.set_result(None)

        self.in_flight += left
        now = time.perf_counter()
        for message in messages:
            self._line(way, self._spread(message.key, message.number)).put(message, settled, now)
        return done

    def _line(self, way: str, partition: int) -> "_Line":
        line = self._lines.get((way, partition))
        if line is None:
            line = self._lines[way, partition] = _Line(partial(self._serve, way, partition))
        return line

    async def _serve(self, way: str, partition: int, line: "_Line") -> None:
        """Append what waits, one after the other, and retry each until the log has it."""
        while True:
            await line.has_work.wait()
            taken = line.take(self._records)
            if not taken:
                line.has_work.clear()
                continue
            messages = [message for message, _, _ in taken]
            outcome = await self._append(way, partition, messages, taken[0][2])
            for place, (message, settled, _) in enumerate(taken):
                self._ledger.note(message, outcome(place), None if outcome is not _nowhere else "unknown")
                settled(1)
            self.in_flight -= len(taken)
            GENERATOR_SECONDS.observe(time.perf_counter() - taken[0][2])

    async def _append(
        self, way: str, partition: int, messages: Sequence[Message], began: float
    ) -> Callable[[int], bytes]:
        """Return the position of each message in the append."""
        backoff = self._patience.backoff()
        producer, seq = self._producer(way), messages[-1].number + 1
        records = [(message.key, message.value) for message in messages]
        while True:
            try:
                await self._log.append(self._topic, partition, records, producer=producer, seq=seq)
            except TooLarge:
                raise
            except TallybookError as error:
                is_full = isinstance(error, LogFull)
                GENERATOR_ERRORS.labels("full" if is_full else "unavailable").inc()
                log.debug("generator_target_failing", reason=error.code)
                if 0 < self._patience.give_up_s < time.perf_counter() - began:
                    GENERATOR_ERRORS.labels("given_up").inc(len(messages))
                    return _nowhere
                await asyncio.sleep(backoff.next_s())
                self.retries += 1
                GENERATOR_RETRIES.inc()
            else:
                return partial(_position, partition, producer, seq)

    def _producer(self, way: str) -> str:
        return f"{self._run}.{way}"

    async def missing(self, messages: Sequence[Message], ends: dict[int, int], ways: dict[str, str]) -> list[Message]:
        """See Sender. Within a way and partition the log has everything up to some number, and nothing beyond."""
        missing: list[Message] = []
        by_line: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            by_line.setdefault((ways[message.kind], self._spread(message.key, message.number)), []).append(message)
        try:
            for (way, partition), doubted in by_line.items():
                seqs = prefix(self._topic, partition) + "seqs"
                last = int(await self._redis.hget(seqs, self._producer(way)) or 0)
                there = [message for message in doubted if message.number < last]
                missing += [message for message in doubted if message.number >= last]
                places = await self._last_places(way, partition, len(there))
                for message, place in zip(reversed(there), places, strict=True):
                    self._ledger.note(message, place)
        except REDIS_ERRORS as error:
            raise TargetUnusable(f"Redis does not answer ({type(error).__name__}): check its address.") from error
        return sorted(missing)

    async def _last_places(self, way: str, partition: int, count: int) -> list[bytes]:
        """Yield positions of the last records of a producer, backwards."""
        producer, end = self._producer(way), "+"
        places: list[bytes] = []
        while len(places) < count:
            stream = prefix(self._topic, partition) + "log"
            entries = await self._redis.execute_command("XREVRANGE", stream, end, "-", "COUNT", _PAGE)
            if not entries:
                raise TargetUnusable(f"The stream {stream} has lost records of this run; begin a new one.")
            for _, fields in entries:
                told = dict(fields) if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
                if told.get(b"p") == producer.encode():
                    seq, first, records = int(told[b"s"]), int(told[b"i"]), int(told.get(b"r", 1))
                    backwards = range(first + records - 1, first - 1, -1)
                    places += [_position(partition, producer, seq, place) for place in backwards]
            end = f"({entries[-1][0].decode()}"
        return places[:count]

    async def close(self) -> None:
        """See Sender."""
        for line in self._lines.values():
            line.task.cancel()
        await asyncio.gather(*(line.task for line in self._lines.values()), return_exceptions=True)


class _Line:
    """The messages of one way for one partition."""

    def __init__(self, serve: Callable[["_Line"], Any]) -> None:
        self._waiting: deque[tuple[Message, Callable[[int], None], float]] = deque()
        self.has_work = asyncio.Event()
        self.task = asyncio.create_task(serve(self))

    def put(self, message: Message, settled: Callable[[int], None], now: float) -> None:
        self._waiting.append((message, settled, now))
        self.has_work.set()

    def take(self, most: int) -> list[tuple[Message, Callable[[int], None], float]]:
        """Return the next messages, in order."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]


def _position(partition: int, producer: str, seq: int, place: int) -> bytes:
    return b'{"partition":%d,"producer":"%b","seq":%d,"place":%d}' % (partition, producer.encode(), seq, place)


def _nowhere(place: int) -> bytes:
    return b"null"
