"""The generator against a real Kafka, a real Redis and the real HTTP service: what the ledger says is what is there."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from aiohttp import web
from redis.asyncio import Redis

from generator.ledger import LedgerUnusable
from generator.targets.sender import Patience, TargetUnusable
from generator.targets.target import Producing
from generator.traffic.kinds import FAULTY, KINDS
from generator.traffic.partitioner import kafka_partition, murmur2
from generator.traffic.profile import Profile
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.record_log.record_log import BEGIN, Limit
from shared.settings import Settings
from shared.stores import clickhouse
from tests.harness.kafka.broker import artefacts
from tests.harness.process import Program, program
from tests.harness.proxy import Proxy, to_port, to_url
from tests.harness.subjects.events import event_stage
from tests.harness.subjects.generating import (
    PARTITIONS,
    Stored,
    assert_same,
    control_port,
    count_lines,
    generated,
    in_kafka,
    in_streams,
    lines,
    patched,
)
from tests.harness.subjects.tracking import tracking
from tests.harness.wait import until, wait_for

pytestmark = pytest.mark.slow

_numbers = itertools.count()


class Log(NamedTuple):
    """A log to send to, its name, and how it is read."""

    name: str
    url: str
    topic: str
    read: Callable[[], Awaitable[list[Stored]]]


@pytest.fixture
def topic() -> str:
    return f"views-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(params=["kafka", "streams"])
def log(request: pytest.FixtureRequest, topic: str) -> Log:
    if request.param == "kafka":
        servers, _ = request.getfixturevalue("kafka_servers")
        return Log("kafka", f"kafka://{servers}", topic, lambda: in_kafka(servers, topic))
    redis = request.getfixturevalue("redis_client")
    return Log("streams", request.getfixturevalue("redis_url"), topic, lambda: in_streams(redis, topic))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "sent.jsonl"


def ahead(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".ahead")


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sync", "async", "batch"])
async def test_every_way_of_sending_delivers_what_the_ledger_says(log: Log, ledger: Path, way: str) -> None:
    events = 300 if way == "sync" else 5_000
    result = await generated(log.url, topic=log.topic, events=events, ledger=ledger, way=way)
    assert result.is_complete
    assert sum(result.summary["sent"].values()) == events
    told = lines(ledger)
    assert_same(told, await log.read())
    assert Counter(one["kind"] for one in told) == result.summary["sent"]
    assert not ahead(ledger).exists()


async def test_the_same_seed_sends_the_same_to_every_target(log: Log, ledger: Path, tmp_path: Path) -> None:
    order: dict[str, Any] = {"events": 2_000, "seed": 11, "start_ms": 1_795_000_000_000}
    await generated(log.url, topic=log.topic, ledger=ledger, **order)
    other = tmp_path / "other.jsonl"
    await generated(log.url, topic=log.topic, ledger=other, way="batch", spread="random", **order)

    def content(path: Path) -> list[dict[str, Any]]:
        told = sorted(lines(path), key=lambda one: int(one["n"]))
        return [{name: part for name, part in one.items() if name != "position"} for one in told]

    assert content(ledger) == content(other)


async def test_each_kind_may_go_its_own_way(log: Log, ledger: Path) -> None:
    ways = dict.fromkeys(KINDS, "async") | dict.fromkeys(FAULTY, "sync") | {"duplicate": "batch"}
    result = await generated(log.url, topic=log.topic, events=1_500, ledger=ledger, ways=ways)
    assert result.is_complete
    told = lines(ledger)
    assert_same(told, await log.read())
    if log.name == "streams":
        ways_taken = {one["kind"]: one["position"]["producer"].partition(".")[2] for one in told}
        assert ways_taken == ways


async def test_round_robin_gives_each_partition_its_turn(log: Log) -> None:
    await generated(log.url, topic=log.topic, events=999, spread="round_robin")
    assert Counter(one.partition for one in await log.read()) == dict.fromkeys(range(PARTITIONS), 333)


async def test_a_key_goes_where_the_record_log_expects_it(log: Log, redis_client: "Redis") -> None:
    await generated(log.url, topic=log.topic, events=3_000)
    if log.name == "kafka":
        of = KafkaLog("", PARTITIONS, 1).partition_of
    else:
        from shared.record_log.streams import StreamsLog

        of = StreamsLog(redis_client, PARTITIONS, 1).partition_of
    assert all(one.partition == of(one.key) for one in await log.read())


async def test_a_sink_of_the_record_log_reads_it_from_kafka(
    kafka_servers: tuple[str, int], topic: str, ledger: Path
) -> None:
    servers, _ = kafka_servers
    await generated(f"kafka://{servers}", topic=topic, events=2_000, ledger=ledger)
    records = []
    log = KafkaLog(servers, PARTITIONS, 1_000_000)
    for partition in range(PARTITIONS):
        reader = log.reader(topic, partition, "tests")
        batch = await reader.read(BEGIN, {}, Limit(wait_s=2))
        records += [Stored(partition, (one.position.offset, 0), one.key, one.value) for one in batch.records]
        await reader.close()
    await log.close()
    assert_same(lines(ledger), records)


async def test_paced_modes_send_at_their_pace(log: Log, ledger: Path) -> None:
    """A minute of bursts in a second and a half."""
    result = await generated(
        log.url,
        topic=log.topic,
        ledger=ledger,
        mode="bursts",
        profile=Profile(mode="bursts", burst_low=100, burst_high=100, burst_every_s=20),
        start_ms=1_795_000_000_000,
        speed=40.0,
        duration_s=1.4,
    )
    assert result.is_settled
    assert not result.is_complete
    told = lines(ledger)
    assert len(told) >= 100
    assert len(told) % 100 == 0
    assert_same(told, await log.read())


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_transactional", [False, True], ids=["idempotent", "transactional"])
async def test_an_outage_of_kafka_in_the_middle_loses_and_doubles_nothing(
    kafka_servers: tuple[str, int], faults: Proxy, topic: str, ledger: Path, is_transactional: bool
) -> None:
    """Cut, and then deaf: the broker stores, and its answers are swallowed."""
    servers, faulty = kafka_servers
    faults.connect = to_port(faulty)
    faults.heal()
    await generated(f"kafka://{servers}", topic=topic, events=1, ledger=ledger.with_name("first"))
    task = asyncio.create_task(
        generated(
            f"kafka://127.0.0.1:{faults.port}",
            topic=topic,
            events=40_000,
            ledger=ledger,
            way="batch",
            producing=Producing(is_transactional=is_transactional),
        )
    )
    await until(lambda: count_lines(ledger) > 5_000, "the first lines")
    faults.fail(away=True)
    await asyncio.sleep(0.5)
    faults.heal()
    before = count_lines(ledger)
    await until(lambda: count_lines(ledger) > before + 2_000, "more lines after the outage")
    faults.fail(deaf=True)
    await asyncio.sleep(0.5)
    faults.heal()
    result = await task
    assert result.is_complete
    stored = await in_kafka(servers, topic)
    first = {(one["position"]["partition"], one["position"]["offset"]) for one in lines(ledger.with_name("first"))}
    assert_same(lines(ledger), [one for one in stored if (one.partition, one.place[0]) not in first])


async def test_an_outage_of_redis_in_the_middle_loses_and_doubles_nothing(
    redis_client: "Redis", redis_url: str, faults: Proxy, topic: str, ledger: Path
) -> None:
    faults.connect = to_url(redis_url)
    faults.heal()
    settings = Settings(log_partitions=PARTITIONS, log_records_max=1_000_000, redis_timeout_s=0.5)
    target = f"redis://127.0.0.1:{faults.port}"
    task = asyncio.create_task(
        generated(target, settings=settings, topic=topic, events=40_000, ledger=ledger, way="batch")
    )
    await until(lambda: count_lines(ledger) > 2_000, "the first lines")
    faults.fail(deaf=True)
    await asyncio.sleep(0.8)
    faults.fail(away=True)
    await asyncio.sleep(0.2)
    faults.heal()
    result = await task
    assert result.is_complete
    assert result.summary["retries"] > 0
    assert_same(lines(ledger), await in_streams(redis_client, topic))


async def test_a_log_that_is_full_is_waited_for(
    redis_client: "Redis", redis_url: str, topic: str, ledger: Path
) -> None:
    settings = Settings(log_partitions=PARTITIONS, log_records_max=100)
    patience = Patience(0.01, 0.05, give_up_s=0.3)
    order: dict[str, Any] = {"topic": topic, "events": 2_000, "ledger": ledger, "patience": patience}
    result = await generated(redis_url, settings=settings, spread="round_robin", **order)
    told = lines(ledger)
    assert result.summary["refused_or_unknown"] == sum(one.get("outcome") == "unknown" for one in told) == 2_000 - 300
    assert len(await in_streams(redis_client, topic)) == 300


async def test_a_target_that_is_away_is_said_at_once() -> None:
    with pytest.raises(TargetUnusable, match="does not answer"):
        await generated("redis://127.0.0.1:1", events=1)
    with pytest.raises(TargetUnusable, match="does not answer"):
        await generated("http://127.0.0.1:1/stats", events=1)


async def test_a_topic_of_another_shape_is_refused(kafka_servers: tuple[str, int], topic: str) -> None:
    target = f"kafka://{kafka_servers[0]}"
    await generated(target, topic=topic, events=1)
    with pytest.raises(TargetUnusable, match="has 3 partitions"):
        await generated(target, settings=Settings(log_partitions=2), topic=topic, events=1)


# -- transactions ------------------------------------------------------------------------------------------------------


async def test_transactions_show_only_what_was_committed(
    kafka_servers: tuple[str, int], topic: str, ledger: Path
) -> None:
    servers, _ = kafka_servers
    producing = Producing(is_transactional=True, abort_ratio=0.5)
    result = await generated(
        f"kafka://{servers}", topic=topic, events=4_000, ledger=ledger, way="batch", producing=producing
    )
    assert result.is_complete
    told = lines(ledger)
    committed = [one for one in told if "outcome" not in one]
    aborted = [one for one in told if one.get("outcome") == "aborted"]
    assert len(committed) == 4_000
    assert 0 < len(aborted) < 4_000
    assert_same(committed, await in_kafka(servers, topic))
    places = {(one.partition, one.place[0]) for one in await in_kafka(servers, topic, "read_uncommitted")}
    assert {(one["position"]["partition"], one["position"]["offset"]) for one in aborted} <= places


# -- the end, in order or not ------------------------------------------------------------------------------------------


def command(log: Log, ledger: Path, *more: object) -> list[str]:
    words = ["-m", "tallybook", "generate", "--target", log.url, "--topic", log.topic, "--ledger", ledger, *more]
    return [str(word) for word in words]


async def test_ctrl_c_ends_in_order_with_a_summary(log: Log, ledger: Path, tmp_path: Path) -> None:
    words = command(log, ledger, "--mode", "max", "--max-rate", 2_000)
    with program(*words, log=tmp_path / "log", TALLYBOOK_LOG_PARTITIONS=str(PARTITIONS)) as one:
        await until(lambda: count_lines(ledger) > 500, "some lines")
        assert one.signal(signal.SIGINT) == 0
        summary = json.loads(one.line())
    assert summary["settled"]
    assert not summary["complete"]
    told = lines(ledger)
    assert sum(summary["sent"].values()) == len(told) == summary["made"]
    assert_same(told, await log.read())


@pytest.mark.parametrize("way", ["async", "batch"])
async def test_after_kill_9_a_run_goes_on_and_its_ledger_is_exact(
    log: Log, ledger: Path, tmp_path: Path, way: str
) -> None:
    """Twice killed, and then it ends by itself: every event once, the same ones that no kill would have made."""
    events = 60_000
    words = command(log, ledger, "--mode", "max", "--max-rate", 20_000, "--events", events, "--seed", 5, "--way", way)
    again = ["-m", "tallybook", "generate", "--ledger", str(ledger), "--resume"]
    for number, arguments in enumerate((words, again, again)):
        with program(*arguments, log=tmp_path / "log", TALLYBOOK_LOG_PARTITIONS=str(PARTITIONS)) as one:
            if number < 2:
                goal = count_lines(ledger) + 6_000
                await until(lambda goal=goal: count_lines(ledger) > goal, "lines to be written")
                await until(lambda one=one: is_caught(one, ledger), "events on their way")
                one.signal(signal.SIGKILL)
            else:
                summary = json.loads(await asyncio.to_thread(one.line))
                assert one.process.wait(60) == 0
    assert summary["complete"]
    told = lines(ledger)
    assert len(told) == events
    assert_same(told, await log.read())
    assert not ahead(ledger).exists()


def is_caught(one: Program, ledger: Path) -> bool:
    """Whether the generator, stopped now, has announced events that are not in its ledger yet. If not, it goes on."""
    one.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(one.pid).status() == psutil.STATUS_STOPPED, "the generator to stand still")
    reach = max(json.loads(line).get("number", 0) for line in whole_lines(ahead(ledger))[1:])
    if reach > len(whole_lines(ledger)):
        return True
    one.process.send_signal(signal.SIGCONT)
    return False


def whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


async def test_a_run_that_was_changed_goes_on_as_it_was_changed(log: Log, ledger: Path, tmp_path: Path) -> None:
    """The profile of the control endpoint is a part of what decides the events."""
    words = command(log, ledger, "--mode", "max", "--max-rate", 5_000, "--events", 30_000, "--control", 0)
    arguments = ["-m", "tallybook", "generate", "--ledger", str(ledger), "--resume"]
    variables = {"TALLYBOOK_LOG_PARTITIONS": str(PARTITIONS), "TALLYBOOK_LOG_FORMAT": "json"}
    with program(*words, log=tmp_path / "log", **variables) as one:
        await until(lambda: count_lines(ledger) > 1_000, "some lines")
        status, answer = await patched(
            control_port(one), {"faulty_ratio": 0.5, "bounce_ratio": 0.0, "max_per_s": 10_000}
        )
        assert (status, answer["profile"]["faulty_ratio"]) == (200, 0.5)
        goal = count_lines(ledger) + 5_000
        await until(lambda: count_lines(ledger) > goal, "lines of the new profile")
        one.signal(signal.SIGKILL)
    with program(*arguments, log=tmp_path / "log", **variables) as one:
        assert json.loads(await asyncio.to_thread(one.line))["complete"]
    told = sorted(lines(ledger), key=lambda line: int(line["n"]))
    assert_same(told, await log.read())
    faulty = [one["kind"] in FAULTY for one in told]
    assert sum(faulty[:1_000]) < 100
    assert 4_500 < sum(faulty[-10_000:]) < 5_500


async def test_a_ledger_is_not_written_over(log: Log, ledger: Path) -> None:
    await generated(log.url, topic=log.topic, events=10, ledger=ledger)
    with pytest.raises(LedgerUnusable, match="is there already"):
        await generated(log.url, topic=log.topic, events=10, ledger=ledger)
    with pytest.raises(LedgerUnusable, match="nothing to resume"):
        await generated(log.url, topic=log.topic, is_resumed=True, ledger=ledger)


# -- HTTP --------------------------------------------------------------------------------------------------------------


async def test_clicks_over_http_are_counted_once(
    redis_client: "Redis", redis_url: str, database: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "sent.jsonl"
    async with tracking(tmp_path, redis_url, database) as service:
        target = f"http://127.0.0.1:{service.port}/stats"
        result = await generated(target, events=3_000, ledger=ledger, way="batch")
        assert result.is_settled
        told = lines(ledger)
        results = {kind: {one["position"]["result"] for one in told if one["kind"] == kind} for kind in KINDS}
        good = {"normal": {"accepted"}, "bounce": {"accepted"}, "duplicate": {"duplicate"}}
        assert results == good | {kind: {"rejected"} for kind in FAULTY}
        accepted = Counter(
            int(one["key"].rpartition("-")[2]) for one in told if one["position"]["result"] == "accepted"
        )
        answer = await service.http.get("/accounting")
        assert answer.json()["accepted"] == sum(accepted.values())
        page, clicks = accepted.most_common(1)[0]
        answer = await service.http.get(f"/stats/{page}")
        assert answer.json()["total"] == clicks


async def test_events_over_http_are_rows_of_the_real_service_once(
    redis_client: "Redis",
    redis_url: str,
    database: str,
    clickhouse_settings: Settings,
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "sent.jsonl"
    async with (
        clickhouse.connect(clickhouse_settings) as tables,
        event_stage(tmp_path, redis_url, database, clickhouse_settings, tables) as stage,
    ):
        target = f"http://127.0.0.1:{stage.service.port}/events"
        result = await generated(target, events=3_000, ledger=ledger, way="batch")
        assert result.is_settled
        await stage.settle()
        rows = await stage.rows()
    told = lines(ledger)
    results = {kind: {one["position"]["result"] for one in told if one["kind"] == kind} for kind in KINDS}
    views = {kind: {"accepted"} for kind in KINDS}  # any properties are an event, also those of no view
    assert results == views | {"duplicate": {"duplicate"}, "broken_json": {"rejected"}}
    accepted = [one["event"] for one in told if one["position"]["result"] == "accepted"]
    assert len(rows) == len(accepted)
    assert len(told) == 3_000
    stored = Counter((user, at.isoformat(timespec="milliseconds"), kind) for at, user, kind, _ in rows.values())
    assert stored == Counter((one["user_id"], one["timestamp"].rstrip("Z"), "page_view") for one in accepted)
    properties = Counter((json.loads(row[3])["page_id"], row[1]) for row in rows.values())
    assert properties == Counter((one["page_id"], one["user_id"]) for one in accepted)


async def test_events_over_http_carry_ids_and_are_sent_again(tmp_path: Path) -> None:
    """The edge is played: a server that fails every third request after it has taken it."""
    ledger, taken, requests = tmp_path / "sent.jsonl", dict[str, Any](), itertools.count(1)

    async def events(request: web.Request) -> web.Response:
        try:
            items = await request.json()
        except ValueError:
            return web.json_response({"code": "malformed"}, status=400)
        results = []
        for item in items:
            is_new = taken.setdefault(item["event_id"], item) is item
            results.append({"status": "accepted" if is_new else "duplicate"})
        if next(requests) % 3 == 0:
            return web.json_response({"code": "unavailable"}, status=503, headers={"retry-after": "0"})
        return web.json_response({"results": results}, status=202)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/events", events)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    result = await generated(f"http://127.0.0.1:{port}/events", events=4_000, ledger=ledger, way="batch")
    await runner.cleanup()
    told = lines(ledger)
    assert result.summary["retries"] > 0
    assert {one["kind"] for one in told if one.get("outcome") == "refused"} == {"broken_json"}
    assert len(taken) == sum(one["kind"] not in ("broken_json", "duplicate") for one in told)
    item = next(iter(taken.values()))
    assert set(item) == {"event_id", "occurred_at", "user_id", "event_type", "properties"}
    assert item["event_type"] == "page_view"


# -- murmur2 of the Java client ----------------------------------------------------------------------------------------

_JAVA = """
import java.nio.charset.StandardCharsets;
import java.util.Scanner;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

