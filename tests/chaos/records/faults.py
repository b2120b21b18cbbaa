"""What is done to the record path: the faults of the counter that concern it, and its own."""

import contextlib
import shutil

import psutil

from tests.chaos.clicks import faults
from tests.chaos.clicks.faults import FAULTS, Fault, Scene
from tests.chaos.records.stage import RecordStage

#: Of the counter: whatever kills, stops or cuts a process that records go through.
_SHARED = (
    "kill_worker",
    "kill_ingest",
    "kill_aggregator",
    "kill_both_aggregators",
    "stop_worker",
    "stop_aggregator",
    "kill_redis",
    "kill_postgres",
    "kill_backend",
    "redis_away",
    "postgres_away",
    "forget_scripts",
    "end_transactions",
    "swallow_redis",
    "swallow_commits",
    "step_clock",
    "slow_disk",
)
_OWN: dict[str, Fault] = {}
#: Of one log only.
_STREAMS, _KAFKA = (
    ("forget_scripts", "restore_redis", "full_disk"),
    ("kill_kafka", "kafka_away", "swallow_kafka", "deaf_kafka"),
)


def _fault(function: Fault) -> Fault:
    _OWN[function.__name__] = function
    return function


@_fault
async def kill_clickhouse(scene: Scene) -> None:
    await scene.be_without("clickhouse", 0, 0.5)


@_fault
async def clickhouse_away(scene: Scene) -> None:
    await scene.be_without("clickhouse", faults.LONG_S, 2 * faults.LONG_S)


@_fault
async def stop_clickhouse(scene: Scene) -> None:
    """It takes what it is sent, answers nothing for longer than anybody waits, and then does all of it."""
    with contextlib.suppress(psutil.Error):
        await faults.sleep(scene, scene.stage.process("clickhouse"))


@_fault
async def restore_redis(scene: Scene) -> None:
    """Redis comes back as it was some seconds ago, with less in the log than the tables have.

    Everything is let into its place first: what only Redis has dies with its disk, and nobody promises that.
    """
    stage = scene.stage
    assert isinstance(stage, RecordStage)
    copy = stage.copy_redis()
    try:
        await scene.pause(0.2, 1)
        await scene.crowd.pause()
        if not await stage.settle():
            return
        accepted = await stage.accepted()
        for name in ("aggregator-1", "aggregator-2"):
            await stage.kill(name)
        await stage.take_away("redis")
        stage.restore_redis(copy)
        await stage.bring_back("redis")
        stage.forgotten.update(accepted - await stage.accepted())
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        scene.crowd.resume()
        for name in ("aggregator-1", "aggregator-2"):
            if not stage.runs(name):
                stage.launch(name)


@_fault
async def full_disk(scene: Scene) -> None:
    """Nobody can write a byte: no journal, no append, no part, no cursor."""
    with scene.disk.full():
        await scene.pause(1, 3)
        if scene.chance.random() < 0.5:
            await FAULTS["kill_worker"](scene)
            await scene.pause(0.5, 1)
    for name in ("redis", "postgres", "clickhouse"):
        await scene.stage.bring_back(name)


@_fault
async def kill_kafka(scene: Scene) -> None:
    await scene.stage.take_away("kafka")
    await scene.stage.bring_back("kafka")


@_fault
async def kafka_away(scene: Scene) -> None:
    await scene.be_without("kafka", faults.LONG_S, 2 * faults.LONG_S)


@_fault
async def swallow_kafka(scene: Scene) -> None:
    """Requests with records have their header in them."""
    await faults.swallow(scene, "kafka", b"tallybook", 0.05)


@_fault
async def deaf_kafka(scene: Scene) -> None:
    """For longer than an append may take Kafka stores what it is sent, and nobody hears of it: then the client gives
    up, and whoever sends the append again is a stranger to the broker."""
    proxy = scene.stage.proxies["kafka"]
    proxy.swallow = {b"tallybook": 1.0}
    await scene.pause(11, 14)
    proxy.calm()


@_fault
async def swallow_inserts(scene: Scene) -> None:
    """ClickHouse has the rows, and the sink does not know."""
    await faults.swallow(scene, "clickhouse", b"insert_deduplication_token", 0.3)


@_fault
async def swallow_intents(scene: Scene) -> None:
    """Statements of the sinks about their cursors; each names the sink."""
    await faults.swallow(scene, "postgres", b"tracker_events", 0.3)


@_fault
async def cut(scene: Scene) -> None:
    """All connections to one server break."""
    scene.stage.proxies[_server(scene)].cut()


@_fault
async def hold(scene: Scene) -> None:
    """Connections are accepted, and nothing ever comes."""
    proxy = scene.stage.proxies[_server(scene)]
    proxy.is_forwarding.clear()
    await scene.pause(0.5, faults.LONG_S)
    proxy.cut()
    proxy.calm()


@_fault
async def delay(scene: Scene) -> None:
    proxy = scene.stage.proxies[_server(scene)]
    proxy.delay_s = scene.chance.uniform(0.01, 0.3)
    await scene.pause(0.5, 2)
    proxy.calm()


@_fault
async def hold_cursors(scene: Scene) -> None:
    """A stranger's transaction holds the cursors for longer than the service's patience."""
    async with scene.stage.database() as connection, connection.transaction():
        await connection.execute("LOCK TABLE sink_cursor IN SHARE MODE")
        await scene.pause(0.5, faults.LONG_S)


def _server(scene: Scene) -> str:
    return scene.chance.choice(sorted(scene.stage.proxies))


def of(log: str) -> dict[str, Fault]:
    """The faults of a run with this log."""
    left_out = _KAFKA if log == "streams" else _STREAMS
    every = {name: FAULTS[name] for name in _SHARED} | _OWN
    return {name: fault for name, fault in every.items() if name not in left_out}
