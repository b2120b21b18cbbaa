"""What every log promises, kept by each on real servers: order, once, exact ranges, and nothing lost in silence."""

import asyncio
import gc
import itertools
import os
import random
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from redis.asyncio import Redis

from shared.errors import LogFull, LogUnavailable, TooLarge
from shared.record_log import streams as streams_module
from shared.record_log.cursors import Cursors
from shared.record_log.deduplication import Mark
from shared.record_log.entries import packed
from shared.record_log.factory import chosen_log
from shared.record_log.journal import Journal
from shared.record_log.kafka import connection
from shared.record_log.kafka import kafka_log as kafka_module
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.record_log.orphaned_journals import Orphans
from shared.record_log.producer import Producer, new_name
from shared.record_log.record_log import BEGIN, Batch, Limit, Log, LogDamaged, Position, ProducerRewound, Reader
from shared.record_log.retention import Trimmer
from shared.record_log.streams import StreamsLog, prefix
from shared.runtime.tasks import end
from shared.settings import Settings
from shared.stores.postgres import create_pool
from shared.stores.redis_client import connect
from tests.harness.proxy import Proxy, to_port, to_url
from tests.harness.wait import until

#: Seconds after which a log through a deaf proxy gives up.
TIMEOUT_S = 2.0
#: For batches that are cut by their number of records; the time only ends a test that fails.
PATIENCE_S = 10.0

#: No marks: those of a sink that never read.
NONE: Mapping[str, Mark] = {}

_topics = (f"hits{number}" for number in itertools.count())


@dataclass
class Store:
    """One kind of log on a real server, direct and through a proxy."""

    kind: str
    make: Callable[..., Log]
    make_proxied: Callable[..., Log]
    proxy: Proxy
    topic: str = field(default_factory=lambda: next(_topics))


@pytest.fixture(params=["streams", pytest.param("kafka", marks=pytest.mark.slow)])
async def store(
    request: pytest.FixtureRequest, redis_client: "Redis", redis_url: str, faults: Proxy
) -> AsyncIterator[Store]:
    faults.heal()
    made: list[Any] = []

    def streams(where: str, partitions: int = 2, records_max: int = 10_000) -> Log:
        made.append(connect(Settings(redis_url=where, redis_timeout_s=TIMEOUT_S)))
        return StreamsLog(made[-1], partitions, records_max)

    def of_kafka(where: str, partitions: int = 2, records_max: int = 10_000) -> Log:
        made.append(KafkaLog(where, partitions, records_max, timeout_s=TIMEOUT_S))
        return made[-1]

    proxied = f"127.0.0.1:{faults.port}"
    if request.param == "streams":
        faults.connect = to_url(redis_url)
        yield Store("streams", _bound(streams, redis_url), _bound(streams, f"redis://{proxied}"), faults)
    else:
        servers, faulty = request.getfixturevalue("kafka_servers")
        faults.connect = to_port(faulty)
        yield Store("kafka", _bound(of_kafka, servers), _bound(of_kafka, proxied), faults)
    for one in made:
        await (one.close() if isinstance(one, KafkaLog) else one.aclose())


def _bound(make: Callable[..., Log], where: str) -> Callable[..., Log]:
    return lambda **sizes: make(where, **sizes)


@pytest.fixture
async def log(store: Store) -> Log:
    """A log with the topic `store.topic`."""
    made = store.make()
    await made.prepare(store.topic)
    return made


@pytest.fixture
async def reader(store: Store, log: Log) -> AsyncIterator[Reader]:
    """A reader of partition 0."""
    one = log.reader(store.topic, 0, "tests")
    yield one
    await one.close()


@pytest.fixture
async def cursors(database: str, log: Log) -> AsyncIterator[Cursors]:
    async with create_pool(Settings(database_url=database)) as pool:
        yield Cursors(pool, log.name, "tests")


def records(*values: object) -> list[tuple[bytes, bytes]]:
    return [(b"key", str(value).encode()) for value in values]


def values(batch: Batch) -> list[str]:
    return [record.value.decode() for record in batch.records]


async def rest(reader: Reader, start: Position = BEGIN, marks: Mapping[str, Mark] = NONE) -> Batch:
    """Everything from there on as one batch. A consumer of Kafka takes a while until it gets anything."""
    whole = Batch(start, start, [], {})
    while True:
        batch = await reader.read(whole.end, {**marks, **whole.marks}, Limit(bytes=100 << 20, wait_s=0.1))
        whole = Batch(start, batch.end, whole.records + batch.records, whole.marks | batch.marks)
        if not await reader.lag(whole.end):
            return whole


