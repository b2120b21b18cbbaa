"""One sink's look at one partition of a Kafka topic, with a consumer of its own.

The partition is assigned by hand and the position is the caller's: no group, no rebalance, no stored offset decides
what is read.

Transactions of other programs leave offsets without a record: markers, and what was aborted. They count as skipped, so
in the books a range has as many records as offsets. Topics are not compacted (`shared/record_log/kafka/kafka_log.py`),
so nothing else leaves gaps.
"""

import asyncio
import contextlib
import gzip
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError, UnsupportedCodecError

from shared.errors import LogUnavailable
from shared.record_log.deduplication import Mark
from shared.record_log.entries import Entry, Gathered
from shared.record_log.kafka.connection import KAFKA_ERRORS, client_options, start_client, stop_client
from shared.record_log.record_log import BEGIN, Batch, Limit, LogDamaged, Position, check_replay
from shared.stores.failures import UnreadableRecords

#: The header in which each record carries where it belongs in its producer's appends.
HEADER = "tallybook"

#: Returns the first offset that is there and the one behind the last. Raises KAFKA_ERRORS.
Ends = Callable[[TopicPartition], Awaitable[tuple[int, int]]]

#: Records that the client hands over at a time.
_PAGE = 1000
#: Errors of records that cannot be unpacked. Some of them look like errors of a connection.
_UNREADABLE = (CorruptRecordException, UnsupportedCodecError, gzip.BadGzipFile)
#: Seconds of silence after which it is asked whether the log is still there.
_SILENCE_S = 5.0
#: What the columns of a mark hold; a header with more is not one of ours.
_SEQ_MAX, _PLACE_MAX, _NAME_MAX = 2**63 - 1, 2**31 - 1, 255
_NO_MARK = Mark(0, 0)


def header(producer: str, seq: int, place: int) -> bytes:
    """The content of the header."""
    return f"{seq} {place} {producer}".encode()


