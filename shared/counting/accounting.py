"""Where every accepted click is now: accepted = persisted + open + in lanes, checked against figures that do not know
of each other.

`accepted` is what the lanes and the keyed clicks say they gave to Redis, plus what still lies in the lanes of this
host; `persisted` is what the ledger in Postgres took over; `open` is what Redis holds and the ledger does not. A
difference that stays means that clicks were lost (above 0) or counted twice (below 0), for example after Redis lost its
disk.
"""

import msgspec
from redis.asyncio import Redis

from shared.counting import keys
from shared.counting.fleet import Fleet
from shared.errors import PostgresUnavailable, RedisUnavailable
from shared.settings import Settings
from shared.stores.postgres import POSTGRES_ERRORS, Pool, statement
from shared.stores.redis_client import REDIS_ERRORS, Script

_ACCOUNT = Script("shared/counting/account.lua")
_PERSISTED = statement("shared/counting/accounting.persisted.sql")


class Account(msgspec.Struct, frozen=True, rename="camel"):
    """Clicks by where they are; `difference` is accepted - persisted - open - in_lanes and should be 0."""

    accepted: int
    persisted: int
    open: int
    in_lanes: int
    difference: int


async def account(settings: Settings, redis: "Redis", pool: Pool, fleet: Fleet) -> Account:
    """Take stock, in the order in which clicks move. Raises RedisUnavailable or PostgresUnavailable."""
    waiting = [(view.id, seq, sum(page.counts)) for view in fleet.views() for seq, page in view.waiting()]
    applied: dict[bytes, tuple[int, int]] = {}  # lane -> (last page, clicks up to it)
    live: dict[str, int] = {}
    with_keys = 0
    try:
        for shard in range(settings.shards):
            prefix = keys.prefix(shard)
            names = [prefix + "live", prefix + "lanes", prefix + "keyed"]
            keyed, lanes, incarnations = await _ACCOUNT(redis, names, [prefix])
            with_keys += int(keyed)
            for lane, seq, clicks in lanes:  # a lane that has seen another number of shards is known to two of them
                applied[lane] = max(applied.get(lane, (0, 0)), (int(seq), int(clicks)))
            live |= {name.decode(): int(clicks) for name, clicks in incarnations}
    except REDIS_ERRORS as error:
        raise RedisUnavailable from error
    try:
        row = await pool.fetchrow(_PERSISTED, list(live))
    except POSTGRES_ERRORS as error:
        raise PostgresUnavailable from error
    given = with_keys + sum(clicks for _, clicks in applied.values())
    in_lanes = sum(clicks for lane, seq, clicks in waiting if seq > applied.get(lane.encode(), (0, 0))[0])
    is_open = live.keys() - set(row["known"])
    still_open = sum(live[name] for name in is_open)
    persisted = int(row["clicks"])
    return Account(given + in_lanes, persisted, still_open, in_lanes, given - persisted - still_open)
