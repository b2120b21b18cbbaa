"""A Redis Cluster of three masters: one is killed, a slot moves, and every click is counted once."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from aggregator.redis_uses import redis_uses
from ingest.http.rate_limits import Limiter
from shared.counting import keys
from shared.counting.keyed import KeyedClick
from shared.errors import Limited, RedisUnavailable
from shared.settings import Settings
from shared.stores import redis_memory
from shared.stores.durability import examine_redis
from shared.stores.redis_client import REDIS_ERRORS, Script, connect, masters
from shared.stores.redis_cluster import Cluster
from shared.telemetry.metrics import REDIS_USED
from tests.chaos.clicks.inprocess import KEYED, PLAIN, Crowd, crowd, is_drained, until
from tests.harness.nodes import Node, nodes
from tests.harness.process import free_port
from tests.harness.wait import wait_for

pytestmark = pytest.mark.slow

SHARDS = 6
#: First and last slot of each master.
_SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))
#: A minute that is long over, so that it is sealed at once.
LONG_AGO = 26_000_000
#: The node that is killed.
VICTIM = 1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three masters that know each other."""
    buses = [free_port() for _ in _SLOTS]
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    with nodes(tmp_path_factory.mktemp("cluster"), *((*options, "--cluster-port", str(bus)) for bus in buses)) as made:
        for node, slots in zip(made, _SLOTS, strict=True):
            node.redis.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
        for node, bus in zip(made, buses, strict=True):
            made[0].redis.execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
        wait_for(lambda: all(_is_whole(node) for node in made), "the cluster is formed")
        yield made


def _is_whole(node: Node) -> bool:
    info = node.redis.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_size"] == "3")


@pytest.fixture
def clustered(cluster: list[Node], settings: Callable[..., Settings]) -> Settings:
    """Settings for an empty cluster, known by two of its nodes."""
    for node in cluster:
        node.redis.flushall()
        node.redis.config_set("cluster-require-full-coverage", "yes")
    url = f"redis+cluster://127.0.0.1:{cluster[0].port},127.0.0.1:{cluster[1].port}"
    return settings(redis_url=url, shards=SHARDS, minute_s=1, grace_s=0.0)


@pytest.fixture
async def redis(clustered: Settings) -> AsyncIterator["Redis"]:
    """A client of the empty cluster, as the service makes it."""
    client = connect(clustered)
    yield client
    await client.aclose()


def owner(cluster: list[Node], shard: int) -> Node:
    """The node that had the shard's slot at first."""
    slot = key_slot(keys.prefix(shard).encode())
    return next(node for node, (first, last) in zip(cluster, _SLOTS, strict=True) if first <= slot <= last)


# -- the client --------------------------------------------------------------------------------------------------------


async def test_every_use_of_redis_has_its_way_in_a_cluster(clustered: Settings, redis: "Redis") -> None:
    async with crowd(clustered) as one:
        one.add_lane()
        for _ in range(2):  # at first no node knows the scripts; then all of them have forgotten them
            one.counters[0].add_many({(LONG_AGO, banner): 1 for banner in PLAIN})
            await one.counters[0].durable()
            await one.minutes.flush()
            await redis.script_flush()
        assert await one.counted() == await one.persisted() | dict.fromkeys(KEYED, 0)
        assert (await one.reader.top(0, 2**32, 3)).banners == [(1, 2), (2, 2), (3, 2)]
        assert await one.difference() == 0
        assert (await one.checks())["status"] == "ok"
        large = f"{LONG_AGO}:large"
        await redis.hset(f"{keys.prefix(3)}i:{large}", mapping={str(banner): "1" for banner in range(1, 6001)})
        await redis.zadd(keys.prefix(3) + "live", {large: LONG_AGO})
        assert await one.minutes.flush() == 6000  # read with a cursor
    limiter = Limiter(0.001, 2, redis)
    await limiter.take("192.0.2.1")
    await limiter.take("192.0.2.1")
    with pytest.raises(Limited):
        await limiter.take("192.0.2.1")
    async with redis_uses(clustered, redis) as report:
        await report()
    (uses,) = REDIS_USED.collect()
    used = {sample.labels["use"]: sample.value for sample in uses.samples}
    assert (used["limits"], used["events"]) == (redis_memory.LIMIT, 0)
    assert 0 < used["total"] < clustered.redis_memory_bytes


async def test_each_master_is_examined(cluster: list[Node], redis: "Redis") -> None:
    assert len(await masters(redis)) == 3
    cluster[2].redis.config_set("appendfsync", "everysec")
    try:
        findings = await examine_redis(redis)
    finally:
        cluster[2].redis.config_set("appendfsync", "always")
    assert {finding.store for finding in findings} == {f"redis 127.0.0.1:{node.port}" for node in cluster}
    assert [one.store for one in findings if one.level == "unsafe"] == [f"redis 127.0.0.1:{cluster[2].port}"]


