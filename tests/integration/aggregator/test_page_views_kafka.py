"""Page views of producers that are not ours, in a real Kafka, and what kill -9 of anything changes: nothing."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import Producer
from redis.asyncio import Redis

from aggregator.sink import partition as partition_module
from aggregator.sink.configured_pipelines import PAGE_VIEWS
from shared.migrations.migrate_clickhouse import migrate as migrate_clickhouse
from shared.record_log import dead_letters
from shared.record_log.kafka.dead_letter_topic import LetterTopic
from shared.record_log.record_log import BEGIN, Log, Position
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.postgres import create_pool
from shared.telemetry.metrics import STORE_REFUSALS
from tests.harness.died import Died
from tests.harness.kafka.broker import Broker
from tests.harness.subjects.aggregators import Aggregators
from tests.harness.subjects.gateway import Gateway
from tests.harness.subjects.kafka_pages import PARTITIONS, begun, check_letters, common, staged
from tests.harness.subjects.page_stage import POLICY, TOPIC, Stage
from tests.harness.subjects.pages import Sent, generate, view
from tests.harness.wait import PATIENCE_S, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet", "hurried")]


@pytest.fixture
async def stage(server: Broker, database: str, clickhouse_settings: Settings) -> AsyncIterator[Stage]:
    async with staged(server, database, clickhouse_settings) as one:
        yield one


@asynccontextmanager
async def producer(server: Broker, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """One of another program: it knows nothing of tallybook."""
    one = AIOKafkaProducer(bootstrap_servers=server.address, request_timeout_ms=10_000, **options)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def send(one: AIOKafkaProducer, sent: list[Sent], **more: Any) -> None:
    """Each message by its key."""
    await asyncio.gather(*[await one.send(TOPIC, message.value, message.key, **more) for message in sent])


async def test_plain_messages_of_other_programs_are_views(stage: Stage, server: Broker) -> None:
    """They have no marks, or something else in that place."""
    sent = generate(1, 900, int(time.time() * 1000))
    headers = [
        [],
        [("tallybook", None)],
        [("tallybook", b"\xff")],
        [("tallybook", b"%d 0 x" % 2**63)],
        [("tallybook", b"1 99999999999 x")],
        [("tallybook", b"1 0 \x00")],
        [("tallybook", b"0 0 x"), ("other", b"y")],
        [("tallybook", b"1 0 " + b"x" * 300)],
    ]
    async with producer(server) as one:
        for number in range(0, 900, 100):
            await send(one, sent[number : number + 100], headers=headers[number // 100 % len(headers)])
    stage.sent += sent
    stage.sink()
    stage.sink()
    await stage.drained()
    await stage.check()


async def test_aborted_transactions_are_not_read_and_their_marks_are_no_gaps(stage: Stage, server: Broker) -> None:
    async with producer(server, transactional_id="pages", enable_idempotence=True) as one:
        stage.sink()
        for number in range(6):
            sent = generate(number, 200, int(time.time() * 1000))
            try:
                async with one.transaction():
                    await send(one, sent)
                    if number % 2:
                        raise LookupError
            except LookupError:
                continue
            stage.sent += sent
        await stage.drained()
        await stage.check()
        async with one.transaction():
            await send(one, [view("/open")])
            await asyncio.sleep(0.3)  # nothing of it is read before its end
            await stage.check()
        stage.sent.append(view("/open"))
        await stage.drained()
        assert await stage.tables.query("SELECT count() FROM page_views_raw WHERE page_id = '/open'") == [(1,)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_messages_compressed_with_any_codec_are_views(stage: Stage, server: Broker, codec: str) -> None:
    """By librdkafka, which most producers are made of."""
    stage.sink()
    one = Producer({"bootstrap.servers": server.address, "compression.type": codec, "linger.ms": 50})
    sent = generate(2, 900, int(time.time() * 1000))
    for message in sent:
        one.produce(TOPIC, message.value, message.key)
    assert await asyncio.to_thread(one.flush, PATIENCE_S) == 0
    stage.sent += sent
    await stage.drained()
    await stage.check()


async def test_what_cannot_be_read_is_shown_and_nothing_of_it_is_skipped(
    stage: Stage, server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a codec that is newer than this client. What stands before it is stored."""
    refused = STORE_REFUSALS.labels("kafka")._value.get()
    with monkeypatch.context() as without:
        without.setattr("aiokafka.codec.has_zstd", lambda: False)
        sent = [view(f"/{number}")._replace(key=b"one") for number in range(40)]
        where = stage.log.partition_of(b"one")
        async with producer(server) as one:
            for message in sent[:20]:
                await one.send(TOPIC, message.value, message.key)
            await one.flush()
        compressed = Producer({"bootstrap.servers": server.address, "compression.type": "zstd"})
        for message in sent[20:]:
            compressed.produce(TOPIC, message.value, message.key, partition=where)
        assert await asyncio.to_thread(compressed.flush, PATIENCE_S) == 0
        stage.sink()
        await until(lambda: is_troubled(stage, "UnsupportedCodecError: "), "the partition says why it stopped")
        stored = await stage.tables.query("SELECT count() FROM page_views_raw")
        assert stored == [(20,)]
        assert STORE_REFUSALS.labels("kafka")._value.get() > refused
    stage.sent += sent
    await stage.drained()
    await stage.check()
    assert await stage.pool.fetchval("SELECT count(trouble) FROM sink_cursor") == 0


