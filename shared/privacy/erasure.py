"""Everything that ClickHouse and dead letters have of one user: shown, or erased for good.

Who was erased is remembered, as a hash, in Postgres. What comes back of them is erased again by `sweep`: records that
were on their way in the log, a repeated import, a copy of ClickHouse that was put back. Records that both happened and
came after the erasure are of somebody who came again, and stay: a time that a client says does not save a record.

Rows are deleted by a mutation, which writes the parts that had them anew: when it is done they are on no disk. It names
the hash, not the id: ClickHouse keeps the texts of its last mutations.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import structlog

from shared.privacy import letters_of_a_user
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import Pool, statement
from shared.uuid7 import NIL

#: Seconds between two looks at a mutation, and how often one is begun for rows that came while another ran.
_LOOK_S, _ROUNDS = 0.2, 5
#: Erasures in one statement.
_SWEPT = 1000
#: Seconds by which the clocks of Postgres, which dates erasures, and of whoever dates records may differ.
_CLOCKS_S = 5

_REMEMBER = statement("shared/privacy/erasure.remember.sql")
_MUTATIONS = statement("shared/privacy/erasure.mutations.sql")
_PARTITIONS = (
    "SELECT DISTINCT partition_id FROM system.parts "
    "WHERE database = currentDatabase() AND table = {table:String} AND active ORDER BY partition_id"
)
_COLUMNS = (
    "SELECT name FROM system.columns "
    "WHERE database = currentDatabase() AND table = {table:String} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') "
    "ORDER BY position"
)
_REMEMBERED = "SELECT encode(user_hash, 'hex'), extract(epoch FROM erased_at)::bigint FROM erasures ORDER BY user_hash"

log = structlog.get_logger()


class UserTable(NamedTuple):
    """A table with rows about users: SQL of the user's id as a text, of when it happened, and of when it came to us;
    both are a DateTime64."""

    name: str
    user: str
    moment: str
    came: str


#: Every table that has a user's id in a column. A test looks for one that is missing. What page views add up to has
#: hashes of ids in states that nothing can be taken out of, and event logs have what applications put into them.
USER_TABLES = (
    UserTable("events", "user_id", "occurred_at", "received_at"),
    UserTable("tracker_events", "toString(user_id)", "date_time", "date_time"),
    UserTable("page_views_raw", "user_id", "event_time", "processed_time"),
)


class NotErased(Exception):
    """ClickHouse could not delete, and says why."""


def check(user: str) -> str:
    """Return the id. Raises ValueError for one that is nobody's."""
    if not user or user == str(NIL):
        raise ValueError("that is the id of everybody who opted out" if user else "an id has at least one character")
    return user


# -- showing -----------------------------------------------------------------------------------------------------------


async def counted(clickhouse: ClickHouse, user: str) -> dict[str, int]:
    """Count the rows of the user by table. Repeats that are not merged yet are rows, too."""
    found = {}
    for table in USER_TABLES:
        sql = f"SELECT count() FROM {table.name} WHERE {table.user} = {{user:String}}"  # noqa: S608 - constants
        [[found[table.name]]] = await clickhouse.query(sql, {"user": user})
    return found


async def columns(clickhouse: ClickHouse) -> list[str]:
    """Return the columns that rows of `exported` can have, each once."""
    names = [str(name) for table in USER_TABLES for [name] in await clickhouse.query(_COLUMNS, {"table": table.name})]
    return list(dict.fromkeys((*names, *letters_of_a_user.COLUMNS)))


async def exported(clickhouse: ClickHouse, pool: Pool, user: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Every row of the user with the name of its table, in the order of time, and what dead letters hold. Rows are
    asked for by partition, so what is in the memory at once is a month of the user."""
    for table in USER_TABLES:
        sql = (
            f"SELECT * FROM {table.name} "  # noqa: S608 - constants
            f"WHERE {table.user} = {{user:String}} AND _partition_id = {{partition:String}} ORDER BY {table.moment}"
        )
        for [partition] in await clickhouse.query(_PARTITIONS, {"table": table.name}):
            lines = await clickhouse.file(sql, {"user": user, "partition": str(partition)}, "JSONEachRow")
            for line in lines.splitlines():
                yield table.name, json.loads(line)
    async for letter in letters_of_a_user.exported(pool, user):
        yield letters_of_a_user.TABLE, letter


# -- erasing -----------------------------------------------------------------------------------------------------------


async def erase(clickhouse: ClickHouse, pool: Pool, user: str) -> dict[str, int]:
    """Erase a user and answer how many rows were deleted by table; dead letters are emptied, too.

    When this returns nothing of the user is in the tables. Cut short, it is finished by a repetition, or by a sweep.
    Raises NotErased, and what ClickHouse and Postgres raise.
    """
    digest = hashlib.sha256(check(user).encode()).digest()
    await pool.execute(_REMEMBER, digest)
    erased = await counted(clickhouse, user)
    left = erased
    for _ in range(_ROUNDS):
        for table in USER_TABLES:
            if left[table.name]:
                await clickhouse.execute(
                    f"ALTER TABLE {table.name} DELETE WHERE hex(SHA256({table.user})) = {{hash:String}}",
                    {"hash": digest.hex().upper()},
                )
                await _mutated(clickhouse, table.name)
        left = await counted(clickhouse, user)
        if not any(left.values()):
            break
    else:
        raise NotErased(f"rows of the user come faster than they can be deleted: {left}")
    return {**erased, "dead letters": await letters_of_a_user.erase(pool, user)}


async def _mutated(clickhouse: ClickHouse, table: str) -> None:
    """Wait until no mutation of the table is under way."""
    while True:
        [[waiting, reason]] = await clickhouse.query(_MUTATIONS, {"table": table})
        if reason:
            raise NotErased(f"{table}: {reason}")
        if not waiting:
            return
        await asyncio.sleep(_LOOK_S)


async def sweep(clickhouse: ClickHouse, pool: Pool) -> int:
    """Begin to erase again what came back of users who were erased. Return how many rows those are."""
    remembered = [(str(digest).upper(), int(second) + _CLOCKS_S) for digest, second in await pool.fetch(_REMEMBERED)]
    found = 0
    for begin in range(0, len(remembered), _SWEPT):
        hashes, seconds = zip(*remembered[begin : begin + _SWEPT], strict=True)
        parameters = {"hashes": list(hashes), "seconds": list(seconds)}
        for table in USER_TABLES:
            found += await _sweep(clickhouse, table, parameters)
    if found:
        log.info("erased_again", rows=found)
    return found


async def _sweep(clickhouse: ClickHouse, table: UserTable, parameters: dict[str, Any]) -> int:
    came_back = (
        f"toInt64(toUnixTimestamp(least({table.moment}, {table.came}))) <= "
        f"transform(hex(SHA256({table.user})), {{hashes:Array(String)}}, {{seconds:Array(Int64)}}, toInt64(-1))"
    )
    sql = f"SELECT count() FROM {table.name} WHERE {came_back} AND _partition_id = {{partition:String}}"  # noqa: S608
    found = 0
    for [partition] in await clickhouse.query(_PARTITIONS, {"table": table.name}):
        [[rows]] = await clickhouse.query(sql, {**parameters, "partition": str(partition)})
        found += rows
    if found:
        await clickhouse.execute(f"ALTER TABLE {table.name} DELETE WHERE {came_back}", parameters)
    return found
