"""Whatever a client library raises when a connection breaks is one of the errors that mean an outage."""

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from shared.runtime.tasks import end
from shared.settings import Settings
from shared.stores.postgres import POSTGRES_ERRORS, create_pool
from shared.stores.redis_client import REDIS_ERRORS, Script, connect
from tests.harness.proxy import Proxy, to_socket, to_url
from tests.harness.wait import PATIENCE_S

pytestmark = pytest.mark.slow

_SECONDS = 6.0
#: Calls of each store that have to go well; a busy machine takes longer for them.
_ENOUGH = 100
_READ = Script("shared/counting/read.lua")


async def _cut_all_the_time(redis_url: str, postgres_socket: Path, folder: Path) -> tuple[Counter[str], list[str]]:
    """(calls that went well by store, what else was raised than an error of an outage)"""
    chance = random.Random(1)
    redis_proxy, postgres_proxy = Proxy(to_url(redis_url)), Proxy(to_socket(postgres_socket))
    settings = Settings(
        redis_url=f"unix://{folder}/redis.sock",
        database_url=f"postgresql://tallybook@/postgres?host={folder}",
        redis_timeout_s=0.5,
        postgres_timeout_s=0.5,
    )
    well: Counter[str] = Counter()
    others: list[str] = []

    async def keep_asking(
        store: str, ask: Callable[[], Awaitable[object]], outage: tuple[type[Exception], ...]
    ) -> None:
        while True:
            try:
                await ask()
                well[store] += 1
            except outage:
                await asyncio.sleep(0.001)
            except Exception as error:
                others.append(f"{store}: {error!r}")

    await redis_proxy.start(folder / "redis.sock")
    await postgres_proxy.start(folder / ".s.PGSQL.5432")
    redis = connect(settings)
    async with create_pool(settings) as pool:
        tasks = []
        for _ in range(8):
            read = keep_asking(
                "redis", lambda: _READ(redis, ["tallybook:{0}:live"], ["tallybook:{0}:", 0, 10, 1]), REDIS_ERRORS
            )
            fetch = keep_asking("postgres", lambda: pool.fetch("SELECT 1 + $1::int", 5), POSTGRES_ERRORS)
            tasks += [asyncio.create_task(read), asyncio.create_task(fetch)]
        began = time.monotonic()
        while (took_s := time.monotonic() - began) < _SECONDS or (
            took_s < PATIENCE_S and min(well["redis"], well["postgres"]) <= _ENOUGH
        ):
            await asyncio.sleep(chance.uniform(0, 0.01))
            chance.choice((redis_proxy, postgres_proxy)).cut()
        await end(*tasks)
        pool.terminate()  # a connection that has just been cut cannot say goodbye
    await redis.aclose()
    await redis_proxy.stop()
    await postgres_proxy.stop()
    return well, others


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_connection_that_breaks_at_any_moment_is_an_outage(redis_url: str, postgres_url: str) -> None:
    if "host=/" not in postgres_url or not redis_url.startswith("unix:"):
        pytest.skip("NO EMBEDDED SERVERS: the proxy forwards between unix sockets")
    socket = Path(postgres_url.partition("host=")[2]) / ".s.PGSQL.5432"
    folder = Path(tempfile.mkdtemp(prefix="tallybook-cut-"))
    try:
        with contextlib.closing(uvloop.new_event_loop()) as loop:
            well, others = loop.run_until_complete(_cut_all_the_time(redis_url, socket, folder))
    finally:
        shutil.rmtree(folder)
    assert not others, Counter(others).most_common(5)
    assert min(well["redis"], well["postgres"]) > _ENOUGH, well