async def everything(reader: Reader) -> list[str]:
    return values(await rest(reader))


# -- order -------------------------------------------------------------------------------------------------------------


async def test_records_come_back_in_the_order_of_their_append(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(1, 2, 3), producer="a", seq=1)
    await log.append(store.topic, 0, records(4), producer="b", seq=1)
    await log.append(store.topic, 0, records(5, 6), producer="a", seq=2)
    batch = await rest(reader)
    assert values(batch) == ["1", "2", "3", "4", "5", "6"]
    assert [record.key for record in batch.records] == [b"key"] * 6
    positions = [record.position for record in batch.records]
    assert positions == sorted(set(positions))
    assert batch.start == BEGIN < positions[0] or positions[0] == BEGIN
    assert batch.end == await log.end(store.topic, 0) > positions[-1]
    assert batch.marks == {"a": Mark(2, 1), "b": Mark(1, 0)}


async def test_producers_at_the_same_time_keep_the_order_of_each(store: Store, log: Log, reader: Reader) -> None:
    async def produce(name: str) -> None:
        for seq in range(1, 21):
            await log.append(store.topic, 0, records(f"{name}{seq}.0", f"{name}{seq}.1"), producer=name, seq=seq)

    await asyncio.gather(*(produce(name) for name in "abc"))
    found = await everything(reader)
    assert len(found) == 120
    for name in "abc":
        expected = [f"{name}{seq}.{place}" for seq in range(1, 21) for place in range(2)]
        assert [value for value in found if value.startswith(name)] == expected


async def test_a_partition_has_nothing_of_the_others(store: Store, log: Log) -> None:
    for partition in range(2):
        await log.append(store.topic, partition, records(f"of {partition}"), producer="a", seq=1)
    for partition in range(2):
        one = log.reader(store.topic, partition, "tests")
        assert await everything(one) == [f"of {partition}"]
        await one.close()


async def test_a_key_belongs_to_one_partition(store: Store) -> None:
    log = store.make(partitions=7)
    # The check value of CRC-32, and those of Kafka's own tests (org.apache.kafka.common.utils.UtilsTest, murmur2).
    known = {
        "streams": {b"123456789": 0xCBF43926},
        "kafka": {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536},
    }[store.kind]
    for key, number in known.items():
        assert log.partition_of(key) == ((number & 0x7FFFFFFF) if store.kind == "kafka" else number) % 7
    assert {log.partition_of(b"%d" % number) for number in range(200)} == set(range(7))


async def test_any_bytes_can_be_a_record(store: Store, log: Log, reader: Reader) -> None:
    odd = [(b"", b""), (b"\x00\xff", bytes(range(256))), (b"k", b"x" * 100_000)]
    await log.append(store.topic, 0, odd, producer="a", seq=1)
    batch = await rest(reader)
    assert [(record.key, record.value) for record in batch.records] == odd


async def test_what_can_never_be_appended_is_refused_at_once(store: Store, log: Log) -> None:
    with pytest.raises(TooLarge):
        await log.append(store.topic, 0, [(b"", b"x" * 1_000_000)], producer="a", seq=1)
    with pytest.raises(ValueError, match="numbered from 1"):
        await log.append(store.topic, 0, records(1), producer="a", seq=0)
    with pytest.raises(ValueError, match="not 0"):
        await log.append(store.topic, 0, [], producer="a", seq=1)
    with pytest.raises(ValueError, match="not 10001"):
        await log.append(store.topic, 0, records(1) * 10_001, producer="a", seq=1)


# -- once --------------------------------------------------------------------------------------------------------------


async def test_the_same_append_twice_is_seen_once(store: Store, log: Log, reader: Reader) -> None:
    for _ in range(3):
        await log.append(store.topic, 0, records(1, 2), producer="a", seq=1)
    await log.append(store.topic, 0, records(3), producer="b", seq=1)
    for _ in range(2):
        await log.append(store.topic, 0, records(4), producer="a", seq=2)
    assert await everything(reader) == ["1", "2", "3", "4"]


async def test_a_repeat_is_dropped_by_the_marks_of_an_earlier_batch(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(1, 2), producer="a", seq=1)
    first = await rest(reader)
    await log.append(store.topic, 0, records(1, 2), producer="a", seq=1)
    await log.append(store.topic, 0, records(3), producer="b", seq=9)
    second = await rest(reader, first.end, first.marks)
    assert values(second) == ["3"]
    assert second.marks == {"b": Mark(9, 0)}
    assert second.end == await log.end(store.topic, 0)