class KafkaReader:
    """See Reader. Not for two tasks at the same time."""

    def __init__(self, servers: str, where: TopicPartition, sink: str, timeout_s: float, ask_ends: Ends) -> None:
        self._servers = servers
        self._where = where
        self._sink = sink
        self._group = f"tallybook-{sink}"
        self._timeout_s = timeout_s
        #: Asks over another connection: on this one an answer waits until a fetch has waited for records.
        self._ask_ends = ask_ends
        self._consumer: AIOKafkaConsumer | None = None
        #: Where the consumer stands with respect to the caller: records fetched and not yet handed over come first.
        self._at: Position | None = None
        self._fetched: deque[Any] = deque()
        #: Records that are still fetched one at a time, after one could not be unpacked.
        self._single = 0

    async def read(self, start: Position, marks: Mapping[str, Mark], limit: Limit) -> Batch:
        """See Reader."""
        found = Gathered(start, marks, self._sink, _behind, limit=limit)
        deadline = time.monotonic() + limit.wait_s
        await self._stand_at(start)
        while True:
            if not self._fetched:
                found.at = await self._behind_gap(found.at)
            if not self._take(found):
                break
            wait_s = deadline - time.monotonic()
            if found.is_full or wait_s <= 0:
                break
            try:
                await self._fetch(min(wait_s, _SILENCE_S))
            except LogUnavailable:
                if not found.read:
                    raise
                break  # what was read is good, and the next call meets the error again
            if not self._fetched and wait_s > _SILENCE_S:
                await self._check_end(found.at)
        if not found.read:
            await self._check_end(found.at)
        return _batch(start, found.at, found)

    async def replay(self, start: Position, end: Position, rows: int, marks: Mapping[str, Mark]) -> Batch:
        """See Reader."""
        found = Gathered(start, marks, self._sink, _behind, end=end)
        await self._check_end(end)
        await self._stand_at(start)
        deadline = time.monotonic() + self._timeout_s
        while (found.at if self._fetched else await self._behind_gap(found.at)) < end:
            if not self._fetched:
                await self._fetch(deadline - time.monotonic())
                if not self._fetched and time.monotonic() > deadline:
                    raise LogUnavailable
                continue
            deadline = time.monotonic() + self._timeout_s
            if not self._take(found, end):
                break
        return check_replay(_batch(start, end, found), rows)

    def _take(self, found: Gathered, end: Position | None = None) -> bool:
        """Take what is fetched of the range, up to a message that lies behind it or reaches beyond: return False."""
        while self._fetched:
            entry = _parsed(self._fetched[0])
            if end is not None and entry.position >= end:
                return False
            is_whole = found.take(entry)
            self._at = found.at
            if not is_whole:
                return False
            self._fetched.popleft()
        return True

    async def lag(self, start: Position) -> int:
        """See Reader. Kafka has no cheaper number than a difference of offsets, which counts messages."""
        first, end = await self._ends()
        return max(0, end - max(start.offset, first))

    async def note(self, position: Position) -> None:
        """See Reader."""
        if self._consumer is None or self._at is None:
            return
        with contextlib.suppress(*KAFKA_ERRORS):
            async with asyncio.timeout(self._timeout_s):
                await self._consumer.commit({self._where: position.offset})

    async def close(self) -> None:
        """See Reader."""
        consumer, self._consumer, self._at = self._consumer, None, None
        self._fetched.clear()
        self._single = 0
        if consumer is not None:
            with contextlib.suppress(*KAFKA_ERRORS):
                await stop_client(consumer)

    async def _stand_at(self, start: Position) -> None:
        """Go on where the last batch ended, or begin anew: a consumer that has sought may still hand out the error of
        its former place."""
        if self._at == start:
            return
        if self._at is not None:
            await self.close()
        first, _ = await self._ends()
        if start != BEGIN and start.offset < first:
            raise self._damaged(start, f"begins at {first}")
        consumer = await self._connected()
        consumer.assign([self._where])
        consumer.seek(self._where, max(start.offset, first))
        self._at = start

    async def _fetch(self, wait_s: float) -> None:
        """Wait for records, but not longer. Hand over every record that stands before one that cannot be read."""
        consumer, at, page = await self._connected(), self._at, 1 if self._single else _PAGE
        try:
            pages = await consumer.getmany(self._where, timeout_ms=max(0, int(wait_s * 1000)), max_records=page)
        except OffsetOutOfRangeError as error:
            damaged = self._damaged(at, "has it no more")
            await self.close()
            raise damaged from error
        except Exception as error:  # codecs raise whatever they like
            await self.close()
            if isinstance(error, KAFKA_ERRORS) and not isinstance(error, _UNREADABLE):
                raise LogUnavailable from error
            if page > 1 and at is not None:  # the client forgets what it has unpacked before the failure
                await self._stand_at(at)
                self._single = _PAGE
                return
            where = f"{self._where.topic}.{self._where.partition} at {at}"
            unreadable = UnreadableRecords(f"{where}: {type(error).__name__}: {error}")
            unreadable.__cause__ = error
            raise LogUnavailable from unreadable
        self._fetched.extend(pages.get(self._where, ()))
        self._single = max(0, self._single - len(self._fetched))

    async def _behind_gap(self, at: Position) -> Position:
        """Where the consumer stands, once all that it fetched is handed over: behind offsets that hold no record."""
        if self._consumer is None or self._at is None:
            return at
        offset = await self._consumer.position(self._where)
        if offset > at.offset:
            at = self._at = Position(offset)
        return at

    async def _check_end(self, position: Position) -> None:
        """A consumer is silent about a broker that is away and about a log that lost its end; the offsets are not."""
        _, end = await self._ends()
        if position.offset > end:
            raise self._damaged(position, f"ends at {end}")

    async def _ends(self) -> tuple[int, int]:
        try:
            return await self._ask_ends(self._where)
        except KAFKA_ERRORS as error:
            await self.close()
            raise LogUnavailable from error

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **client_options(self._servers, self._timeout_s),
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
            )
            try:
                await start_client(consumer, self._timeout_s)
            except KAFKA_ERRORS as error:
                raise LogUnavailable from error
            self._consumer = consumer
        return self._consumer

    def _damaged(self, position: Position | None, what: str) -> LogDamaged:
        return LogDamaged(f"{self._where.topic}.{self._where.partition} {what}, and {position} is wanted")


def _behind(position: Position) -> Position:
    """Return the next message."""
    return Position(position.offset + 1)


def _batch(start: Position, end: Position, found: Gathered) -> Batch:
    """A range in which every offset without a record that is let through is skipped."""
    return found.batch(end, gaps=end.offset - start.offset - found.entries)


def _parsed(message: Any) -> Entry:
    """The entry of a message. What another program wrote has no producer, whatever else it has in its headers."""
    mine = (Position(message.offset), message.key or b"", message.value or b"", message.timestamp)
    content = None
    for name, value in message.headers:
        if name == HEADER:
            content = value
    if not content:
        return Entry(*mine, "", _NO_MARK)
    try:
        number, place, producer = content.decode().split(" ", 2)
        mark = Mark(int(number), int(place))
    except ValueError:
        return Entry(*mine, "", _NO_MARK)
    is_ours = 0 < mark.seq <= _SEQ_MAX and 0 <= mark.place <= _PLACE_MAX
    if not is_ours or len(producer) > _NAME_MAX or "\0" in producer:
        return Entry(*mine, "", _NO_MARK)
    return Entry(*mine, producer, mark)
