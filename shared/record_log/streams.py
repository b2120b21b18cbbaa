"""The record log in Redis Streams. All keys of a partition carry one hash tag, so that one script finds them on one
node of a cluster.

    tallybook:{<topic>.<partition>}:log     stream   the records, those of an append in one entry (`entries.py`)
    tallybook:{<topic>.<partition>}:seqs    hash     producer -> number of its last append
    tallybook:{<topic>.<partition>}:silent  hash     the same of those that appended before them
    tallybook:{<topic>.<partition>}:book    hash     appended: records so far, trimmed: before this id nothing is left,
                                                     bytes: of the records so far, gone: of those that have left,
                                                     left: how many have left

**Positions** are ids. An entry of several records takes as many: the ids up to that of the next entry are theirs.

**Appends** are one script that knows the producer's last seq, so a repeat stores nothing. The readers' marks stand
behind it for the day on which Redis comes back from an older copy and has forgotten the seq.

**Reads** are XRANGE from the cursor, which is in Postgres. A consumer group would hand out other batches after a crash,
and a cursor in Redis would go back together with the stream. When the stream is older than the cursor, its last id is
raised first (XSETID), else new records could lie before the cursor and nobody would read them.

**A full partition** refuses (LogFull), by number and by bytes. Records leave by XTRIM MINID behind the slowest sink and
in no other way: when they are old, or earlier where more than half of what the partition may hold is taken.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from shared.errors import LogFull, LogUnavailable
from shared.record_log.deduplication import Mark
from shared.record_log.entries import Entry, Gathered, packed
from shared.record_log.record_log import (
    BEGIN,
    Batch,
    Limit,
    LogDamaged,
    Position,
    ProducerRewound,
    Stock,
    check,
    check_replay,
)
from shared.runtime.backoff import Backoff
from shared.runtime.tasks import end
from shared.stores.redis_client import REDIS_ERRORS, Script
from shared.stores.redis_cluster import Cluster

_APPEND = Script("shared/record_log/streams.append.lua")
_LOOK = Script("shared/record_log/streams.look.lua")
_STOCK = Script("shared/record_log/streams.around.lua", "shared/record_log/streams.stock.lua")
_TRIM = Script("shared/record_log/streams.around.lua", "shared/record_log/streams.trim.lua")

#: Entries that Redis returns at a time, at first and at most, and the bytes above which it is asked for fewer: it does
#: nothing else meanwhile.
_PAGE, _PAGE_BYTES = (50, 1000), 1 << 20
#: Bytes that a partition of a topic without a bound of its own may take.
_BYTES_MAX = 16 << 20
#: Seconds between two looks at a partition with nothing new: the first wait and the longest. What comes meanwhile is
#: visible no later, since a read lasts until its deadline.
_POLL_S = (0.05, 1.0)
#: Seconds after which a partition is looked at although its watch says that nothing came: whether it was trimmed or has
#: gone back in time. A Redis that restarts breaks the watch's connection, and is looked at when it is back.
_LOOK_S = 10.0
#: The largest sequence of an id within one millisecond.
_SEQ_MAX = 2**64 - 1

log = structlog.get_logger()


class StreamsLog:
    """Topics in the Redis of the client, which stays the caller's to close."""

    name = "streams"

    def __init__(
        self,
        redis: "Redis",
        partitions: int,
        records_max: int,
        *,
        topics: Mapping[str, int] | None = None,
        bytes_max: Mapping[str, int] | None = None,
    ) -> None:
        """A partition holds `records_max` records, or as many as `topics` says of its topic, in the bytes of it."""
        self._redis = redis
        self._reading = _reading(redis)
        self._watch = None if isinstance(redis, Cluster) else Watch(self._reading)
        self.partitions = partitions
        self._records_max = records_max
        self._topics = topics or {}
        self._bytes = bytes_max or {}

    def partition_of(self, key: bytes) -> int:
        """See Log."""
        return crc32(key) % self.partitions

    async def prepare(self, topic: str) -> None:
        """See Log. A stream begins with its first record."""
        try:
            await self._redis.exists(prefix(topic, 0) + "log")
        except REDIS_ERRORS as error:
            raise LogUnavailable from error

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], *, producer: str, seq: int
    ) -> None:
        """See Log."""
        most, bytes_max = self._most(topic)
        check(records, seq, most)
        of = prefix(topic, partition)
        arguments = [producer, seq, most, bytes_max, *(part for entry in packed(records) for part in entry)]
        try:
            names = [of + name for name in ("log", "seqs", "book", "silent")]
            answer, *rest = await _APPEND(self._redis, names, arguments)
        except OutOfMemoryError as error:  # refused before the script began
            raise LogFull from error
        except REDIS_ERRORS as error:
            raise LogUnavailable from error
        if answer == b"FULL":
            raise LogFull
        if answer == b"PAST":
            raise ProducerRewound(f"{producer} sent {seq} to {topic}.{partition}, which has its {rest[0]}")

    async def end(self, topic: str, partition: int) -> Position:
        """See Log."""
        try:
            about = await self._redis.xinfo_stream(prefix(topic, partition) + "log")
        except REDIS_ERRORS as error:
            if isinstance(error, ResponseError) and "no such key" in str(error):
                return BEGIN
            raise LogUnavailable from error
        return _behind(_position(about["last-generated-id"]))

    async def stock(self, topic: str, partition: int, start: Position) -> Stock:
        """See Log."""
        return await _stock(self._redis, prefix(topic, partition), start)

    async def trim(self, topic: str, partition: int, before: Position, keep_s: float) -> None:
        """See Log."""
        of = prefix(topic, partition)
        try:
            stock = [most // 2 for most in self._most(topic)]
            await _TRIM(self._redis, [of + "log", of + "book"], [str(before), int(keep_s * 1000), *stock])
        except REDIS_ERRORS as error:
            raise LogUnavailable from error

    def reader(self, topic: str, partition: int, sink: str) -> "StreamsReader":
        """See Log."""
        return StreamsReader(self._reading, topic, partition, sink, self._watch)

    async def close(self) -> None:
        """See Log."""
        if self._watch is not None:
            await self._watch.close()

    def _most(self, topic: str) -> tuple[int, int]:
        """Records and bytes of a partition."""
        return self._topics.get(topic, self._records_max), self._bytes.get(topic, _BYTES_MAX)


class Watch:
    """Tell the readers of idle streams that something came: one blocking read for all of them."""

    def __init__(self, redis: Any) -> None:
        patience_s = redis.connection_pool.connection_kwargs.get("socket_timeout") or 2 * _POLL_S[1]
        self._redis = redis
        #: Milliseconds of one blocking read: less than its connection waits for an answer.
        self._block_ms = round(min(_POLL_S[1], patience_s / 2) * 1000)
        self._waiting: dict[asyncio.Event, tuple[str, str]] = {}
        #: What the running read asks for.
        self._asked = frozenset[tuple[str, str]]()
        self._task: asyncio.Task[None] | None = None

    async def came(self, stream: str, after: str, wait_s: float) -> bool:
        """Return whether an entry behind that id came within so many seconds, or nobody asked for it meanwhile."""
        event = asyncio.Event()
        self._waiting[event] = stream, after
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(wait_s):
                return await event.wait()
        except TimeoutError:
            return (stream, after) not in self._asked
        finally:
            del self._waiting[event]

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            await end(self._task)

    async def _watch(self) -> None:
        while self._waiting:
            streams, ids = zip(*self._waiting.values(), strict=True)
            self._asked = frozenset(self._waiting.values())
            try:
                command = ("XREAD", "COUNT", 1, "BLOCK", self._block_ms, "STREAMS", *streams, *ids)
                answer = await self._redis.execute_command(*command)
            except REDIS_ERRORS:  # each reader finds out by itself, and deals with it
                self._asked = frozenset()
                for event in self._waiting:
                    event.set()
                await asyncio.sleep(_POLL_S[1])
                continue
            came = {name.decode() for name in dict(answer or ())}
            for event, (stream, _) in self._waiting.items():
                if stream in came:
                    event.set()
            await asyncio.sleep(0)
        self._asked = frozenset()


class StreamsReader:
    """A look at one stream. Without a watch it looks each second whether something came."""

    def __init__(self, redis: Any, topic: str, partition: int, sink: str, watch: Watch | None) -> None:
        self._redis = redis
        self._watch = watch
        self._looked_at, self._looked_from = 0.0, BEGIN
        self._sink = sink
        self._where = f"{topic}.{partition}"
        self._prefix = prefix(topic, partition)
        self._keys = [self._prefix + "log", self._prefix + "book"]
        self._idle = Backoff(*_POLL_S, jitter=(1.0, 1.0))
        self._page = _PAGE[0]
        #: Between two entries for certain.
        self._between = BEGIN

    async def read(self, start: Position, marks: Mapping[str, Mark], limit: Limit) -> Batch:
        """See Reader."""
        at = await self._entry_at(start)
        found = Gathered(start, marks, self._sink, _behind, limit=limit)
        deadline = time.monotonic() + limit.wait_s
        was_idle = self._idle.failures > 0
        if was_idle and not await self._is_worth_a_look(start, limit.wait_s):
            return found.batch()
        while True:
            entries = await self._entries(at, None, min(self._page, limit.records - found.read))
            is_whole = all(found.take(_parsed(entry)) for entry in entries)
            if entries:
                self._idle.reset()
                self._pace(entries)
                at = found.between or at
            wait_s = deadline - time.monotonic()
            if not is_whole or found.is_full or wait_s <= 0 or (was_idle and not entries):
                self._between = found.between or self._between
                return found.batch()
            if not entries:
                await asyncio.sleep(min(self._idle.next_s(), wait_s))

    async def _is_worth_a_look(self, start: Position, wait_s: float) -> bool:
        """Wait, since the former read has just looked; return whether something may have come behind the position."""
        if self._watch is None or start != self._looked_from:
            await asyncio.sleep(min(self._idle.next_s(), wait_s))
            return True
        rest_s = self._looked_at + _LOOK_S - time.monotonic()
        return rest_s <= 0 or await self._watch.came(self._keys[0], _last_before(start), min(rest_s, wait_s))

    async def replay(self, start: Position, end: Position, rows: int, marks: Mapping[str, Mark]) -> Batch:
        """See Reader."""
        at = await self._entry_at(start)
        found = Gathered(start, marks, self._sink, _behind, end=end)
        while entries := await self._entries(at, end, self._page):
            if not all(found.take(_parsed(entry)) for entry in entries):
                break
            at = found.between or at
        return check_replay(found.batch(end), rows)

    async def lag(self, start: Position) -> int:
        """See Reader."""
        return (await _stock(self._redis, self._prefix, start)).waiting

    async def note(self, position: Position) -> None:
        """See Reader. Redis has no tools that would look."""

    async def close(self) -> None:
        """See Reader."""

    def _pace(self, entries: Sequence[Any]) -> None:
        """Ask for more entries the next time, or for fewer if these were large."""
        size = sum(len(fields[3]) for _, fields in entries if len(fields) > 3)
        self._page = min(2 * self._page, _PAGE[1]) if size < _PAGE_BYTES / 2 else max(1, self._page // 2)

    async def _entry_at(self, start: Position) -> Position:
        """Return where the entry begins that the position is in the midst of, or else the position."""
        if start.seq == 0 or start == self._between:
            return start
        try:
            before = await self._redis.execute_command("XREVRANGE", self._keys[0], f"({start}", "-", "COUNT", 1)
        except REDIS_ERRORS as error:
            raise LogUnavailable from error
        for entry in map(_parsed, before):
            ends = entry.position.seq + len(entry.records)
            if entry.position.offset == start.offset and ends > start.seq:
                return entry.position
        self._between = start
        return start

    async def _entries(self, start: Position, end: Position | None, most: int) -> Sequence[Any]:
        """First the entries, then whether they could be trusted when they were read. As one script it would cost
        Valkey six times as much: each field would become a value of Lua."""
        known = _last_before(max(start, end or start))
        self._looked_at, self._looked_from = time.monotonic(), start
        try:
            bounds = (str(start), f"({end}" if end else "+")
            entries: Sequence[Any] = await self._redis.execute_command("XRANGE", self._keys[0], *bounds, "COUNT", most)
            answer = await _LOOK(self._redis, self._keys, [str(start), known])
        except REDIS_ERRORS as error:
            raise LogUnavailable from error
        if answer[0] == b"TRIMMED":
            raise LogDamaged(f"{self._where} is trimmed up to {answer[1].decode()}, and {start} is wanted")
        if answer[1]:
            log.error("log_rewound", partition=self._where, position=str(end or start))
        return entries


def prefix(topic: str, partition: int) -> str:
    """Return the prefix of every key of the partition."""
    return f"tallybook:{{{topic}.{partition}}}:"


def _position(entry_id: bytes) -> Position:
    ms, _, seq = entry_id.partition(b"-")
    return Position(int(ms), int(seq))


def _behind(position: Position) -> Position:
    """Return the next position."""
    ms, seq = position
    return Position(ms, seq + 1) if seq < _SEQ_MAX else Position(ms + 1, 0)


def _last_before(position: Position) -> str:
    """Return the greatest id before the position."""
    if position == BEGIN:
        return "0-0"
    ms, seq = position
    return f"{ms}-{seq - 1}" if seq else f"{ms - 1}-{_SEQ_MAX}"


async def _stock(redis: Any, of: str, start: Position) -> Stock:
    try:
        return Stock(*map(int, await _STOCK(redis, [of + "log", of + "book"], [str(start)])))
    except REDIS_ERRORS as error:
        raise LogUnavailable from error


def _parsed(entry: Any) -> Entry:
    """Return an entry. What another program wrote has no producer."""
    entry_id, fields = entry
    position = _position(entry_id)
    try:
        _, key, _, value, _, producer, _, seq, _, place, _, _, *more = fields
        is_packed = b"r" in more[::2]  # only then no other entry has the ids of its records
        return Entry(position, key, value, position.offset, producer.decode(), Mark(int(seq), int(place)), is_packed)
    except ValueError:
        other = dict(zip(fields[::2], fields[1::2], strict=True))
        content = other.get(b"k", b""), other.get(b"v", b"")
        return Entry(position, *content, position.offset, "", Mark(0, 0), is_packed=False)


def _reading(redis: "Redis") -> Any:  # whose types know no commands without callbacks
    """A client of the same connections that leaves entries as they are; the one given goes on as before. That of a
    cluster shares its connections with no other, and is the log's own (`shared/record_log/factory.py`)."""
    client: Any = redis if isinstance(redis, Cluster) else type(redis)(connection_pool=redis.connection_pool)
    for command in ("XRANGE", "XREVRANGE", "XREAD"):
        client.set_response_callback(command, _as_it_is)
    return client


def _as_it_is(answer: Any, **_: Any) -> Any:
    """An answer without the dictionaries that redis-py makes of it: they are a third of the time of a read."""
    return answer