async def test_an_append_whose_reply_was_lost_is_repeated_and_seen_once(
    store: Store, log: Log, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_module, "_ENDS_S", 60.0)  # so that nothing but the append itself meets the deaf proxy
    far = store.make_proxied()
    await far.append(store.topic, 0, records(1), producer="a", seq=1)
    store.proxy.fail(deaf=True)
    with pytest.raises(LogUnavailable):
        await far.append(store.topic, 0, records(2, 3), producer="a", seq=2)
    assert await everything(reader) == ["1", "2", "3"]  # it had arrived
    store.proxy.heal()
    await far.append(store.topic, 0, records(2, 3), producer="a", seq=2)
    await far.append(store.topic, 0, records(4), producer="a", seq=3)
    assert await everything(reader) == ["1", "2", "3", "4"]
    await far.close()


async def test_a_producer_that_was_killed_goes_on_from_the_seq_it_had_stored(
    store: Store, log: Log, reader: Reader
) -> None:
    await log.append(store.topic, 0, records(1), producer="lane", seq=6)
    await log.append(store.topic, 0, records(2, 3), producer="lane", seq=7)  # then kill -9: the answer went nowhere
    reborn = store.make()
    await reborn.append(store.topic, 0, records(2, 3), producer="lane", seq=7)
    await reborn.append(store.topic, 0, records(4), producer="lane", seq=8)
    assert await everything(reader) == ["1", "2", "3", "4"]


async def test_an_append_larger_than_one_request_is_one_append(store: Store, log: Log, reader: Reader) -> None:
    big = [(b"key", b"%d" % number + b"x" * 50_000) for number in range(60)]  # 3 MB
    for _ in range(2):
        await log.append(store.topic, 0, big, producer="a", seq=1)
    batch = await rest(reader)
    assert [(record.key, record.value) for record in batch.records] == big
    assert batch.marks == {"a": Mark(1, 59)}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["kafka"], indirect=True)  # a script stores all of an append or nothing
async def test_half_an_append_is_completed_by_its_repeat(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(1, 2), producer="a", seq=1)  # the first piece, as a kill may leave it
    await log.append(store.topic, 0, records(1, 2, 3, 4), producer="a", seq=1)
    assert await everything(reader) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("store", ["streams"], indirect=True)  # a broker knows no producers of former lives
async def test_a_producer_older_than_the_log_is_told_so(store: Store, log: Log) -> None:
    await log.append(store.topic, 0, records(1), producer="a", seq=5)
    with pytest.raises(ProducerRewound):
        await log.append(store.topic, 0, records(2), producer="a", seq=4)


# -- entries of several records ---------------------------------------------------------------------------------------


def singly(records: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes, int]]:
    """As former versions did: an entry for each record."""
    return ((key, value, 1) for key, value in records)


async def appended(store: Store, log: Log, redis: "Redis", chance: random.Random, packings: list[Any]) -> list[str]:
    """Values of appends of any size and packing. Some come again, packed in another way, to a log that forgot them."""
    sent, seqs, former = list[str](), Counter[str](), dict[str, list[str]]()
    for number in range(30):
        name = chance.choice("abc")
        if name in former and chance.random() < 0.3:
            await redis.delete(prefix(store.topic, 0) + "seqs")
        else:
            seqs[name] += 1
            former[name] = [f"{name}{number}.{place}" for place in range(chance.choice([1, 2, 7, 30]))]
            sent += former[name]
        with pytest.MonkeyPatch.context() as context:
            packing = chance.choice(packings)
            context.setattr(streams_module, "packed", packing)
            context.setattr(kafka_module, "packed", packing)
            await log.append(store.topic, 0, records(*former[name]), producer=name, seq=seqs[name])
    return sent