async def is_troubled(stage: Stage, text: str) -> bool:
    found = await stage.pool.fetchval("SELECT trouble FROM sink_cursor WHERE trouble IS NOT NULL LIMIT 1")
    return found is not None and text in found


async def test_the_group_shows_offsets_only_behind_what_is_stored(stage: Stage, server: Broker) -> None:
    await stage.append(generate(1, 500, int(time.time() * 1000)))
    stage.sink()
    await stage.drained()
    looks = AIOKafkaConsumer(
        bootstrap_servers=server.address, group_id="tallybook-page_views_raw", enable_auto_commit=False
    )
    await looks.start()
    try:
        places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        looks.assign(places)
        ends = await looks.end_offsets(places)

        async def are_shown() -> bool:
            shown = {place: await looks.committed(place) for place in places}
            return shown == ends

        await until(are_shown, "the offsets of the group are the ends")
    finally:
        await looks.stop()


async def test_partitions_move_between_consumers_while_messages_come(stage: Stage, server: Broker) -> None:
    stage.sink()
    async with producer(server) as one:
        for number in range(6):
            sent = generate(number, 400, int(time.time() * 1000))
            await send(one, sent)
            stage.sent += sent
            if number % 3 == 1:
                await stage.sinks.pop(0).stop()
            elif number % 3 == 2:
                await stage.kill(stage.sinks[0])
                stage.sink()
            else:
                stage.sink()
    await stage.drained()
    await stage.check()