public class Murmur {
    public static void main(String[] arguments) {
        Scanner lines = new Scanner(System.in, StandardCharsets.UTF_8);
        while (lines.hasNextLine()) {
            byte[] key = lines.nextLine().getBytes(StandardCharsets.UTF_8);
            System.out.println(Utils.murmur2(key) + " " + BuiltInPartitioner.partitionForKey(key, 7));
        }
    }
}
"""


def test_murmur2_and_partitions_are_those_of_the_java_client_itself(tmp_path: Path) -> None:
    """By a program in one file, which `java` compiles itself: no JDK is needed for that."""
    source = tmp_path / "Murmur.java"
    source.write_text(_JAVA)
    keys = [f"page-{number:05d}" for number in range(1, 500)] + ["", "a", "ab", "abc", "ключ", "頁", "x" * 1000]
    java = ["java", "-cp", f"{artefacts()}/*", str(source)]
    said = subprocess.run(java, input="\n".join(keys) + "\n", capture_output=True, text=True, check=True, timeout=120)
    told = [tuple(map(int, line.split())) for line in said.stdout.splitlines()]
    ours = [(murmur2(key.encode()), kafka_partition(key.encode(), 7)) for key in keys]
    assert [(digest & 0xFFFFFFFF, partition) for digest, partition in told] == ours