@pytest.mark.parametrize("seed", range(3))
async def test_a_range_may_be_cut_in_the_midst_of_an_entry(
    store: Store, log: Log, reader: Reader, redis_client: "Redis", seed: int
) -> None:
    """Each record is there once, in order, with a position of its own, and each half of a range is exact."""
    chance = random.Random(seed)
    sent = await appended(store, log, redis_client, chance, [packed, singly])
    at, marks, found, positions, skipped = BEGIN, dict[str, Mark](), list[str](), list[Position](), 0
    while len(found) < len(sent):
        size, content = chance.choice([1, 3, 40]), chance.choice([20, 1 << 20])
        batch = await reader.read(at, marks, Limit(size, content, wait_s=PATIENCE_S if not found else 0.1))
        assert len(batch.records) <= size
        if len(batch.records) > 1:
            at_record = chance.randrange(1, len(batch.records))
            middle = batch.records[at_record].position
            other = log.reader(store.topic, 0, "tests")
            first = await other.replay(at, middle, at_record, marks)
            second = await other.replay(middle, batch.end, len(batch.records) - at_record, marks | first.marks)
            assert first.records + second.records == batch.records
            assert (first.marks | second.marks, first.skipped + second.skipped) == (batch.marks, batch.skipped)
            await log.trim(store.topic, 0, middle, keep_s=-1)  # never takes what is not read
            again = await other.read(middle, marks | first.marks, Limit(1, wait_s=1))
            assert again.records == batch.records[at_record : at_record + 1]
            await other.close()
        at, marks, found, skipped = batch.end, marks | batch.marks, found + values(batch), skipped + batch.skipped
        positions += [record.position for record in batch.records]
        waiting = (await log.stock(store.topic, 0, at)).waiting
        if store.kind == "streams":
            assert waiting + len(found) + skipped == (await log.stock(store.topic, 0, BEGIN)).appended
    assert found == sent
    assert positions == sorted(set(positions))


async def test_what_looks_like_an_entry_and_is_damaged_is_one_record(store: Store, log: Log, reader: Reader) -> None:
    [(_, whole, _)] = packed(records(1, 2, 3))
    [(_, held, _)] = packed(records(*"abc"))
    odd = [whole[:-1], whole[:4], whole + b"x", whole[:9] + b"\0" + whole[10:]]
    await log.append(store.topic, 0, [(b"", one) for one in odd], producer="a", seq=1)
    await log.append(store.topic, 0, [(b"", held)], producer="a", seq=2)  # a letter of a version that could not read it
    await log.append(store.topic, 0, records("last"), producer="a", seq=3)
    batch = await rest(reader)
    assert [record.value for record in batch.records] == [*odd, b"a", b"b", b"c", b"last"]
    assert batch.end == await log.end(store.topic, 0)
    assert (await log.stock(store.topic, 0, batch.end)).waiting == 0


@pytest.mark.parametrize("store", ["streams"], indirect=True)
async def test_an_entry_that_another_program_copies_is_one_record(
    store: Store, log: Log, reader: Reader, redis_client: "Redis"
) -> None:
    """Nobody has kept ids free for more, so what follows in its millisecond would be taken for a part of it."""
    [(_, whole, _)] = packed(records(1, 2, 3))
    async with redis_client.pipeline() as pipe:
        for value in (whole, b"4", whole, b"5"):
            pipe.xadd(prefix(store.topic, 0) + "log", {"v": value})
        await pipe.execute()
    await log.append(store.topic, 0, records(6, 7), producer="a", seq=1)
    batch = await rest(reader)
    assert [record.value for record in batch.records] == [whole, b"4", whole, b"5", b"6", b"7"]


@pytest.mark.parametrize("store", ["streams"], indirect=True)
async def test_a_partition_is_bounded_by_its_records(store: Store, log: Log) -> None:
    small = store.make(records_max=10)
    await small.append(store.topic, 0, records(*range(8)), producer="a", seq=1)
    with pytest.raises(LogFull):
        await small.append(store.topic, 0, records(8, 9, 10), producer="a", seq=2)
    await small.trim(store.topic, 0, await log.end(store.topic, 0), keep_s=-1)
    await small.append(store.topic, 0, records(8, 9, 10), producer="a", seq=2)
    with pytest.raises(LogFull):
        await small.append(store.topic, 0, records(*range(8)), producer="a", seq=3)


# -- ranges ------------------------------------------------------------------------------------------------------------


async def test_every_range_is_replayed_exactly(store: Store, log: Log, reader: Reader) -> None:
    for seq in range(1, 31):
        for _ in range(1 + (seq % 5 == 0)):  # some arrive twice
            await log.append(
                store.topic, 0, records(*(f"{seq}.{n}" for n in range(3))), producer=f"p{seq % 3}", seq=seq
            )
    at, marks = BEGIN, dict[str, Mark]()
    batches = []
    while await reader.lag(at):
        batch = await reader.read(at, marks, Limit(records=7, wait_s=PATIENCE_S if not batches else 0.2))
        batches.append((dict(marks), batch))
        at, marks = batch.end, marks | batch.marks
    assert [value for _, batch in batches for value in values(batch)] == [
        f"{seq}.{n}" for seq in range(1, 31) for n in range(3)
    ]
    await log.append(store.topic, 0, records("later"), producer="z", seq=1)
    for before, batch in reversed(batches):
        again = log.reader(store.topic, 0, "tests")
        assert await again.replay(batch.start, batch.end, len(batch.records), before) == batch
        await again.close()


