"""What tests of one part with real stores share."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from tests.harness.browser.chromium import Chromium
from tests.harness.browser.chromium import chromium as one_chromium
from tests.harness.kafka.broker import Broker, broker, kafka
from tests.harness.proxy import Proxy, proxy
from tests.harness.subjects.events import EventStage, event_stage
from tests.harness.subjects.gateway import Gateway


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser of the session; each script has a context of its own."""
    with one_chromium(tmp_path_factory.mktemp("chromium") / "log") as one:
        yield one


@pytest.fixture
async def tables(clickhouse_settings: Settings) -> AsyncIterator[ClickHouse]:
    """A client of the ClickHouse of this test."""
    async with clickhouse.connect(clickhouse_settings) as one:
        yield one


@pytest.fixture
async def stage(
    tmp_path: Path,
    redis_client: "Redis",
    redis_url: str,
    database: str,
    clickhouse_settings: Settings,
    tables: ClickHouse,
) -> AsyncIterator[EventStage]:
    """The service of this test alone, with empty stores. Files on other subjects have a stage of their own."""
    async with event_stage(tmp_path, redis_url, database, clickhouse_settings, tables) as one:
        yield one


@pytest.fixture(scope="session")
async def faults() -> AsyncIterator[Proxy]:
    """A proxy that a test sets before a log, and heals before that."""
    async with proxy() as one:
        yield one


@pytest.fixture(scope="session")
def kafka_servers(servers_folder: Path, faults: Proxy) -> Iterator[tuple[str, int]]:
    """The address of a Kafka, and the port of its listener behind `faults`."""
    with kafka(servers_folder / "k", faults.port) as servers:
        yield servers


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, servers_folder: Path) -> Iterator[Broker]:
    """A Kafka of this file, which its tests may kill."""
    with broker(servers_folder / request.path.stem) as one:
        yield one


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Makes gateways of this test alone, without starting them."""
    made = []

    def make(name: str = "data", **environ: str) -> Gateway:
        made.append(Gateway(tmp_path / name, **environ))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, module_database: str, module_clickhouse: Settings
) -> AsyncIterator[EventStage]:
    """The service of this file, for tests that look at its answers alone."""
    folder = tmp_path_factory.mktemp("service")
    async with (
        clickhouse.connect(module_clickhouse) as tables,
        event_stage(folder, redis_url, module_database, module_clickhouse, tables) as one,
    ):
        yield one
