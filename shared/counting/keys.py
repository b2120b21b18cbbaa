"""Names of the Redis keys. All keys of shard s carry the hash tag `{s}`, so that one script finds them on one node of
a cluster.

    tallybook:{s}:cur             hash    cell -> id of its open incarnation, and `#run`: what server opened them
    tallybook:{s}:live            zset    id of each incarnation that is not yet dropped -> its cell
    tallybook:{s}:i:<id>          hash    banner -> clicks of one incarnation
    tallybook:{s}:aside:<id>      hash    banner -> clicks of one that Postgres refused, kept for a person to look at
    tallybook:{s}:lane:<lane>     hash    seq: last page applied, total: clicks of the lane up to that page
    tallybook:{s}:lanes           set     lanes that ever sent a page here
    tallybook:{s}:keyed           hash    total: clicks counted with a key
    tallybook:{s}:ids:now         set     keys of clicks, and ids of items, seen lately
    tallybook:{s}:ids:former      set     what `now` was before
    tallybook:{s}:ids:since       string  when `now` began
    tallybook:{s}:link:<slug>     string  clicks taken of a link with `max_clicks`; all of them in shard 0
"""


def prefix(shard: int) -> str:
    """What every key of the shard begins with."""
    return f"tallybook:{{{shard}}}:"


def shard_of(name: str, shards: int) -> int:
    """The shard that a lane belongs to for ever, from its random hexadecimal id."""
    return int(name[-8:], 16) % shards


def lane_key(shard: int, lane_id: str) -> str:
    """Where Redis notes how far the lane has come."""
    return f"{prefix(shard)}lane:{lane_id}"


def link_key(shard: int, slug: str) -> str:
    """Where Redis notes how many clicks of a limited link were taken."""
    return f"{prefix(shard)}link:{slug}"