async def test_a_batch_is_cut_by_records_bytes_and_time(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(*("x" * 97 for _ in range(10))), producer="a", seq=1)
    by_records = await reader.read(BEGIN, {}, Limit(records=4, wait_s=PATIENCE_S))
    by_bytes = await reader.read(by_records.end, by_records.marks, Limit(bytes=350, wait_s=PATIENCE_S))
    tiny = await reader.read(by_bytes.end, by_records.marks | by_bytes.marks, Limit(bytes=1, wait_s=PATIENCE_S))
    by_time = await reader.read(tiny.end, by_records.marks | by_bytes.marks | tiny.marks, Limit(wait_s=0.1))
    assert [len(batch.records) for batch in (by_records, by_bytes, tiny, by_time)] == [4, 3, 1, 2]
    nothing = await reader.read(by_time.end, by_time.marks, Limit(wait_s=0.1))
    assert nothing == Batch(by_time.end, by_time.end, [], {})


async def test_a_range_that_has_other_records_now_is_an_alarm(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(1, 2, 3), producer="a", seq=1)
    batch = await rest(reader)
    with pytest.raises(LogDamaged, match="had 4 records and has 3"):
        await reader.replay(batch.start, batch.end, 4, {})
    with pytest.raises(LogDamaged):
        await reader.replay(batch.start, Position(batch.end.offset + 1000, 0), 4, {})


async def test_records_are_read_while_others_are_appended(store: Store, log: Log, reader: Reader) -> None:
    async def produce() -> None:
        for seq in range(1, 101):
            await log.append(store.topic, 0, records(*(seq * 10 + n for n in range(10))), producer="a", seq=seq)

    producing = asyncio.create_task(produce())
    at, marks, found = BEGIN, dict[str, Mark](), list[str]()
    while len(found) < 1000:
        batch = await reader.read(at, marks, Limit(records=64, wait_s=0.1))
        at, marks, found = batch.end, marks | batch.marks, found + values(batch)
    await producing
    assert found == [str(number) for number in range(10, 1010)]


async def test_lag_and_end_say_what_waits(store: Store, log: Log, reader: Reader) -> None:
    assert await reader.lag(BEGIN) == 0
    assert await log.end(store.topic, 0) == BEGIN
    await log.append(store.topic, 0, records(*range(10)), producer="a", seq=1)
    batch = await reader.read(BEGIN, {}, Limit(records=4, wait_s=PATIENCE_S))
    found = (await reader.lag(BEGIN), await reader.lag(batch.end))
    assert found == ((10, 6) if store.kind == "streams" else (1, 1))  # Kafka counts messages
    assert (await log.stock(store.topic, 0, batch.end)).waiting == found[1]
    assert await reader.lag(await log.end(store.topic, 0)) == 0


async def test_records_of_another_program_are_read_too(
    store: Store, log: Log, reader: Reader, redis_client: "Redis", request: pytest.FixtureRequest
) -> None:
    if store.kind == "streams":
        for _ in range(2):
            await redis_client.xadd(prefix(store.topic, 0) + "log", {"v": "foreign"})
    else:
        servers, _ = request.getfixturevalue("kafka_servers")
        producer = AIOKafkaProducer(bootstrap_servers=servers)
        await producer.start()
        for _ in range(2):
            await producer.send_and_wait(store.topic, b"foreign", partition=0, headers=[("tallybook", b"nonsense")])
        await producer.stop()
    assert await everything(reader) == ["foreign", "foreign"]


# -- full, and trimmed -------------------------------------------------------------------------------------------------


async def test_a_full_partition_refuses_and_loses_nothing(store: Store, log: Log, cursors: Cursors) -> None:
    small = store.make(records_max=10)
    await cursors.register(store.topic, "tests", 2)
    for number in range(8):
        await small.append(store.topic, 0, records(number), producer="b", seq=number + 1)
    with pytest.raises(LogFull):
        await small.append(store.topic, 0, records(8, 9, 10), producer="a", seq=2)
    await small.append(store.topic, 1, records("elsewhere"), producer="a", seq=2)  # only that partition is full
    one = small.reader(store.topic, 0, "tests")
    batch = await rest(one)
    assert len(batch.records) == 8
    (claim,) = await cursors.claim(store.topic, "tests", 1)
    await cursors.done(claim, batch.end, batch.marks)
    await Trimmer(small, cursors).trim(store.topic)  # more than half full: what is read may go at once
    await small.append(store.topic, 0, records(8, 9, 10), producer="a", seq=2)
    assert values(await rest(one, batch.end, batch.marks)) == ["8", "9", "10"]
    await one.close()


