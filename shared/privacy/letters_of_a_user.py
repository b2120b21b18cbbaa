"""Dead letters that hold the id of a user: shown, or emptied.

JSON can spell an id in many ways, so letters are decoded, and what they hold is compared. A record that is no block of
events is about whoever is named in it at any depth: by a text under any name, or by a number under a name of users:
`1` is also how long a view took. One that cannot be decoded is searched.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.events.rows import Cut, blocks, event_of, is_block, rows_of, sized, user_of
from shared.hit import id_bytes
from shared.record_log.dead_letters import Place
from shared.record_log.record_log import Position
from shared.stores.postgres import Pool, statement

TABLE = "processing_errors"
#: Names of what `exported` returns of a letter.
COLUMNS = ("letter", "created_at", "reason", "record")

_FOUND = statement("shared/privacy/letters_of_a_user.found.sql")
_LEFT = statement("shared/privacy/letters_of_a_user.left.sql")
#: Letters that are in the memory at once: a record has up to a megabyte.
_PAGE = 10
#: What JSON writes with a backslash.
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
#: Names of users in records, without what joins their words, in small letters: `user_id`, `userId`.
_OF_USERS = frozenset({"user", "userid", "uid", "visitor", "visitorid"})
_JOINT = re.compile(r"[\s_.-]")
#: A number as it stands in JSON, which might be too large or too exact for one of Python.
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")


class Named:
    """Tells whether records name a user."""

    def __init__(self, user: str) -> None:
        self.user = user
        self._spelled = _spelled(user)
        self._number = _number(user)
        self._sized, self._bytes = sized(user.encode()), user.encode()
        self._id = id_bytes(UUID(user).bytes) if _is_uuid(user) else None
        # Of a broken text it is not known where its values begin and end, but an id is no part of a longer word.
        self._word = re.compile(rf"(?<![\w.-]){re.escape(user)}(?![\w-])", re.IGNORECASE if _is_uuid(user) else 0)

    def holds(self, key: bytes | None, value: bytes | None) -> bool:
        """Return whether a record names the user."""
        if value is None:
            return False
        if is_block(value):
            try:
                return any(user_of(row) == self.user for row in rows_of(value))
            except (ValueError, IndexError):
                return self._sized in value
        try:
            return key == self._bytes or any(map(self._is, values_of(value)))
        except (ValueError, RecursionError):
            if self._id is not None and self._id in value:  # of a hit
                return True
            return self._word.search(_unescaped(value.decode(errors="backslashreplace"))) is not None

    def _is(self, value: "str | _Digits") -> bool:
        if not isinstance(value, _Digits):
            return _spelled(value) == self._spelled
        return value == self.user or (self._number is not None and _number(value) == self._number)


class _Digits(str):
    """Return a number, by its characters."""


def values_of(value: bytes) -> Iterator[str]:
    """Every text of a JSON document, and every number and truth that may be an id of a user. Raises ValueError,
    RecursionError."""
    document = json.loads(
        value, object_pairs_hook=_Pairs, parse_int=_Digits, parse_float=_Digits, parse_constant=_Digits
    )
    left = [(document, False)]
    while left:
        one, may_be_id = left.pop()
        if isinstance(one, _Pairs):  # of a name that stands twice, both values
            left += [(inner, _is_of_users(name, may_be_id)) for name, inner in one]
        elif isinstance(one, list):
            left += [(inner, may_be_id) for inner in one]
        elif isinstance(one, bool):
            if may_be_id:
                yield _Digits(json.dumps(one))
        elif one is not None and (may_be_id or not isinstance(one, _Digits)):
            yield one


def _is_of_users(name: str, is_of_user: bool) -> bool:
    """Return whether a number of that name, maybe of an object that is a user, is an id of one."""
    plain = _JOINT.sub("", name).lower()
    return plain in _OF_USERS or (is_of_user and plain == "id")


class _Pairs(list[tuple[str, Any]]):
    """An object."""


def _spelled(text: str) -> str:
    """UUIDs are the same in capitals and in small letters."""
    return text.lower() if _is_uuid(text) else text


def _is_uuid(text: str) -> bool:
    try:
        return len(text) == 36 and str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _SHORT.get(found[2], found[2]), text)
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # pairs become one character


async def exported(pool: Pool, user: str) -> AsyncIterator[dict[str, Any]]:
    """What letters hold of the user, in the order of time: the event of a block, else the whole record, and null for
    one that is damaged: others may stand in it."""
    named = Named(user)
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        async for *place, key, raw, sending, reason, created_at in connection.cursor(_FOUND, prefetch=_PAGE):
            log, topic, partition, offset, seq, sink = place
            letter = str(Place(log, topic, partition, Position(offset, seq), sink))
            for value in dict.fromkeys((raw, sending)):
                for record in _records(value, user) if named.holds(key, value) else ():
                    yield dict(zip(COLUMNS, (letter, created_at.isoformat(), reason, record), strict=True))


def _records(value: bytes, user: str) -> list[str | None]:
    try:
        if not is_block(value):
            json.loads(value, parse_int=str)
            return [value.decode()]
        return [json.dumps(event_of(row), ensure_ascii=False) for row in rows_of(value) if user_of(row) == user]
    except (ValueError, IndexError, RecursionError):
        return [None]


async def erase(pool: Pool, user: str) -> int:
    """Take the user out of letters. Return out of how many. What a replay began to send is cut alike: the one that is
    in the log already, if it is, has the same events of others."""
    named, found = Named(user), 0
    detail = user.replace("\0", "\\0")
    async with pool.acquire() as connection, connection.transaction():
        async for row in connection.cursor(f"{_FOUND} FOR UPDATE", prefetch=_PAGE):
            *place, key, raw, sending, _, _ = row
            left = [_without(value, user) if named.holds(key, value) else value for value in (raw, sending)]
            if sending is not None and left[1] is None:
                left[0] = None  # a replay that began has the name that another one would need: nothing can be sent now
            if left != [raw, sending]:
                await connection.execute(_LEFT, *place, *left, detail)
                found += 1
    return found


def _without(value: bytes, user: str) -> bytes | None:
    """Return a record without what is of the user, or None when nothing is left or it is no longer readable."""
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
