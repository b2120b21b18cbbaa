"""What all tests share: a clean environment, and real stores that are empty at the start of each test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import pytest
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aggregator.delivery import waits
from shared.migrations.migrate_postgres import migrate
from shared.settings import Settings
from tests.harness import databases, died, engines, services
from tests.harness.engines import pytest_generate_tests as pytest_generate_tests
from tests.harness.memory import pytest_configure as pytest_configure
from tests.harness.order import pytest_collection_modifyitems as pytest_collection_modifyitems

hypothesis.settings.register_profile("busy", suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None)
hypothesis.settings.load_profile("busy")


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the machine reaches a test, and no logging of one test the next."""
    for name in list(os.environ):
        if name.startswith("TALLYBOOK_") and name != "TALLYBOOK_TEST_REQUIRE":
            monkeypatch.delenv(name)
    logging = structlog.get_config()
    yield
    structlog.configure(**logging)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that servers of another user may enter, as they may not with those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="tallybook-servers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url(servers_folder: Path) -> Iterator[str]:
    """A real Redis or Valkey of the session."""
    with services.redis(servers_folder / "r") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url(servers_folder: Path) -> Iterator[str]:
    """A real Postgres of the session. Tests want `database`."""
    with services.postgres(servers_folder / "p") as url:
        yield url


@pytest.fixture(scope="session")
def engine_urls(servers_folder: Path) -> "Iterator[Callable[[str], str]]":
    """What starts the engines of ClickHouse, each at its first use."""
    with engines.served(servers_folder) as url:
        yield url


@pytest.fixture(scope="session")
def clickhouse_url(request: pytest.FixtureRequest, engine_urls: Callable[[str], str]) -> str:
    """A real ClickHouse of the session: a server, or the engine behind its gateway. `every_engine` says which."""
    return engine_urls(getattr(request, "param", engines.INSTALLED))


@pytest.fixture(scope="session")
async def _template(postgres_url: str) -> str:
    """The name of a migrated database, from which each test gets a copy."""
    name = f"tallybook_template_{os.getpid()}"
    await databases.execute(postgres_url, f"CREATE DATABASE {name}")
    await migrate(services.with_database(postgres_url, name))
    return name


@pytest.fixture
async def database(postgres_url: str, _template: str) -> AsyncIterator[str]:
    """The URL of a migrated database of this test alone."""
    async with databases.copied(postgres_url, _template) as url:
        yield url


@pytest.fixture(scope="module")
async def module_database(postgres_url: str, _template: str) -> AsyncIterator[str]:
    """The URL of a migrated database of this file's tests."""
    async with databases.copied(postgres_url, _template) as url:
        yield url


@pytest.fixture
async def redis_client(redis_url: str) -> "AsyncIterator[Redis]":
    """A client of an empty Redis; answers are bytes, and nothing is repeated."""
    client = Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0))
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def clickhouse_settings(clickhouse_url: str) -> AsyncIterator[Settings]:
    """Settings of a migrated ClickHouse database of this test alone."""
    async with databases.migrated(clickhouse_url) as one:
        yield one


@pytest.fixture(scope="module")
async def module_clickhouse(clickhouse_url: str) -> AsyncIterator[Settings]:
    """Settings of a migrated ClickHouse database of this file's tests."""
    async with databases.migrated(clickhouse_url) as one:
        yield one


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, database: str) -> Callable[..., Settings]:
    """Makes settings of this test's stores and folder; any field can be given."""

    def make(**fields: object) -> Settings:
        return Settings(**{"data_dir": str(tmp_path), "redis_url": redis_url, "database_url": database} | fields)

    return make


@pytest.fixture
def quiet() -> None:
    """Tracebacks of sinks that die take longer to draw than they live."""
    renderer = structlog.processors.KeyValueRenderer()
    structlog.configure(processors=[renderer], logger_factory=structlog.PrintLoggerFactory())


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of sinks and relays are short."""
    monkeypatch.setattr(waits, "SETUP_S", 0.1)
    monkeypatch.setattr(waits, "_WAITS", dict.fromkeys(("unknown", "overload", "readonly"), (0.02, 0.2)))


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], asyncio.Event]:
    """Arms a crash point of a partition."""
    return partial(died.arm, monkeypatch)