async def test_trimming_never_passes_the_slowest_sink(store: Store, log: Log, cursors: Cursors) -> None:
    for sink in ("slow", "fast"):
        await cursors.register(store.topic, sink, 2)
    for number in range(0, 20, 5):
        await log.append(store.topic, 0, records(*range(number, number + 5)), producer="a", seq=number + 1)
    slow, fast = (log.reader(store.topic, 0, sink) for sink in ("slow", "fast"))
    (fast_claim,) = await cursors.claim(store.topic, "fast", 1)
    whole = await rest(fast)
    fast_claim = await cursors.done(fast_claim, whole.end, whole.marks)
    await Trimmer(log, cursors, keep_s=0).trim(store.topic)
    part = await slow.read(BEGIN, {}, Limit(records=5, wait_s=PATIENCE_S))
    assert values(part) == ["0", "1", "2", "3", "4"]
    (slow_claim,) = await cursors.claim(store.topic, "slow", 1)
    await cursors.done(slow_claim, part.end, part.marks)
    await Trimmer(log, cursors, keep_s=0).trim(store.topic)
    assert values(await rest(slow, part.end, part.marks)) == [str(n) for n in range(5, 20)]
    await Trimmer(log, cursors, keep_s=0).trim(store.topic)
    assert await everything(fast) == [str(n) for n in range(5, 20)]  # a new sink begins with what is left
    assert await slow.lag(BEGIN) == (15 if store.kind == "streams" else 3)
    for one in (slow, fast):
        await one.close()


async def test_what_was_read_a_moment_ago_is_kept_for_repairs(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(1, 2), producer="a", seq=1)
    await log.trim(store.topic, 0, await log.end(store.topic, 0), keep_s=3600)
    assert await everything(reader) == ["1", "2"]
    await log.trim(store.topic, 0, await log.end(store.topic, 0), keep_s=-1)
    assert await everything(reader) == []


async def test_a_cursor_whose_records_are_gone_is_an_alarm(store: Store, log: Log, reader: Reader) -> None:
    await log.append(store.topic, 0, records(1, 2, 3), producer="a", seq=1)
    first = await reader.read(BEGIN, {}, Limit(records=1, wait_s=PATIENCE_S))
    await reader.close()
    await log.trim(store.topic, 0, await log.end(store.topic, 0), keep_s=-1)
    await log.append(store.topic, 0, records(4), producer="a", seq=2)
    with pytest.raises(LogDamaged):
        await rest(reader, first.end, first.marks)


async def test_an_end_that_is_refused_is_no_beginning(log: Log, store: Store, redis_client: "Redis") -> None:
    """Only a stream that is not there ends where it begins."""
    if store.kind != "streams":
        pytest.skip("XINFO is of Redis")
    assert await log.end(store.topic, 0) == BEGIN
    await redis_client.set(prefix(store.topic, 0) + "log", "no stream")
    with pytest.raises(LogUnavailable):
        await log.end(store.topic, 0)


# -- the log is away ---------------------------------------------------------------------------------------------------


async def test_a_log_that_is_away_is_an_error_and_then_works_again(store: Store, log: Log) -> None:
    far = store.make_proxied()
    await far.append(store.topic, 0, records(1), producer="a", seq=1)
    one = far.reader(store.topic, 0, "tests")
    first = await rest(one)
    store.proxy.fail(away=True)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: far.append(store.topic, 0, records(2), producer="a", seq=2),
        lambda: far.end(store.topic, 0),
        lambda: far.prepare(store.topic),
        lambda: far.trim(store.topic, 0, first.end, 0),
        lambda: rest(one, first.end, first.marks),
        lambda: one.replay(BEGIN, first.end, 1, {}),
        lambda: one.lag(first.end),
    ]
    for call in calls:
        with pytest.raises(LogUnavailable):
            await call()
    await one.note(first.end)  # nothing depends on it
    store.proxy.heal()
    await far.append(store.topic, 0, records(2), producer="a", seq=2)
    assert values(await rest(one, first.end, first.marks)) == ["2"]
    await one.close()
    await far.close()


# -- Redis only --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def streams(redis_client: "Redis") -> Log:
    return StreamsLog(redis_client, 2, 10_000)


