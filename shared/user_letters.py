"""Dead letters that hold the id of a user: shown, or emptied.

A record that is no block of events, or a damaged one, cannot be taken apart: it is about whoever is named in it.
"""

import json
from collections.abc import AsyncIterator, Collection
from typing import Any

from shared.dead_letters import Place
from shared.event_rows import Cut, blocks, event_of, is_block, rows_of, sized, user_of
from shared.log.log import Position
from shared.postgres import statement

TABLE = "processing_errors"
#: Names of what `exported` answers of a letter.
COLUMNS = ("letter", "created_at", "reason", "record")

_FOUND = statement("shared/user_letters.found.sql")
_LEFT = statement("shared/user_letters.left.sql")
#: Letters that are in the memory at once: a record has up to a megabyte.
_PAGE = 10


async def exported(pool: Any, user: str) -> AsyncIterator[dict[str, Any]]:
    """What letters hold of the user, in the order of time: the event of a block, else the whole record, and null for
    a block that is damaged: others may stand in it."""
    written = _written(user)
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        async for *place, raw, sending, reason, created_at in connection.cursor(_FOUND, written, prefetch=_PAGE):
            log, topic, partition, offset, seq, sink = place
            letter = str(Place(log, topic, partition, Position(offset, seq), sink))
            for value in dict.fromkeys((raw, sending)):
                for record in _records(value, user) if _holds(value, written) else ():
                    yield dict(zip(COLUMNS, (letter, created_at.isoformat(), reason, record), strict=True))


def _records(value: bytes, user: str) -> list[str | None]:
    if not is_block(value):
        return [value.decode(errors="backslashreplace")]
    try:
        return [json.dumps(event_of(row), ensure_ascii=False) for row in rows_of(value) if user_of(row) == user]
    except (ValueError, IndexError):
        return [None]


async def erase(pool: Any, user: str) -> int:
    """Take the user out of letters; answers out of how many. What a replay began to send is cut alike: the one that is
    in the log already, if it is, has the same events of others."""
    written, found = _written(user), 0
    named = user.replace("\0", "\\0")
    async with pool.acquire() as connection, connection.transaction():
        async for row in connection.cursor(f"{_FOUND} FOR UPDATE", written, prefetch=_PAGE):
            *place, raw, sending, _, _ = row
            left = [_without(value, user) if _holds(value, written) else value for value in (raw, sending)]
            if sending is not None and left[1] is None:
                left[0] = None  # a replay that began has the name that another one would need: nothing can be sent now
            if left != [raw, sending]:
                await connection.execute(_LEFT, *place, *left, named)
                found += 1
    return found


def _written(user: str) -> list[bytes]:
    """The ways to write the id into a record."""
    return sorted({json.dumps(user).encode(), json.dumps(user, ensure_ascii=False).encode(), sized(user.encode())})


def _holds(value: bytes | None, written: Collection[bytes]) -> bool:
    return value is not None and any(one in value for one in written)


def _without(value: bytes, user: str) -> bytes | None:
    """A record without what is of the user; None when nothing is left, or when it is no longer readable."""
    if not is_block(value):
        return None
    try:
        rows = rows_of(value)
        others = [row for row in rows if user_of(row) != user]
    except (ValueError, IndexError):
        return None
    if len(others) == len(rows):
        return value
    return next((block for _, block in blocks(others, Cut(len(others), len(value)))), None)
