"""A master dies and its replica is promoted. Replication is asynchronous, so this may lose what Redis acknowledged: how
much, and whether the books name it."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.counting import keys
from shared.settings import Settings
from tests.chaos.clicks.inprocess import KEYED, PLAIN, Crowd, crowd, until
from tests.harness.nodes import Node, nodes
from tests.harness.process import free_port
from tests.harness.wait import wait_for

pytestmark = pytest.mark.slow

SHARDS = 2
#: Seconds for which the replica's link is cut before the master dies.
LAG_S = 0.6


def received(replica: Node) -> tuple[int, int]:
    """Clicks (from lanes, with keys) that the server was given, as it says itself."""
    lanes = keyed = 0
    for shard in range(SHARDS):
        prefix = keys.prefix(shard)
        names = [f"{prefix}lane:{lane}" for lane in replica.redis.smembers(prefix + "lanes")]
        lanes += sum(int(replica.redis.hget(name, "total") or 0) for name in names)
        keyed += int(replica.redis.hget(prefix + "keyed", "total") or 0)
    return lanes, keyed


def total(clicks: dict[int, int], banners: Iterable[int]) -> int:
    return sum(clicks.get(banner, 0) for banner in banners)


def point(link: Path, node: Node) -> None:
    """Let the address of the clients mean that server, as a virtual IP would."""
    new = link.with_suffix(".new")
    new.symlink_to(node.folder / "socket")
    os.replace(new, link)


@pytest.mark.parametrize(
    ("is_cut", "min_replicas"),
    [(False, 0), (True, 0), (True, 1)],
    ids=["in step", "link cut", "link cut, min-replicas-to-write 1"],
)
async def test_a_promotion_loses_no_more_than_the_replica_lacked(
    tmp_path: Path, settings: Callable[..., Settings], is_cut: bool, min_replicas: int
) -> None:
    link = tmp_path / "redis"
    options = ("--unixsocket", "socket", "--repl-diskless-sync-delay", "0", "--min-replicas-to-write")
    with nodes(tmp_path, (*options, str(min_replicas)), (*options, "0")) as (master, replica):
        replica.redis.replicaof("127.0.0.1", str(master.port))
        wait_for(lambda: replica.redis.info("replication")["master_link_status"] == "up", "the replica is in step")
        wait_for(lambda: master.redis.info("replication")["connected_slaves"] == 1, "the master knows its replica")
        point(link, master)
        chosen = settings(redis_url=f"unix://{link}", shards=SHARDS, minute_s=1, grace_s=0.0)
        with capture_logs() as lines:
            async with crowd(chosen) as one:
                for _ in range(4):
                    one.add_lane()
                one.start()
                await asyncio.sleep(1.2)
                assert await one.difference() == 0
                if is_cut:
                    replica.redis.replicaof("127.0.0.1", str(free_port()))
                    await asyncio.sleep(0.1)
                    cut = one.ledger.acked.copy()
                    await asyncio.sleep(LAG_S)
                    refuses = total(cut, KEYED) == total(one.ledger.acked, KEYED)
                    assert refuses == bool(min_replicas)  # a master that has to have a replica takes nothing without it
                one.may_lose = True
                master.signal(signal.SIGKILL)
                acked = one.ledger.acked.copy()
                await asyncio.sleep(0.3)  # the replica reads what is still in its socket
                had = received(replica)
                replica.redis.replicaof("NO", "ONE")
                point(link, replica)
                await until(lambda: _is_ok(one), "health says ok")
                await asyncio.sleep(1)
                await one.stop()
                await one.settle()
                counted, difference = await one.counted(), await one.difference()
                assert counted == await one.persisted() | {banner: 0 for banner in counted if not counted[banner]}
                final = one.ledger.acked
                remembered = received(replica)[1]
            master.start()  # nobody is pointed to it: it only says what it had
            lacked = [ours - theirs for ours, theirs in zip(received(master), had, strict=True)]
        for banner in (*PLAIN, *KEYED):
            assert counted[banner] <= final[banner], f"banner {banner} was counted twice"
        lost, lost_keyed = (total(final, kind) - total(counted, kind) for kind in (PLAIN, KEYED))
        print(
            f"\nlost {lost} of {total(acked, PLAIN)} clicks acknowledged till then, the replica lacked {lacked[0]}; "
            f"\nlost {lost_keyed} of {total(acked, KEYED)} with keys, it lacked {lacked[1]}; "
            f"\ndifference {difference}; in all {sum(final.values())} clicks; reads {dict(one.reads)}"
        )
        assert 0 <= lost <= lacked[0]
        assert 0 <= lost_keyed <= lacked[1]
        assert sum(final.values()) > 1.3 * sum(acked.values())  # counting went on
        # Each page brings the total of its lane along, so the books know of pages that Redis forgot. The total of the
        # clicks with keys goes back with Redis: what it forgot is not missed, and counts against the rest if it is in
        # Postgres.
        forgotten = total(counted, KEYED) - remembered
        assert difference == lost - forgotten
        if lost:
            assert any(line["event"] == "redis_forgot_pages" for line in lines)
        if is_cut and not min_replicas:
            assert lost + lost_keyed + forgotten > 0  # else nothing was put to the test


async def _is_ok(one: Crowd) -> bool:
    return (await one.checks())["status"] == "ok"