async def test_readers_of_idle_partitions_share_one_question_and_hear_of_what_comes(
    streams: Log, redis_client: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.record_log.streams._LOOK_S", 3600.0)
    readers = [streams.reader("hits", number, sink) for number in range(2) for sink in ("a", "b")]

    async def looks() -> int:
        """Return how often all of them asked Redis in a round of reads."""
        before = (await redis_client.info("commandstats"))["cmdstat_xrange"]["calls"]
        batches = await asyncio.gather(*(reader.read(BEGIN, {}, Limit(wait_s=0.05)) for reader in readers))
        assert all(batch.start == batch.end == BEGIN and not batch.records for batch in batches)
        return int((await redis_client.info("commandstats"))["cmdstat_xrange"]["calls"]) - before

    assert not await redis_client.xrange("nothing")  # so that the statistics have it
    assert await looks() >= len(readers)
    await until(lambda: _is(looks, 0), "rest")
    reading = [asyncio.create_task(reader.read(BEGIN, {}, Limit(records=1, wait_s=PATIENCE_S))) for reader in readers]
    await streams.append("hits", 1, records(7), producer="a", seq=1)
    assert [values(await one) for one in reading[2:]] == [["7"], ["7"]]
    await streams.append("hits", 0, records(8), producer="a", seq=1)
    assert [values(await one) for one in reading[:2]] == [["8"], ["8"]]
    await streams.close()


async def _is(asked: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await asked() == wanted


async def test_a_reader_of_an_idle_partition_hears_that_redis_is_away(store: Store) -> None:
    if store.kind != "streams":
        pytest.skip("brokers have a client of their own")
    far = store.make_proxied()
    one = far.reader(store.topic, 0, "tests")
    assert not (await one.read(BEGIN, {}, Limit(wait_s=0.01))).records
    reading = asyncio.create_task(one.read(BEGIN, {}, Limit(wait_s=PATIENCE_S)))
    await asyncio.sleep(0)
    store.proxy.fail(away=True)
    with pytest.raises(LogUnavailable):
        await reading
    await far.close()


async def test_new_records_of_a_rewound_redis_lie_behind_the_cursor(streams: Log, redis_client: "Redis") -> None:
    await streams.append("hits", 0, records(1, 2), producer="a", seq=1)
    keys = [prefix("hits", 0) + name for name in ("log", "seqs", "book")]
    copies = {key: await redis_client.dump(key) for key in keys}
    await streams.append("hits", 0, records(3), producer="a", seq=2)
    reader = streams.reader("hits", 0, "tests")
    batch = await rest(reader)
    # As if the clock of the Redis that is lost had been an hour ahead of the one that takes over.
    cursor = Position(batch.end.offset + 3_600_000, 7)
    for key, copy in copies.items():
        await redis_client.restore(key, 0, copy, replace=True)
    assert values(await rest(reader, cursor, batch.marks)) == []
    await streams.append("hits", 0, records(4), producer="a", seq=3)
    fresh = await rest(reader, cursor, batch.marks)
    assert values(fresh) == ["4"]
    assert fresh.records[0].position >= cursor


async def test_an_empty_redis_is_brought_behind_the_cursor_too(streams: Log, redis_client: "Redis") -> None:
    cursor = Position(9_000_000_000_000, 4)
    reader = streams.reader("hits", 0, "tests")
    assert values(await rest(reader, cursor, {})) == []
    await streams.append("hits", 0, records(1), producer="a", seq=1)
    assert values(await rest(reader, cursor, {})) == ["1"]
    assert await everything(reader) == ["1"]


async def test_a_repeat_after_a_rewind_is_dropped_by_the_marks(streams: Log, redis_client: "Redis") -> None:
    await streams.append("hits", 0, records(1), producer="a", seq=1)
    await streams.append("hits", 0, records(2), producer="a", seq=2)
    reader = streams.reader("hits", 0, "tests")
    batch = await rest(reader)
    await redis_client.flushall()
    await streams.append("hits", 0, records(2), producer="a", seq=2)  # its answer had been lost
    await streams.append("hits", 0, records(3), producer="a", seq=3)
    assert values(await rest(reader, batch.end, batch.marks)) == ["3"]


async def test_a_pending_range_that_the_rewind_took_is_an_alarm(streams: Log, redis_client: "Redis") -> None:
    await streams.append("hits", 0, records(1, 2), producer="a", seq=1)
    reader = streams.reader("hits", 0, "tests")
    batch = await rest(reader)
    await redis_client.flushall()
    with pytest.raises(LogDamaged, match="had 2 records and has 0"):
        await reader.replay(batch.start, batch.end, 2, {})


async def test_a_redis_without_memory_is_a_full_log(streams: Log, redis_client: "Redis") -> None:
    await redis_client.config_set("maxmemory", "1")
    try:
        with pytest.raises(LogFull):
            await streams.append("hits", 0, records(1), producer="a", seq=1)
    finally:
        await redis_client.config_set("maxmemory", "0")
    await streams.append("hits", 0, records(1), producer="a", seq=1)
    assert await everything(streams.reader("hits", 0, "tests")) == ["1"]


async def test_all_keys_of_a_partition_are_in_one_slot(streams: Log, redis_client: "Redis") -> None:
    await streams.append("hits", 1, records(1), producer="a", seq=1)
    names = {key.decode() for key in await redis_client.keys("*")}
    assert names == {f"tallybook:{{hits.1}}:{name}" for name in ("log", "seqs", "book")}


# -- Kafka only --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("store", ["kafka"], indirect=True)
async def test_a_topic_with_another_number_of_partitions_is_refused(store: Store, log: Log) -> None:
    await log.prepare(store.topic)  # again is fine
    with pytest.raises(ValueError, match="has 2 partitions, and TALLYBOOK_LOG_PARTITIONS is 3"):
        await store.make(partitions=3).prepare(store.topic)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["kafka"], indirect=True)
async def test_the_position_of_a_sink_shows_in_the_tools_of_kafka(
    store: Store, log: Log, reader: Reader, kafka_servers: tuple[str, int]
) -> None:
    for number in (1, 2, 3):
        await log.append(store.topic, 0, records(number), producer="a", seq=number)
    batch = await reader.read(BEGIN, {}, Limit(records=2, wait_s=PATIENCE_S))
    await reader.note(batch.end)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers[0])
    await admin.start()
    offsets = await admin.list_consumer_group_offsets("tallybook-tests")
    await admin.close()
    assert {(at.topic, at.partition): found.offset for at, found in offsets.items()}[(store.topic, 0)] == 2


