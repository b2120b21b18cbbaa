"""Stores that refuse, and are not away: each says so at once, and whoever waited goes on when it is mended."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from ingest.http.health import Probe
from shared.counting.drain import Counter
from shared.errors import LogUnavailable
from shared.record_log.kafka.kafka_log import KafkaLog
from shared.record_log.producer import Producer, new_name
from shared.record_log.record_log import BEGIN, Limit
from shared.record_log.streams import StreamsLog
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import CLICKHOUSE_ERRORS
from shared.stores.failures import WrongTopic, judge
from shared.stores.postgres import create_pool
from shared.stores.redis_client import REDIS_ERRORS, connect
from tests.harness import services
from tests.harness.kafka.broker import Broker
from tests.harness.wait import until

# -- Redis -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refusing(servers_folder: Path) -> Iterator[str]:
    """The URL of a Redis of these tests alone."""
    with services.redis(servers_folder / "refusing") as url:
        yield url


@pytest.fixture
async def admin(refusing: str) -> "AsyncIterator[Redis]":
    """May everything; `limited` with the password `right` may not write."""
    one = Redis.from_url(refusing, single_connection_client=True)
    await one.flushall()
    await one.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">right", "~*", "+@read", "+ping")
    yield one
    await one.execute_command("ACL", "SETUSER", "default", "nopass")
    await one.execute_command("REPLICAOF", "NO", "ONE")
    await one.aclose()


async def code_of(url: str) -> tuple[str, str]:
    """The class and the code of an append."""
    redis = connect(Settings(redis_url=url))
    try:
        with pytest.raises(LogUnavailable) as caught:
            await StreamsLog(redis, 1, 1000).append("hits", 0, [(b"k", b"v")], producer="p", seq=1)
    finally:
        await redis.aclose()
    return judge(caught.value).kind, judge(caught.value).code


async def test_redis_refuses_a_wrong_password_a_missing_one_and_a_missing_right(admin: "Redis", refusing: str) -> None:
    assert await code_of(services.with_user(refusing, "limited", "wrong")) == ("setup", "WRONGPASS")
    assert await code_of(services.with_user(refusing, "limited", "right")) == ("setup", "NOPERM")
    await admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">secret")
    assert await code_of(refusing) == ("setup", "NOAUTH")


async def test_a_redis_that_became_a_replica_is_waited_for(admin: "Redis", refusing: str) -> None:
    await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert await code_of(refusing) == ("readonly", "READONLY")


async def test_readiness_says_why_redis_takes_nothing_and_all_goes_on_once_it_does(
    admin: "Redis", refusing: str, tmp_path: Path
) -> None:
    """Clicks wait in their lane, and a record that nobody knows of is sent again."""
    url = services.with_user(refusing, "limited", "right")
    settings = Settings(redis_url=url, data_dir=str(tmp_path))
    redis, counter = connect(settings), Counter(settings)
    hits = Producer(StreamsLog(redis, 1, 1000), "hits", new_name(), None, records_max=10, bytes_max=10_000, most=1000)
    counter.start()
    await hits.start()
    try:
        assert counter.add("7")
        with pytest.raises(LogUnavailable):  # nobody knows, and it is sent again
            await hits.append(b"k", b"v")
        await until(lambda: has(counter.trouble, hits.trouble), "both know why")

        class State:
            pass

        class Asked:
            state: Any = State()

        Asked.state.redis, Asked.state.counter = redis, counter
        probe: Any = Probe()
        await until(lambda: is_degraded(probe, Asked), "readiness shows it")
        assert probe.reasons == ["redis: NOPERM"]
        await admin.execute_command("ACL", "SETUSER", "limited", "+@all")
        await until(lambda: (counter.trouble, hits.trouble) == (None, None), "both go on")
        assert await probe._redis(Asked) == "ok"
    finally:
        await hits.stop(1.0)
        await counter.stop(1.0)
        await redis.aclose()


async def has(*troubles: str | None) -> bool:
    return set(troubles) == {"NOPERM"}


async def is_degraded(probe: Any, asked: Any) -> bool:
    return bool(await probe._redis(asked) == "degraded")


async def test_redis_without_tls_refuses_a_client_that_wants_it() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n" * 3)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    redis = connect(Settings(redis_url=f"rediss://127.0.0.1:{port}"))
    async with server:
        with pytest.raises(REDIS_ERRORS) as caught:
            await redis.ping()
    await redis.aclose()
    assert (judge(caught.value).kind, judge(caught.value).code) == ("setup", "WRONG_VERSION_NUMBER")


# -- Postgres and ClickHouse -------------------------------------------------------------------------------------------


@pytest.fixture
async def role(database: str) -> AsyncIterator[str]:
    """A role that may connect and nothing else."""
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE ROLE tallybook_stranger LOGIN PASSWORD 'secret'")
    yield "tallybook_stranger"
    await connection.execute("DROP ROLE tallybook_stranger")
    await connection.close()


async def test_postgres_refuses_a_stranger_a_role_without_rights_and_a_database_that_is_not_there(
    database: str, role: str
) -> None:
    async def state(url: str, sql: str) -> tuple[str, str]:
        async with create_pool(Settings(database_url=url)) as pool:
            with pytest.raises(asyncpg.PostgresError) as caught:
                await pool.fetch(sql)
        return judge(caught.value).kind, judge(caught.value).code

    cursors = "SELECT * FROM sink_cursor"
    assert await state(services.with_user(database, role, "secret"), cursors) == ("setup", "42501")
    assert await state(services.with_user(database, "nobody_at_all", "x"), cursors) in {
        ("setup", "28000"),
        ("setup", "28P01"),
    }
    assert await state(services.with_database(database, "not_there"), cursors) == ("setup", "3D000")
    assert await state(database, "SELECT * FROM not_migrated") == ("setup", "42P01")


async def test_clickhouse_refuses_a_wrong_password_and_a_database_that_is_not_there(
    clickhouse_settings: Settings,
) -> None:
    async def code(url: str, sql: str) -> tuple[str, str]:
        async with clickhouse.connect(Settings(clickhouse_url=url)) as tables:
            with pytest.raises(CLICKHOUSE_ERRORS) as caught:
                await tables.query(sql)
        return judge(caught.value).kind, judge(caught.value).store

    url = str(clickhouse_settings.clickhouse_url)
    parts = urlsplit(url)
    user = parts.username or "default"
    assert await code(services.with_user(url, user, "wrong"), "SELECT 1") == ("setup", "clickhouse")
    assert await code(url, "SELECT * FROM not_migrated") == ("setup", "clickhouse")
    assert await code(urlunsplit(parts._replace(path="/not_there")), "SELECT * FROM events") == ("setup", "clickhouse")


# -- Kafka -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def kafka(server: Broker) -> AsyncIterator[KafkaLog]:
    one = KafkaLog(server.address, 1, 1000, timeout_s=3.0)
    yield one
    await one.close()


@pytest.fixture
async def topics(server: Broker) -> AsyncIterator[AIOKafkaAdminClient]:
    one = AIOKafkaAdminClient(bootstrap_servers=server.address)
    await one.start()
    yield one
    await one.close()


async def test_a_compacted_topic_is_refused_because_it_would_lose_records(
    kafka: KafkaLog, topics: AIOKafkaAdminClient
) -> None:
    await topics.create_topics([NewTopic("compacted", 1, 1, topic_configs={"cleanup.policy": "compact"})])
    with pytest.raises(WrongTopic, match=r"cleanup\.policy=delete"):
        await kafka.prepare("compacted")
    await kafka.prepare("good")
    await kafka.prepare("good")  # which is there now


async def test_a_topic_that_was_deleted_is_named_and_no_outage(kafka: KafkaLog, topics: AIOKafkaAdminClient) -> None:
    await kafka.prepare("deleted")
    await kafka.append("deleted", 0, [(b"k", b"v")], producer="p", seq=1)
    await topics.delete_topics(["deleted"])
    reader = kafka.reader("deleted", 0, "tests")
    try:

        async def is_named() -> bool:
            try:
                await reader.read(BEGIN, {}, Limit(wait_s=0.1))
            except LogUnavailable as error:
                return judge(error).code == "UnknownTopicOrPartitionError" and judge(error).kind == "setup"
            return False

        await until(is_named, "the reader says that the topic is not there")
    finally:
        await reader.close()


async def test_bytes_that_rot_on_the_disk_of_a_broker_stop_the_reader_behind_what_is_good(
    kafka: KafkaLog, server: Broker
) -> None:
    await kafka.prepare("rotten")
    for number in range(5):
        await kafka.append("rotten", 0, [(b"k", b"value %d" % number)], producer="p", seq=number + 1)
    segment = next(server.folder.glob("data/rotten-0/*.log"))
    change(segment, b"value 3", b"VALUE 3")
    reader = kafka.reader("rotten", 0, "tests")
    try:
        found = await reader.read(BEGIN, {}, Limit(records=5, wait_s=10.0))
        assert [record.value for record in found.records] == [b"value 0", b"value 1", b"value 2"]
        with pytest.raises(LogUnavailable) as caught:
            await reader.read(found.end, found.marks, Limit(records=5, wait_s=10.0))
        assert (judge(caught.value).kind, judge(caught.value).code) == ("setup", "CorruptRecordException")
        change(segment, b"VALUE 3", b"value 3")  # as from a replica that is whole
        rest = await reader.read(found.end, found.marks, Limit(records=2, wait_s=10.0))
        assert [record.value for record in rest.records] == [b"value 3", b"value 4"]
    finally:
        await reader.close()


def change(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    with file.open("r+b") as opened:
        opened.seek(content.index(old))
        opened.write(new)
