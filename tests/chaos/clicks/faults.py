"""Everything that is done to the service: one coroutine each, named in FAULTS. Each ends with its cause removed."""

import asyncio
import contextlib
import random
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tests.chaos.clicks.books import Books
from tests.chaos.clicks.crowd import Crowd
from tests.chaos.clicks.disk import SmallDisk
from tests.chaos.clicks.stage import Stage

#: Seconds: longer than every time-out, lease and retry of the stage's settings.
LONG_S = 4.0


class Scene:
    """What a fault may touch."""

    def __init__(self, stage: Stage, crowd: Crowd, books: Books, disk: SmallDisk, chance: random.Random) -> None:
        self.stage, self.crowd, self.books, self.disk, self.chance = stage, crowd, books, disk, chance
        #: Clicks with keys that Redis knew of before it was put back to older copies: no file tells it of them again.
        self._forgotten = 0

    def aggregator(self) -> str:
        return self.chance.choice(("aggregator-1", "aggregator-2"))

    async def pause(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self.chance.uniform(least_s, most_s))

    async def be_without(self, server: str, least_s: float, most_s: float) -> None:
        """Kill a server, and start it again after a time."""
        await self.stage.take_away(server)
        await self.pause(least_s, most_s)
        await self.stage.bring_back(server)

    async def check_account(self) -> None:
        """The accounts differ by what Redis has forgotten, and by nothing else. Call it when all is settled."""
        difference = await self.stage.difference()
        self.books.check_account(difference, self._forgotten + await self.stage.forgotten_by_lanes())

    async def put_back(self, copy: Path) -> None:
        """Put Redis back to the copy. Call it when all is settled."""
        known = await self.stage.counted_with_keys()
        await self.stage.take_away("redis")
        self.stage.restore_redis(copy)
        await self.stage.bring_back("redis")
        self._forgotten += known - await self.stage.counted_with_keys()


Fault = Callable[[Scene], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def _fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


# -- processes ---------------------------------------------------------------------------------------------------------


@_fault
async def kill_worker(scene: Scene) -> None:
    """Another worker adopts its lane, or its successor does."""
    if workers := scene.stage.workers():
        with contextlib.suppress(psutil.Error):
            scene.chance.choice(workers).kill()


@_fault
async def kill_ingest(scene: Scene) -> None:
    """Granian and all its workers at once."""
    await scene.stage.kill("ingest")
    scene.stage.launch("ingest")


@_fault
async def kill_aggregator(scene: Scene) -> None:
    name = scene.aggregator()
    await scene.stage.kill(name)
    scene.stage.launch(name)


@_fault
async def kill_both_aggregators(scene: Scene) -> None:
    for name in ("aggregator-1", "aggregator-2"):
        await scene.stage.kill(name)
    await scene.pause(0.5, 3)
    for name in ("aggregator-1", "aggregator-2"):
        scene.stage.launch(name)


@_fault
async def stop_worker(scene: Scene) -> None:
    """A zombie: it sleeps longer than every time-out and wakes up with what it was about to do."""
    if workers := scene.stage.workers():
        await sleep(scene, scene.chance.choice(workers))


@_fault
async def stop_aggregator(scene: Scene) -> None:
    with contextlib.suppress(psutil.Error):
        await sleep(scene, scene.stage.process(scene.aggregator()))


async def sleep(scene: Scene, process: psutil.Process) -> None:
    """SIGSTOP, and go on later."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(signal.SIGSTOP)
        await scene.pause(0.5, LONG_S)
        process.send_signal(signal.SIGCONT)


# -- servers -----------------------------------------------------------------------------------------------------------


@_fault
async def kill_redis(scene: Scene) -> None:
    await scene.be_without("redis", 0, 0.5)


@_fault
async def kill_postgres(scene: Scene) -> None:
    await scene.be_without("postgres", 0, 0.5)


@_fault
async def kill_backend(scene: Scene) -> None:
    """One connection's process: then Postgres restarts all of them."""
    with contextlib.suppress(psutil.Error):
        if backends := scene.stage.process("postgres").children():
            scene.chance.choice(backends).kill()


@_fault
async def redis_away(scene: Scene) -> None:
    """Long enough to fill the lanes: clicks go on, then they are refused."""
    await scene.be_without("redis", LONG_S, 2 * LONG_S)


@_fault
async def postgres_away(scene: Scene) -> None:
    await scene.be_without("postgres", LONG_S, 2 * LONG_S)


@_fault
async def forget_scripts(scene: Scene) -> None:
    await scene.stage.redis.script_flush()


@_fault
async def end_transactions(scene: Scene) -> None:
    """Postgres ends every session, as an administrator would."""
    async with scene.stage.database() as connection:
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tallybook'"
        )


