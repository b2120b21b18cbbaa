"""What `tallybook check` says about real stores, and that the embedded ones have nothing to hide."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.settings import Settings
from shared.stores import durability
from shared.stores.durability import Finding, examine_postgres, examine_redis
from tallybook.exits import Exit
from tallybook.stack.check import examine, verdict

#: Bytes of Redis, the least that may be set.
MEMORY = 64 << 20


def found(findings: list[Finding], level: str) -> list[str]:
    """The messages of one level."""
    return [finding.message for finding in findings if finding.level == level]


@pytest.fixture
async def mutable(redis_client: "Redis") -> AsyncIterator["Redis"]:
    """A Redis whose settings are put back."""
    names = ("maxmemory", "appendonly", "appendfsync", "maxmemory-policy", "no-appendfsync-on-rewrite")
    before = {name: (await redis_client.config_get(name))[name] for name in names}
    yield redis_client
    for name, value in before.items():
        await redis_client.config_set(name, value)


async def test_the_stores_of_the_tests_are_safe(settings: Callable[..., Settings]) -> None:
    findings = await examine(settings())
    assert verdict(findings) is Exit.OK
    assert not found(findings, "unsafe") + found(findings, "unfit")


@pytest.mark.parametrize(
    ("name", "value", "loss"),
    [
        ("appendfsync", "everysec", "a kill loses clicks"),
        ("maxmemory-policy", "allkeys-lru", "evicts open minutes"),
        ("no-appendfsync-on-rewrite", "yes", "during a rewrite"),
        ("appendonly", "no", "a restart loses"),
    ],
)
async def test_a_redis_that_may_lose_clicks_is_unsafe(mutable: "Redis", name: str, value: str, loss: str) -> None:
    await mutable.config_set(name, value)
    (message,) = found(await examine_redis(mutable), "unsafe")
    assert message.startswith(f"{name} is {value}, not ")
    assert loss in message


async def test_a_redis_that_hides_its_settings_cannot_be_verified(redis_client: "Redis", redis_url: str) -> None:
    await redis_client.execute_command("ACL", "SETUSER", "managed", "on", "nopass", "+@all", "-config", "~*")
    other = Redis.from_url(redis_url, username="managed", password="any")  # noqa: S106
    try:
        findings = await examine_redis(other)
    finally:
        await other.aclose()
        await redis_client.execute_command("ACL", "DELUSER", "managed")
    assert len(found(findings, "warning")) == 4
    assert "appendonly cannot be verified; it has to be yes" in found(findings, "warning")[0]
    assert verdict(findings) is Exit.OK


@pytest.mark.parametrize(
    ("maxmemory", "level", "says"),
    [
        (0, "warning", "maxmemory is not set: set it, to at least TALLYBOOK_REDIS_MEMORY_BYTES, which is 67108864"),
        (MEMORY - 1, "unfit", "maxmemory is 67108863, less than TALLYBOOK_REDIS_MEMORY_BYTES, which is 67108864"),
        (MEMORY, "ok", "maxmemory 67108864 has room for TALLYBOOK_REDIS_MEMORY_BYTES, which is 67108864"),
    ],
)
async def test_a_redis_with_less_memory_than_is_shared_out_is_unfit(
    mutable: "Redis", settings: Callable[..., Settings], maxmemory: int, level: str, says: str
) -> None:
    """Also where CONFIG is forbidden: INFO tells."""
    await mutable.config_set("maxmemory", maxmemory)
    managed = await examine_redis(mutable, MEMORY)
    elsewhere = await examine(settings(redis_memory_bytes=MEMORY, log_url=f"{settings().redis_url}?db=1"))
    for findings, stores in ((managed, {"redis"}), (elsewhere, {"redis", "log"})):
        said = [one for one in findings if one.message.startswith("maxmemory ")]
        assert {one.store for one in said if one.message.startswith(says) and one.level == level} == stores


async def test_a_redis_with_more_data_than_memory_is_a_warning(mutable: "Redis") -> None:
    await mutable.config_set("maxmemory", 1)
    (message,) = found(await examine_redis(mutable, 1), "warning")
    assert "bytes are in use, more than maxmemory, 1: it refuses whatever is written" in message
    assert "TALLYBOOK_REDIS_MEMORY_BYTES is raised" in message
    await mutable.config_set("maxmemory", 1 << 40)
    assert not found(await examine_redis(mutable, 1), "warning")


async def test_a_postgres_that_may_lose_minutes_is_unsafe(database: str) -> None:
    connection = await asyncpg.connect(database)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.close()
    assert "synchronous_commit is off" in found(await examine_postgres(database), "unsafe")[0]


async def test_a_database_without_schema_is_unfit(settings: Callable[..., Settings], postgres_url: str) -> None:
    findings = await examine(settings(database_url=postgres_url))
    assert "tallybook migrate" in found(findings, "unfit")[0]
    assert verdict(findings) is Exit.FOREIGN_DATA


async def test_a_database_of_a_newer_version_is_unfit(settings: Callable[..., Settings], database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO schema_migrations VALUES ('9999_future.sql', 'x')")
    await connection.close()
    assert "9999_future.sql" in found(await examine(settings()), "unfit")[0]


async def test_old_servers_are_unfit(monkeypatch: pytest.MonkeyPatch, redis_client: "Redis", database: str) -> None:
    monkeypatch.setattr(durability, "_REDIS_OLDEST", (99, 0))
    monkeypatch.setattr(durability, "_POSTGRES_OLDEST", 99)
    assert "upgrade it" in found(await examine_redis(redis_client), "unfit")[0]
    assert "older than 99" in found(await examine_postgres(database), "unfit")[0]


async def test_a_clock_that_differs_is_a_warning(monkeypatch: pytest.MonkeyPatch, redis_client: "Redis") -> None:
    now = durability.time.time
    monkeypatch.setattr(durability.time, "time", lambda: now() - 30)
    assert "differs from this host's by +30.0 s" in found(await examine_redis(redis_client), "warning")[0]
