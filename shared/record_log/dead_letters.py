"""Records that a sink refused for good, in Postgres: what is neither in its table nor on the way to it.

A letter is written in the transaction that moves the cursor behind its record, so a record is in one place. Its key is
the record's place in the log and the sink: a repeat is the same row.

**Replay** appends the record to the topic again, as it was or as somebody mended it. Its producer is named after the
letter and has one append, so however often the replay is repeated, and wherever it was cut short before the letter was
marked, the sink sees it once. What is sent is noted before the first try, and nothing else is ever sent: another record
under the same name would pass for a repeat of the first. With the mark the record is forgotten. Of several sinks of a
topic only that of the letter lets the record through (`shared/record_log/deduplication.py`).
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.record_log.cursors import Claim
from shared.record_log.deduplication import REPLAY
from shared.record_log.record_log import Log, Position, Record, check
from shared.stores.postgres import Connection, Queries, statement

_WRITE = statement("shared/record_log/dead_letters.write.sql")
_LISTED = statement("shared/record_log/dead_letters.listed.sql")
_WAITING = statement("shared/record_log/dead_letters.waiting.sql")
_LOCK = statement("shared/record_log/dead_letters.lock.sql")
_REPLAYED = statement("shared/record_log/dead_letters.replayed.sql")
_DROP = statement("shared/record_log/dead_letters.drop.sql")
_BEGIN = statement("shared/record_log/dead_letters.begin.sql")
_PRUNE = statement("shared/record_log/dead_letters.prune.sql")
_COUNT = "SELECT count(*) FROM processing_errors WHERE $1 OR (replayed_at IS NULL AND dropped_at IS NULL)"

#: Characters of an explanation that are kept.
_DETAIL_MAX = 1000
#: Places that are asked for at a time.
_PAGE = 1000


class DeadLetter(NamedTuple):
    """A record that can be no row, and why; `version` is that of the transform."""

    record: Record
    reason: str
    detail: str
    version: int


class Place(NamedTuple):
    """What a letter is known by."""

    log: str
    topic: str
    partition: int
    position: Position
    sink: str

    def __str__(self) -> str:
        return f"{self.log}/{self.topic}/{self.partition}/{self.position}/{self.sink}"


class Letter(NamedTuple):
    """A dead letter as it is kept; without key and value when it was replayed or dropped."""

    place: Place
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    version: int
    created_at: datetime
    replayed_at: datetime | None
    dropped_at: datetime | None


class Begun(Exception):
    """A replay of the letter has begun with another record, which may be in the log: repeat that one."""


def place(text: str) -> Place:
    """The place that `str` of one wrote. Raises ValueError."""
    log, topic, partition, position, sink = text.split("/")
    offset, _, seq = position.partition("-")
    return Place(log, topic, int(partition), Position(int(offset), int(seq)), sink)


async def write(connection: Connection, log: str, claim: Claim, letters: Sequence[DeadLetter]) -> None:
    """Keep letters of a claimed partition. Call it in the transaction of `done`."""
    if letters:
        rows = [(*letter.record.position, letter.reason, _clean(letter.detail)) for letter in letters]
        offsets, seqs, reasons, details = (list(column) for column in zip(*rows, strict=True))
        keys, values = [one.record.key for one in letters], [one.record.value for one in letters]
        versions = [one.version for one in letters]
        of = (log, claim.topic, claim.partition, claim.sink)
        await connection.execute(_WRITE, *of, offsets, seqs, reasons, details, keys, values, versions)


async def listed(connection: Connection, most: int, *, settled: bool = False) -> list[Letter]:
    """The oldest letters that wait for somebody; with `settled` those too that were replayed or dropped."""
    return [_letter(row) for row in await connection.fetch(_LISTED, settled, most)]


async def counted(connection: Connection, *, settled: bool = False) -> int:
    """How many letters `listed` could show."""
    return int(await connection.fetchval(_COUNT, settled))


async def waiting(connection: Connection) -> AsyncIterator[Place]:
    """Every letter that waits now, the oldest first. Those that come later are left out: a replay of a letter that is
    refused again makes a new one, and whoever replays what is listed here would never be done."""
    now = await connection.fetchval("SELECT clock_timestamp()")
    last: Sequence[Any] = (datetime.min.replace(tzinfo=UTC), "", "", 0, 0, 0, "")
    while page := await connection.fetch(_WAITING, now, *last, _PAGE):
        for row in page:
            yield _place(row)
        last = tuple(page[-1])


async def found(connection: Connection, of: Place) -> Letter | None:
    """One letter."""
    row = await connection.fetchrow(_LOCK, *_key(of))
    return None if row is None else _letter(row)


async def replay(connection: Connection, log: Log, of: Place, value: bytes | None = None) -> bool:
    """Append the record of a letter to its topic again, or `value` in its place; answers whether there was a letter
    that waited. Can be repeated whatever became of it. Raises LogUnavailable, LogFull, Begun, TooLarge and
    POSTGRES_ERRORS."""
    if value is not None:
        check([(b"", value)], 1, 1)
    sending = await connection.fetchval(_BEGIN, *_key(of), value)  # committed before anything is sent
    if sending is None:
        return False
    if value is not None and sending != value:
        raise Begun(f"a replay of {of} has begun with another record: repeat it as it was, or without one")
    async with connection.transaction():
        letter = await connection.fetchrow(_LOCK, *_key(of))  # locked, so that it is replayed by one at a time
        if letter is None or letter["replayed_at"] or letter["sending"] is None:
            return False  # by another one, or erased meanwhile
        record = (letter["key"] or b"", letter["sending"])
        await log.append(of.topic, of.partition, [record], producer=producer(of), seq=1)
        await connection.execute(_REPLAYED, *_key(of))
    return True


def producer(of: Place) -> str:
    """The name under which a letter is sent again."""
    return f"{REPLAY}{of}"


async def drop(connection: Connection, of: Place) -> bool:
    """Give a letter up and forget its record; answers whether one waited. The books go on counting it."""
    return str(await connection.execute(_DROP, *_key(of))) == "UPDATE 1"


async def prune(connection: Queries, days: int) -> int:
    """Forget letters that were settled so many days ago; answers how many."""
    return int(await connection.fetchval(_PRUNE, days))


def _key(of: Place) -> tuple[str, str, int, int, int, str]:
    return of.log, of.topic, of.partition, *of.position, of.sink


def _place(row: Any) -> Place:
    position = Position(row["log_offset"], row["log_seq"])
    return Place(row["log"], row["topic"], row["partition"], position, row["sink"])


def _letter(row: Any) -> Letter:
    names = ("reason", "detail", "key", "raw", "version", "created_at", "replayed_at", "dropped_at")
    return Letter(_place(row), *(row[name] for name in names))


def _clean(detail: str) -> str:
    """Text that Postgres takes: without NUL and without halves of characters."""
    return detail[:_DETAIL_MAX].replace("\0", "\\0").encode(errors="backslashreplace").decode()