# -- dead letters as messages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_letters_are_in_the_topic_once_when_a_consumer_dies_behind_their_transaction(
    stage: Stage, server: Broker, monkeypatch: pytest.MonkeyPatch, delivery: Any
) -> None:
    topic, pipeline = f"letters-{delivery}", PAGE_VIEWS._replace(delivery=delivery)
    for seed in range(3):
        await stage.append(generate(seed, 600, int(time.time() * 1000)))
        died, deaths = asyncio.Event(), list[str]()

        def crash_point(here: str, died: asyncio.Event = died, deaths: list[str] = deaths) -> None:
            if here == "published":
                deaths.append(here)
                if len(deaths) == PARTITIONS:  # so that no client is cut off while it connects, which aiokafka leaks
                    died.set()
                raise Died

        monkeypatch.setattr(partition_module, "crash_point", crash_point)
        letters = LetterTopic(server.address, topic)
        sink = stage.sink(pipeline, letters=letters)
        await asyncio.wait_for(died.wait(), PATIENCE_S)
        await stage.kill(sink)
        monkeypatch.setattr(partition_module, "crash_point", lambda here: None)
        successor = LetterTopic(server.address, topic)
        sink = stage.sink(pipeline, POLICY._replace(records=130), letters=successor)
        await stage.drained()
        await stage.kill(sink)
        await letters.close()
        await successor.close()
    await check_letters(stage, server, topic)
    if delivery == "exactly_once":
        await stage.check()


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_transaction_without_an_answer_is_made_up_for(
    stage: Stage, server: Broker, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """Its end was lost on the way there, or on the way back."""
    topic, commit, lost = f"letters-{is_committed}", AIOKafkaProducer.commit_transaction, []

    async def loses_some(self: AIOKafkaProducer) -> None:
        if len(lost) < 4:
            lost.append(self)
            if is_committed:
                await commit(self)
            raise KafkaConnectionError
        await commit(self)

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", loses_some)
    letters = LetterTopic(server.address, topic)
    await stage.append(generate(7, 900, int(time.time() * 1000)))
    stage.sink(letters=letters)
    await stage.drained()
    await stage.check()
    await stage.close()
    await letters.close()
    assert len(lost) == 4
    await check_letters(stage, server, topic)


async def test_a_topic_that_does_not_ask_how_far_it_came_is_caught(
    stage: Stage, server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: each new producer believes that nothing is there."""
    begun = LetterTopic._begun

    async def forgets(self: LetterTopic, claim: Any) -> tuple[AIOKafkaProducer, Position]:
        return (await begun(self, claim))[0], BEGIN

    monkeypatch.setattr(LetterTopic, "_begun", forgets)
    with pytest.raises(AssertionError):
        await test_a_transaction_without_an_answer_is_made_up_for(stage, server, monkeypatch, True)


# -- kill -9 of processes ----------------------------------------------------------------------------------------------


async def test_kill_9_of_consumers_broker_and_engine_in_the_middle_of_batches(
    server: Broker, redis_url: str, database: str, servers_folder: Path, tmp_path: Path
) -> None:
    gateway = Gateway(servers_folder / "pages-kafka-gateway")
    gateway.start()
    settings = gateway.settings("tallybook", clickhouse_timeout_s=10.0)
    await migrate_clickhouse(settings)
    async with staged(server, database, settings) as stage, producer(server, enable_idempotence=True) as one:
        consumers = Aggregators(
            stage.pool,
            tmp_path,
            stage.end_leases,
            log_url=f"kafka://{server.address}",
            redis_url=redis_url,
            dead_letters_topic="letters-killed",
            **common(database, settings),
        )
        try:
            consumers.start()
            consumers.start()
            faults = ["consumer", "engine", "broker", "consumer", "engine", "consumer"]
            for seed, fault in enumerate(faults):
                sent = generate(seed, 3000, int(time.time() * 1000))
                sending = asyncio.create_task(send(one, sent))
                stage.sent += sent
                await begun(stage, len(stage.sent) - 2500)
                if fault == "consumer":
                    await consumers.kill_oldest()
                elif fault == "engine":
                    gateway.signal(signal.SIGKILL)
                    await asyncio.to_thread(gateway.start)
                else:
                    server.kill()
                    await asyncio.to_thread(server.start)
                await sending
            await stage.drained()
            await stage.check()
            await check_letters(stage, server, "letters-killed")
        finally:
            consumers.close()
            gateway.close()


async def test_kill_9_of_consumers_and_engine_with_redis_streams(
    redis_client: "Redis", redis_url: str, database: str, servers_folder: Path, tmp_path: Path
) -> None:
    gateway = Gateway(servers_folder / "pages-streams-gateway")
    gateway.start()
    settings = gateway.settings("tallybook", clickhouse_timeout_s=10.0)
    await migrate_clickhouse(settings)
    log: Log = StreamsLog(redis_client, PARTITIONS, 1_000_000)
    async with create_pool(Settings(database_url=database)) as pool, clickhouse.connect(settings) as tables:
        stage = Stage(log, pool, tables)
        consumers = Aggregators(
            stage.pool,
            tmp_path,
            stage.end_leases,
            redis_url=redis_url,
            pages_drop_repeats="true",
            **common(database, settings),
        )
        try:
            consumers.start()
            consumers.start()
            for seed, fault in enumerate(["consumer", "engine", "consumer", "engine", "consumer"]):
                await stage.append(generate(seed, 3000, int(time.time() * 1000)))
                await begun(stage, len(stage.sent) - 2500)
                if fault == "consumer":
                    await consumers.kill_oldest()
                else:
                    gateway.signal(signal.SIGKILL)
                    await asyncio.to_thread(gateway.start)
            await stage.drained()
            await stage.check(without_repeats=True)
        finally:
            consumers.close()
            gateway.close()


async def test_a_dead_letter_of_kafka_says_where_the_message_lies(stage: Stage, server: Broker) -> None:
    async with producer(server) as one:
        at = await one.send_and_wait(TOPIC, b"{broken", b"k", partition=2)
    stage.sent.append(Sent("malformed", b"k", b"{broken"))
    stage.sink()
    await stage.drained()
    [letter] = await dead_letters.listed(stage.pool, 10)
    assert (letter.place.partition, letter.place.position.offset, letter.value) == (2, at.offset, b"{broken")