async def test_a_command_of_unknown_outcome_is_sent_once(redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    real, sent = ClusterNode.execute_command, 0

    async def lossy(node: ClusterNode, *arguments: Any, **options: Any) -> Any:
        nonlocal sent
        answer = await real(node, *arguments, **options)
        if arguments[0] != "HINCRBY":
            return answer
        sent += 1
        raise RedisConnectionError("the reply was lost")

    await redis.ping()
    monkeypatch.setattr(ClusterNode, "execute_command", lossy)
    with pytest.raises(RedisConnectionError):
        await redis.hincrby("clicks", "7", 1)
    assert (sent, await redis.hget("clicks", "7")) == (1, b"1")


async def test_more_callers_than_connections_wait(redis: "Redis") -> None:
    assert all(await asyncio.gather(*(redis.hset("clicks", str(one), "1") for one in range(300))))


async def test_scripts_may_name_keys_of_their_own_slot_only(tmp_path: Path, redis: "Redis") -> None:
    """Incarnations are not among the KEYS of scripts: their ids are known only inside. The hash tag keeps them near."""
    (tmp_path / "one.lua").write_text("#!lua\nreturn redis.call('HINCRBY', ARGV[1], 'x', 1)")
    script = Script(str(tmp_path / "one.lua"))
    for shard in range(SHARDS):
        prefix = keys.prefix(shard)
        assert await script(redis, [prefix + "cur"], [prefix + "i:26000000:abc"]) == 1
    with pytest.raises(ResponseError, match=r"non local key|same slot"):
        await script(redis, [keys.prefix(0) + "cur"], [keys.prefix(3) + "i:26000000:abc"])


async def test_a_cluster_of_which_nothing_answers_is_an_expected_error() -> None:
    client = connect(Settings(redis_url=f"redis+cluster://:secret@127.0.0.1:{free_port()}"))
    with pytest.raises(REDIS_ERRORS) as caught:
        await client.ping()
    assert "secret" not in str(caught.value)
    await client.aclose()


# -- a master dies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coverage", ["no", "yes"])
async def test_a_master_is_killed_and_comes_back_while_clicks_go_on(
    cluster: list[Node], clustered: Settings, coverage: str
) -> None:
    """With full coverage required, the whole cluster is down while one master is; else only its slots are."""
    for node in cluster:
        node.redis.config_set("cluster-require-full-coverage", coverage)
    victim = cluster[VICTIM]
    async with crowd(clustered) as one:
        homes: set[Node] = set()
        while len(homes) < 3 or len(one.counters) < 4:
            homes.add(owner(cluster, keys.shard_of(one.add_lane(), SHARDS)))
        one.start()
        await asyncio.sleep(0.7)
        assert (await one.checks())["status"] == "ok"
        victim.signal(signal.SIGKILL)
        before = one.ledger.acked.copy()
        noticed_s = await until(lambda: _says(one, "degraded"), "health says degraded")
        await asyncio.sleep(1.2)
        during = one.ledger.acked - before
        victim.launch()
        recovered_s = await until(lambda: _says(one, "ok"), "health says ok")
        await asyncio.sleep(0.5)
        acked = await one.conclude()
        assert sum(during[banner] for banner in PLAIN) > 100  # lanes wait for nobody
        print(
            f"\ncoverage={coverage}: {sum(acked.values())} clicks on {len(one.counters)} lanes, {sum(during.values())} "
            f"while a master was dead ({sum(during[b] for b in KEYED)} with keys); reads {dict(one.reads)}; "
            f"degraded after {noticed_s:.2f} s, ok {recovered_s:.2f} s after the restart"
        )


async def _says(one: Crowd, status: str) -> bool:
    return (await one.checks())["status"] == status


# -- a slot moves ------------------------------------------------------------------------------------------------------


async def test_a_page_in_a_slot_that_moves_is_counted_whole_or_not_at_all(
    cluster: list[Node], clustered: Settings
) -> None:
    """While a slot moves key by key, its old node refuses a key that it has no longer, or not yet."""
    async with crowd(clustered) as one:
        shard = keys.shard_of(one.add_lane(), SHARDS)
        source, slot = owner(cluster, shard), key_slot(keys.prefix(shard).encode())
        target = next(node for node in cluster if node is not source)
        (counter,) = one.counters
        soon = int(time.time()) + 3600  # a minute that stays open
        old, *new = (KeyedClick(soon + n // 2, 101, 1, shard.to_bytes(4) + bytes([n] * 12)) for n in range(3))
        counter.add_many({(soon, 1): 1})
        await counter.durable()
        await one.keyed.count([old])
        _begin_move(shard, source, target)
        try:
            counter.add_many({(soon, 1): 1, (soon + 1, 1): 1})
            for _ in range(3):
                with pytest.raises(RedisUnavailable):
                    await counter.durable()
                with pytest.raises(RedisUnavailable):
                    await one.keyed.count(new)
        finally:
            for node in (source, target):
                node.redis.execute_command("CLUSTER SETSLOT", slot, "STABLE")
        await until(lambda: is_drained(counter), "the page is taken")
        assert await one.keyed.count(new) == [True, True]
        counted = await one.counted()
        assert (counted[1], counted[101], await one.difference()) == (3, 3, 0)


async def test_what_half_of_a_slot_says_is_not_asked_for(cluster: list[Node], clustered: Settings) -> None:
    """The keys that scripts name have moved, the incarnations and the keys that were seen have not: the new node takes
    those for new, and answers who asks."""
    async with crowd(clustered) as one:
        shard = keys.shard_of(one.add_lane(), SHARDS)
        source, prefix = owner(cluster, shard), keys.prefix(shard)
        target = next(node for node in cluster if node is not source)
        (counter,) = one.counters
        soon = int(time.time()) + 3600
        click = KeyedClick(soon, 101, 1, shard.to_bytes(4) + bytes(12))
        counter.add_many({(soon, 1): 1})
        await counter.durable()
        assert await one.keyed.count([click]) == [True]
        named = [name for name in source.redis.scan_iter(prefix + "*") if ":i:" not in name and ":ids:" not in name]
        assert len(named) == 5
        _begin_move(shard, source, target)
        try:
            source.redis.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 2000, "KEYS", *named)
            counter.add_many({(soon, 1): 1})
            for _ in range(3):
                with pytest.raises(RedisUnavailable):
                    await counter.durable()
                with pytest.raises(RedisUnavailable):
                    await one.keyed.count([click])
                with pytest.raises(RedisUnavailable):
                    await one.counted()
        finally:
            await _end_move(shard, source, target, cluster)
        await until(lambda: is_drained(counter), "the page is taken")
        assert await one.keyed.count([click]) == [False]
        counted = await one.counted()
        assert (counted[1], counted[101], await one.difference()) == (2, 1, 0)
        await _move(shard, target, source, cluster)


async def test_a_large_minute_that_moves_while_it_is_read_is_read_whole(
    cluster: list[Node], clustered: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read with a cursor, which leads the next node, whose hashes are in another order, past some banners."""
    source, target = owner(cluster, 0), cluster[0]
    real, parts = Cluster.hscan, 0

    async def moving(redis: Cluster, *arguments: Any, **options: Any) -> Any:
        nonlocal parts
        part = await real(redis, *arguments, **options)
        parts += 1
        if parts == 1:
            await _move(0, source, target, cluster)
        return part

    async with crowd(clustered) as one:
        large, key = f"{LONG_AGO}:large", f"{keys.prefix(0)}i:{LONG_AGO}:large"
        await one.redis.hset(key, mapping={str(banner): "1" for banner in range(1, 12_001)})
        await one.redis.zadd(keys.prefix(0) + "live", {large: LONG_AGO})
        monkeypatch.setattr(Cluster, "hscan", moving)
        try:
            assert await one.minutes.flush() == 12_000
        finally:
            await _move(0, target, source, cluster)
        assert not await one.redis.exists(key)


async def test_slots_move_under_load(cluster: list[Node], clustered: Settings) -> None:
    async with crowd(clustered) as one:
        while len(one.counters) < 4:
            one.add_lane()
        one.start()
        await asyncio.sleep(0.5)
        for shard in (0, 1, 3):  # one of each master
            source = owner(cluster, shard)
            target = random.choice([node for node in cluster if node is not source])
            await _move(shard, source, target, cluster)
            await asyncio.sleep(0.2)
            await _move(shard, target, source, cluster)
        await asyncio.sleep(0.5)
        acked = await one.conclude()
        print(f"\n6 moves: {sum(acked.values())} clicks; reads {dict(one.reads)}")


async def _move(shard: int, source: Node, target: Node, cluster: list[Node]) -> None:
    """As `valkey-cli --cluster reshard` does it: key by key."""
    _begin_move(shard, source, target)
    await _end_move(shard, source, target, cluster)


def _begin_move(shard: int, source: Node, target: Node) -> None:
    slot = key_slot(keys.prefix(shard).encode())
    target.redis.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _id(source))
    source.redis.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _id(target))


async def _end_move(shard: int, source: Node, target: Node, cluster: list[Node]) -> None:
    slot = key_slot(keys.prefix(shard).encode())
    while names := source.redis.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
        source.redis.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 2000, "KEYS", *names)
        await asyncio.sleep(0.005)  # so that clicks meet a slot of which one half is here and the other there
    for node in (target, source, *cluster):
        node.redis.execute_command("CLUSTER SETSLOT", slot, "NODE", _id(target))


def _id(node: Node) -> str:
    return str(node.redis.execute_command("CLUSTER MYID"))
