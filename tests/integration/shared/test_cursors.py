"""Who may move a cursor: one process at a time, whatever the others believe; what was noted is never forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.record_log.cursors import Claim, Cursors, OwnershipLost, Pending
from shared.record_log.deduplication import Mark
from shared.record_log.partition_share import Share
from shared.record_log.record_log import BEGIN, Limit, Log, Position
from shared.record_log.streams import StreamsLog
from shared.runtime.process import new_owner
from shared.settings import Settings
from shared.stores.postgres import POSTGRES_ERRORS, create_pool
from tests.harness.died import dead_owner

ALL = Limit(wait_s=0.1)


@pytest.fixture
async def pool(settings: Callable[..., Settings]) -> AsyncIterator[Any]:
    async with create_pool(settings()) as one:
        yield one


@pytest.fixture
def process(pool: Any) -> Callable[[str], Cursors]:
    """The cursors as the process of that name sees them."""
    return lambda name: Cursors(pool, "streams", name)


@pytest.fixture
async def one(process: Callable[[str], Cursors]) -> Cursors:
    cursors = process("one")
    await cursors.register("hits", "table", 4)
    return cursors


@pytest.fixture
def log(redis_client: "Redis") -> Log:
    return StreamsLog(redis_client, 4, 1000)


async def let_leases_end(pool: Any, owner: str) -> None:
    """As if the process had been silent for long."""
    await pool.execute("UPDATE sink_cursor SET lease_until = now() - interval '1 second' WHERE owner = $1", owner)
    await pool.execute("UPDATE sink_member SET lease_until = now() - interval '1 second' WHERE owner = $1", owner)


async def only(cursors: Cursors) -> Claim:
    (claim,) = await cursors.claim("hits", "table", 1)
    return claim


# -- one owner ---------------------------------------------------------------------------------------------------------


async def test_a_new_cursor_stands_at_the_beginning(one: Cursors) -> None:
    claims = await one.claim("hits", "table", 10)
    assert sorted(claim.partition for claim in claims) == [0, 1, 2, 3]
    assert {(claim.next, claim.pending, claim.epoch) for claim in claims} == {(BEGIN, None, 1)}


async def test_registering_again_moves_nothing(one: Cursors) -> None:
    claim = await one.done(await only(one), Position(5, 1), {"a": Mark(3, 2)})
    await one.register("hits", "table", 6)
    await one.release(claim)
    claims = {claim.partition: claim for claim in await one.claim("hits", "table", 10)}
    assert sorted(claims) == [0, 1, 2, 3, 4, 5]
    assert (claims[claim.partition].next, claims[claim.partition].marks) == (Position(5, 1), {"a": Mark(3, 2)})


async def test_what_stopped_a_former_holder_is_forgotten_by_the_next(
    one: Cursors, process: Callable[[str], Cursors], pool: Any
) -> None:
    """Who died cannot take it back, and on a quiet partition nothing else would."""
    claimed = await only(one)
    await pool.execute("UPDATE sink_cursor SET trouble = '60: no table' WHERE owner = 'one'")
    await let_leases_end(pool, "one")
    while (await only(process("two"))).partition != claimed.partition:
        pass
    assert await pool.fetchval("SELECT count(trouble) FROM sink_cursor") == 0


async def test_what_one_holds_nobody_else_gets(one: Cursors, process: Callable[[str], Cursors]) -> None:
    claimed = await asyncio.gather(*(process(f"p{n}").claim("hits", "table", 2) for n in range(5)))
    partitions = [claim.partition for claims in claimed for claim in claims]
    assert sorted(partitions) == [0, 1, 2, 3]
    assert await one.claim("hits", "table", 4) == []


async def test_sinks_and_topics_have_cursors_of_their_own(one: Cursors) -> None:
    await one.register("hits", "other", 1)
    await one.register("views", "table", 1)
    mine = await only(one)
    await one.done(mine, Position(9), {"a": Mark(1, 0)})
    for topic, sink in (("hits", "other"), ("views", "table")):
        (claim,) = await one.claim(topic, sink, 10)
        assert (claim.next, claim.marks) == (BEGIN, {})


async def test_a_released_partition_is_free_at_once_with_what_is_pending(
    one: Cursors, process: Callable[[str], Cursors]
) -> None:
    claims = await one.claim("hits", "table", 4)
    first = await one.intend(claims[0], Position(10, 1), 7, 2)
    await one.release(first)
    taken = await only(process("two"))
    assert (taken.partition, taken.epoch, taken.pending) == (first.partition, 2, Pending(Position(10, 1), 7, 2))


# -- fencing -----------------------------------------------------------------------------------------------------------


async def test_a_lease_that_is_over_is_taken_and_raises_the_epoch(
    one: Cursors, process: Callable[[str], Cursors], pool: Any
) -> None:
    before = await one.claim("hits", "table", 4)
    two = process("two")
    assert await two.claim("hits", "table", 4) == []
    await let_leases_end(pool, "one")
    after = await two.claim("hits", "table", 4)
    assert len(before) == len(after) == 4
    assert {claim.epoch for claim in before} == {1}
    assert {claim.epoch for claim in after} == {2}


async def test_a_renewed_lease_is_not_taken(one: Cursors, process: Callable[[str], Cursors], pool: Any) -> None:
    claims = await one.claim("hits", "table", 4)
    await let_leases_end(pool, "one")
    assert await one.renew("hits", "table", claims[1:]) == []
    assert [claim.partition for claim in await process("two").claim("hits", "table", 4)] == [claims[0].partition]


@pytest.mark.parametrize("step", ["intend", "done"])
async def test_a_zombie_can_write_nothing_any_more(
    one: Cursors, process: Callable[[str], Cursors], pool: Any, step: str
) -> None:
    old = await one.intend(await only(one), Position(10), 5, 1)
    await let_leases_end(pool, "one")
    two = process("two")
    new = await only(two)
    assert new.partition == old.partition
    steps = {
        "intend": lambda: one.intend(old, Position(20), 5, 1),
        "done": lambda: one.done(old, Position(10), {"a": Mark(9, 9)}),
    }
    with pytest.raises(OwnershipLost, match=r"table has lost hits\.0, which it held as epoch 1"):
        await steps[step]()
    await one.release(old)  # harmless
    assert await one.renew("hits", "table", [old]) == [0]
    assert await two.renew("hits", "table", [new]) == []
    new = await two.done(new, Position(10), {"a": Mark(1, 4)})
    await let_leases_end(pool, "two")
    again = await only(one)
    assert (again.next, again.pending, again.marks) == (Position(10), None, {"a": Mark(1, 4)})


async def test_the_same_process_under_a_new_epoch_fences_its_own_past(one: Cursors, pool: Any) -> None:
    old = await only(one)
    await let_leases_end(pool, "one")
    new = await only(one)
    assert (new.partition, new.epoch) == (old.partition, 2)
    with pytest.raises(OwnershipLost):
        await one.done(old, Position(10), {})
    await one.done(new, Position(10), {})


async def test_a_done_that_waits_for_a_takeover_is_refused(
    one: Cursors, process: Callable[[str], Cursors], pool: Any
) -> None:
    """The zombie's statement is on its way while its successor's transaction is still open."""
    old = await only(one)
    await let_leases_end(pool, "one")
    async with pool.acquire() as connection:
        taking = connection.transaction()
        await taking.start()
        await connection.execute("UPDATE sink_cursor SET owner = 'two', epoch = 2 WHERE partition = $1", old.partition)
        late = asyncio.create_task(one.done(old, Position(10), {"a": Mark(1, 0)}))
        while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await taking.commit()
    with pytest.raises(OwnershipLost):
        await late
    assert await pool.fetchval("SELECT count(*) FROM sink_mark") == 0


# -- steps -------------------------------------------------------------------------------------------------------------


async def test_every_step_can_be_repeated_when_its_answer_was_lost(one: Cursors) -> None:
    claim = await only(one)
    for _ in range(2):
        intended = await one.intend(claim, Position(10), 5, 1)
    for _ in range(2):
        done = await one.done(intended, Position(10), {"a": Mark(2, 0)})
    assert (done.next, done.pending, done.marks) == (Position(10), None, {"a": Mark(2, 0)})
    await one.release(done)
    assert (await one.claim("hits", "table", 1))[0]._replace(epoch=1) == done


async def test_an_intent_can_shrink_but_begins_at_the_cursor(one: Cursors) -> None:
    claim = await one.intend(await only(one), Position(100), 50, 1)
    shrunk = await one.intend(claim, Position(50), 25, 1)
    assert shrunk.pending == Pending(Position(50), 25, 1)
    with pytest.raises(ValueError, match="the range up to 50-0 is pending"):
        await one.done(shrunk, Position(100), {})
    moved = await one.done(shrunk, Position(50), {})
    with pytest.raises(OwnershipLost):
        await one.intend(claim, Position(100), 50, 1)  # of a claim from before
    with pytest.raises(asyncpg.CheckViolationError):
        await one.intend(moved, Position(50), 0, 1)  # no range


async def test_a_cursor_never_goes_back(one: Cursors) -> None:
    claim = await one.done(await only(one), Position(50, 3), {})
    with pytest.raises(OwnershipLost):
        await one.done(claim, Position(50, 2), {})


async def test_done_can_be_part_of_the_transaction_of_the_rows(one: Cursors, pool: Any) -> None:
    await pool.execute("CREATE TABLE sunk (value text)")
    claim = await one.intend(await only(one), Position(10), 1, 1)

    async def sink(connection: Any) -> Claim:
        await connection.execute("INSERT INTO sunk VALUES ('x')")
        return await one.done(claim, Position(10), {"a": Mark(1, 0)}, connection)

    async with pool.acquire() as connection:
        killed = connection.transaction()
        await killed.start()
        await sink(connection)
        await killed.rollback()
        async with connection.transaction():
            moved = await sink(connection)
    assert await pool.fetchval("SELECT count(*) FROM sunk") == 1
    assert moved.marks == {"a": Mark(1, 0)}


async def test_marks_go_forward_one_by_one_and_old_ones_are_pruned(one: Cursors, pool: Any) -> None:
    claim = await one.done(await only(one), Position(10), {"a": Mark(1, 0), "b": Mark(1, 0)})
    claim = await one.done(claim, Position(20), {"b": Mark(2, 5)})
    assert claim.marks == {"a": Mark(1, 0), "b": Mark(2, 5)}
    await pool.execute("UPDATE sink_mark SET marked_at = now() - interval '36 days' WHERE producer = 'a'")
    assert await one.prune_marks(35) == 1
    await one.release(claim)
    assert (await only(one)).marks == {"b": Mark(2, 5)}


async def test_the_slowest_sink_counts(one: Cursors) -> None:
    assert await one.slowest("nothing") == {}
    await one.register("hits", "other", 4)
    claim = await one.done(await only(one), Position(10, 2), {})
    assert (await one.slowest("hits", "nothing"))["hits", claim.partition] == BEGIN
    (other,) = await one.claim("hits", "other", 1)
    other = await one.done(other, Position(10, 1), {})
    assert (await one.slowest("hits", "nothing"))["hits", claim.partition] == Position(10, 1)


async def test_postgres_away_is_an_error_and_the_claim_stays_good(one: Cursors, pool: Any, database: str) -> None:
    claim = await only(one)
    await pool.execute("ALTER TABLE sink_cursor RENAME TO gone")
    for step in (
        lambda: one.renew("hits", "table", [claim]),
        lambda: one.done(claim, Position(5), {}),
        lambda: one.claim("hits", "t", 1),
    ):
        with pytest.raises(POSTGRES_ERRORS):
            await step()
    await pool.execute("ALTER TABLE gone RENAME TO sink_cursor")
    assert (await one.done(claim, Position(5), {})).next == Position(5)


# -- a sink that dies --------------------------------------------------------------------------------------------------


async def test_what_was_pending_at_a_crash_is_replayed_exactly_and_once(
    one: Cursors, process: Callable[[str], Cursors], pool: Any, log: Log
) -> None:
    sunk: dict[str, list[bytes]] = {}  # token -> rows, as a table with tokens keeps them

    def insert(claim: Claim, end: Position, rows: list[bytes]) -> None:
        token = f"streams-{claim.topic}-{claim.partition}-{claim.next}-{end}"
        assert sunk.setdefault(token, rows) == rows, "a token with other rows is data loss"

    async def step(cursors: Cursors, claim: Claim, dies: str = "") -> Claim:
        reader = log.reader("hits", claim.partition, "table")
        if claim.pending is not None:
            batch = await reader.replay(claim.next, claim.pending.end, claim.pending.rows, claim.marks)
        else:
            batch = await reader.read(claim.next, claim.marks, Limit(records=10, wait_s=0.1))
            claim = await cursors.intend(claim, batch.end, len(batch.records), 1)
        if dies != "before insert":
            insert(claim, batch.end, [record.value for record in batch.records])
        return claim if dies else await cursors.done(claim, batch.end, batch.marks)

    async def append(first: int, last: int) -> None:
        for seq in range(first, last):
            for _ in range(2):
                await log.append("hits", 0, [(b"", b"%d.%d" % (seq, n)) for n in range(3)], producer="a", seq=seq)

    await append(1, 8)
    claim = await step(one, await only(one))
    await step(one, claim, dies="before insert")
    await let_leases_end(pool, "one")
    two = process("two")
    claim = await only(two)
    assert claim.pending is not None
    await append(8, 10)  # more has come meanwhile: the range stays as it was
    await step(two, claim, dies="after insert")
    await let_leases_end(pool, "two")
    claim = await only(one)
    for _ in range(2):
        claim = await step(one, claim)
    assert [row for rows in sunk.values() for row in rows] == [
        b"%d.%d" % (s, n) for s in range(1, 10) for n in range(3)
    ]


# -- sharing -----------------------------------------------------------------------------------------------------------


async def settled(shares: list[Share]) -> list[int]:
    """How many partitions each has when nobody wants to change anything any more."""
    for _ in range(4):
        for share in shares:
            for partition in (await share.balance()).surplus:
                await share.release(partition)
    held = [partition for share in shares for partition in share.claims]
    assert len(held) == len(set(held)), "a partition with two owners"
    return sorted(len(share.claims) for share in shares)


async def test_partitions_are_shared_fairly(process: Callable[[str], Cursors]) -> None:
    await process("0").register("views", "table", 8)
    shares = [Share(process(f"owner {n}"), "views", "table") for n in range(3)]
    assert await settled(shares[:1]) == [8]
    assert await settled(shares[:2]) == [4, 4]
    assert await settled(shares) == [2, 3, 3]
    await shares[0].leave()
    assert await settled(shares[1:]) == [4, 4]


async def test_more_processes_than_partitions_leave_some_without(process: Callable[[str], Cursors]) -> None:
    await process("0").register("views", "table", 2)
    shares = [Share(process(f"owner {n}"), "views", "table") for n in range(3)]
    assert await settled(shares) == [0, 1, 1]


async def test_all_balance_at_the_same_time(process: Callable[[str], Cursors]) -> None:
    await process("0").register("views", "table", 9)
    shares = [Share(process(f"owner {n}"), "views", "table") for n in range(3)]
    await asyncio.gather(*(share.balance() for share in shares))
    assert await settled(shares) == [3, 3, 3]


async def test_the_partitions_of_a_dead_process_go_to_the_others(process: Callable[[str], Cursors], pool: Any) -> None:
    await process("0").register("views", "table", 6)
    shares = [Share(process(f"owner {n}"), "views", "table") for n in range(3)]
    assert await settled(shares) == [2, 2, 2]
    await let_leases_end(pool, "owner 0")
    assert await settled(shares[1:]) == [3, 3]
    woken = await shares[0].balance()  # it was only stopped, and learns what it has lost
    assert len(woken.lost) == 2
    assert await settled(shares) == [2, 2, 2]


async def test_nobody_waits_for_the_lease_of_a_process_that_was_killed_here(
    process: Callable[[str], Cursors],
) -> None:
    """And nobody takes anything from one that lives, or that may live elsewhere."""
    await process("0").register("views", "table", 6)
    killed, alive, elsewhere = process(dead_owner()), process(new_owner()), process("another host-1-1.2.3-ab")
    first, _ = await killed.claim("views", "table", 2)
    held = [*await alive.claim("views", "table", 2), *await elsewhere.claim("views", "table", 2)]
    pending = await killed.intend(first, Position(5), 3, 1)
    heir = Share(process("heir"), "views", "table")
    assert (await heir.balance()).gained == [0, 1]
    assert heir.claims[0].pending == pending.pending
    assert await alive.renew("views", "table", held) == []
    with pytest.raises(OwnershipLost):  # whoever believes to be that process is fenced out
        await killed.done(pending, Position(5), {})


async def test_what_is_surplus_stays_held_until_its_batch_is_done(process: Callable[[str], Cursors]) -> None:
    await process("0").register("views", "table", 4)
    first, second = (Share(process(name), "views", "table") for name in ("one", "two"))
    await first.balance()
    assert (await second.balance()).gained == []
    change = await first.balance()
    assert (change.surplus, change.gained, change.lost) == ([2, 3], [], [])
    claim = await process("one").done(first.claims[3], Position(1), {})
    first.claims[3] = claim
    for partition in change.surplus:
        await first.release(partition)
    assert (await second.balance()).gained == [2, 3]
    assert second.claims[3].next == Position(1)