# -- which one ---------------------------------------------------------------------------------------------------------


async def test_a_client_that_nobody_waits_for_any_more_leaves_no_connection(kafka_servers: tuple[str, int]) -> None:
    """Cut off at whatever moment of its start. aiokafka tells of what was left open when that is collected."""
    made = connection.client_options(kafka_servers[0], TIMEOUT_S)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for milliseconds in range(40):
            client = AIOKafkaConsumer(**made)
            starting = asyncio.create_task(connection.start_client(client, TIMEOUT_S))
            await asyncio.wait({starting}, timeout=0.001 + milliseconds / 4000)
            await end(starting)
            if not starting.cancelled():
                await connection.stop_client(client)
        await asyncio.gather(*connection._unwanted)
        del client
        gc.collect()
    assert not [str(one.message) for one in told]


async def test_the_url_chooses_the_log(redis_url: str) -> None:
    async with chosen_log(Settings(redis_url=redis_url)) as log:
        assert (log.name, log.partitions) == ("streams", 4)
    async with chosen_log(Settings(log_url=redis_url, log_partitions=3)) as log:
        assert (log.name, log.partitions) == ("streams", 3)
        await log.prepare("hits")
    async with chosen_log(Settings(redis_url=redis_url, log_url="kafka://one:9092,two:9092")) as log:
        assert log.name == "kafka"


async def test_records_of_requests_wait_in_a_journal_and_are_seen_once(
    store: Store, reader: Reader, tmp_path: Path
) -> None:
    journal = Journal.create(tmp_path, name := new_name(), 1 << 20)
    bounds = {"records_max": 1000, "bytes_max": 1 << 20, "most": 10_000}
    producer = Producer(store.make_proxied(), store.topic, name, journal, **bounds)
    producer._lines, producer._turn = producer._lines[:1], 0  # the partition of the reader
    await producer.start()
    assert await producer.append(b"", b"0") == "log"
    store.proxy.fail(deaf=True)
    assert await producer.append(b"", b"1") == "journal"
    store.proxy.fail(away=True)
    assert await producer.append(b"", b"2") == "journal"
    for task in producer._tasks:  # as a kill does: nothing is finished
        task.cancel()
    await asyncio.gather(*producer._tasks, return_exceptions=True)
    os.close(journal._descriptor)
    store.proxy.heal()
    orphans = Orphans(tmp_path, store.make())
    orphans.start()
    async with asyncio.timeout(PATIENCE_S):
        while list(tmp_path.glob("*.journal")):  # noqa: ASYNC110, ASYNC240 - what is waited for has no event
            await asyncio.sleep(0.05)
    await orphans.stop()
    assert values(await reader.read(BEGIN, NONE, Limit(wait_s=1))) == ["0", "1", "2"]