@_fault
async def hold_rows(scene: Scene) -> None:
    """A stranger's transaction holds the ledger for longer than the service's patience."""
    async with scene.stage.database() as connection, connection.transaction():
        await connection.execute("LOCK TABLE click_ledger IN SHARE MODE")
        await scene.pause(0.5, LONG_S)


# -- the wire ----------------------------------------------------------------------------------------------------------


@_fault
async def cut(scene: Scene) -> None:
    """All connections to one server break."""
    scene.stage.proxies[scene.chance.choice(("redis", "postgres"))].cut()


@_fault
async def swallow_redis(scene: Scene) -> None:
    """Redis does what it was told, and nobody hears that it did."""
    await swallow(scene, "redis", b"EVALSHA", 0.2)


@_fault
async def swallow_commits(scene: Scene) -> None:
    await swallow(scene, "postgres", b"COMMIT", 0.5)


async def swallow(scene: Scene, server: str, request: bytes, chance: float) -> None:
    """For a while replies to requests that hold this text are lost, with that chance."""
    proxy = scene.stage.proxies[server]
    proxy.swallow = {request: chance}
    await scene.pause(1, 3)
    proxy.calm()


@_fault
async def delay(scene: Scene) -> None:
    proxy = scene.stage.proxies[scene.chance.choice(("redis", "postgres"))]
    proxy.delay_s = scene.chance.uniform(0.01, 0.3)
    await scene.pause(0.5, 2)
    proxy.calm()


@_fault
async def hold(scene: Scene) -> None:
    """Connections are accepted, and nothing ever comes."""
    proxy = scene.stage.proxies[scene.chance.choice(("redis", "postgres"))]
    proxy.is_forwarding.clear()
    await scene.pause(0.5, LONG_S)
    proxy.cut()
    proxy.calm()


# -- the machine -------------------------------------------------------------------------------------------------------


@_fault
async def step_clock(scene: Scene) -> None:
    """The wall clock of one kind of process jumps, and jumps back."""
    shim = scene.stage.shims[scene.chance.choice(("ingest", "aggregator", "redis"))]
    shim.order(clock_s=scene.chance.choice((-1, 1)) * scene.chance.uniform(1, 8))
    await scene.pause(0.5, 3)
    shim.order(clock_s=0.0)


@_fault
async def slow_disk(scene: Scene) -> None:
    """Every fsync of Redis takes long, and it dies in the middle of that."""
    shim = scene.stage.shims["redis"]
    shim.order(fsync_s=scene.chance.uniform(0.02, 0.5))
    await scene.pause(0.5, 2)
    await scene.stage.take_away("redis")
    shim.order(fsync_s=0.0)
    await scene.stage.bring_back("redis")


@_fault
async def full_disk(scene: Scene) -> None:
    """Nobody can write a byte: not Redis, not Postgres, no new lane, no log line."""
    with scene.disk.full():
        await scene.pause(1, 3)
        if scene.chance.random() < 0.5:
            await kill_worker(scene)
            await scene.pause(0.5, 1)
    for name in ("redis", "postgres"):
        await scene.stage.bring_back(name)


@_fault
async def restore_redis(scene: Scene) -> None:
    """Redis comes back as it was some seconds ago, with minutes open that have been persisted since.

    Everything is let into Postgres first: what only Redis has dies with its disk, and nobody promises that.
    """
    stage = scene.stage
    copy = stage.copy_redis()
    try:
        await scene.pause(0.2, 1)
        if not (await scene.crowd.pause() and await stage.settle()):
            return
        await scene.check_account()
        for name in ("aggregator-1", "aggregator-2"):
            await stage.kill(name)
        await scene.put_back(copy)
        scene.crowd.resume()
        await scene.pause(0.5, 1)  # late clicks for the minutes that the copy has open
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        scene.crowd.resume()
        for name in ("aggregator-1", "aggregator-2"):
            if not stage.runs(name):
                stage.launch(name)
