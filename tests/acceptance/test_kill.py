"""Every acknowledged click is counted exactly once, whatever is killed: faults one after the other, under load."""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.harness.http import BROKEN, Connection, ask
from tests.harness.process import is_alive
from tests.harness.stacks import Stack
from tests.harness.subjects.clicks import Ledger
from tests.harness.wait import PATIENCE_S, until

pytestmark = pytest.mark.slow

_BANNERS = range(1, 21)
_CONNECTIONS = 8
#: Clicks that a worker may make between two faults: so the load is known to run through each of them.
_BETWEEN = 200


async def _load(stack: Stack, ledger: Ledger, banners: "itertools.cycle[int]") -> None:
    """Clicks without end; a connection that broke is replaced."""
    while True:
        try:
            connection = await Connection.open(stack.port)
        except OSError:  # nobody listens, so nothing was tried
            await asyncio.sleep(0.02)
            continue
        try:
            while True:
                banner = next(banners)
                ledger.attempted[banner] += 1  # before it is sent
                if (await connection.ask("POST", f"/stats/{banner}")).status == 204:
                    ledger.acked[banner] += 1
        except BROKEN:
            pass
        finally:
            await connection.close()


class _Reader:
    """Reads all the time, and compares what it reads with the books of the writers."""

    #: What it found wrong.
    failure: AssertionError | None = None

    def __init__(self, stack: Stack, ledger: Ledger) -> None:
        self._stack, self._ledger = stack, ledger
        self._highest: dict[int, int] = {}
        self.readings = 0

    async def run(self) -> None:
        """Until cancelled, or until a reading cannot be so: that is noted."""
        for banner in itertools.cycle(_BANNERS):
            try:
                await self._read(banner)
            except BROKEN:
                await asyncio.sleep(0.02)
            except AssertionError as failure:
                self.failure = failure
                return

    def check(self) -> None:
        """Raises what was noted."""
        if self.failure is not None:
            raise self.failure

    async def _read(self, banner: int) -> None:
        before = max(self._ledger.acked[banner], self._highest.get(banner, 0))
        answer = await ask(self._stack.port, "GET", f"/stats/{banner}")
        if answer.status != 200:
            assert answer.status == 503, self._stack.complaints()
            await asyncio.sleep(0.02)
            return
        total = answer.json()["total"]
        assert before <= total <= self._ledger.attempted[banner], f"banner {banner}"
        self._highest[banner] = total
        self.readings += 1


@contextlib.asynccontextmanager
async def _under_load(stack: Stack, ledger: Ledger, reader: _Reader) -> AsyncIterator[None]:
    """Writers and a reader run meanwhile. What one of them asserts fails the test."""
    banners = itertools.cycle(_BANNERS)
    reading = asyncio.create_task(reader.run())
    tasks = [asyncio.create_task(_load(stack, ledger, banners)) for _ in range(_CONNECTIONS)]
    try:
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        reader.check()
    finally:
        for task in (*tasks, reading):
            task.cancel()
        await asyncio.gather(*tasks, reading, return_exceptions=True)


async def _progress(ledger: Ledger, reader: _Reader) -> None:
    """Wait until clicks are acknowledged and read again."""
    clicks, readings = ledger.acked.total() + _BETWEEN, reader.readings + len(_BANNERS)

    def has_moved() -> bool:
        reader.check()
        return ledger.acked.total() >= clicks and reader.readings >= readings

    await until(has_moved, "progress after a fault")


def _victims(stack: Stack) -> dict[str, psutil.Process]:
    return {
        "ingest": stack.children("-m ingest")[0],
        "aggregator": stack.children("-m aggregator")[0],
        "redis": stack.children("redis.sock")[0] if stack.children("redis.sock") else stack.children("-server")[0],
        "postgres": stack.children("bin/postgres")[0],
    }


async def _kill(stack: Stack, name: str) -> None:
    """kill -9, and wait for the successor."""
    if name == "worker":
        victim = stack.workers()[0]
        victim.kill()
        await until(lambda: len(stack.workers()) == 2, "a new worker")
        return
    victim = _victims(stack)[name]
    victim.kill()

    def is_replaced() -> bool:
        try:
            return _victims(stack)[name] != victim
        except IndexError:
            return False

    await until(is_replaced, f"a new {name}")


async def _kill_everything(stack: Stack) -> None:
    """kill -9 of the parent; then nothing of its tree may live on."""
    tree = stack.tree()
    assert stack.process is not None
    stack.process.kill()
    await asyncio.to_thread(stack.process.wait)
    await until(lambda: not any(map(is_alive, tree)), f"the end of the whole tree ({tree})")


async def _settled(stack: Stack) -> dict[str, int]:
    """The books of the service, once every click is in Postgres."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = await ask(stack.port, "GET", "/accounting")
        if answer.status == 200:
            account: dict[str, int] = answer.json()
            if account["accepted"] == account["persisted"] and account["inLanes"] == account["open"] == 0:
                return account
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.1)


async def _check_books(stack: Stack, ledger: Ledger) -> None:
    account = await _settled(stack)
    assert account["difference"] == 0
    counted = {}
    for banner in _BANNERS:
        counted[banner] = (await ask(stack.port, "GET", f"/stats/{banner}")).json()["total"]
    ledger.check(counted)
    connection = await asyncpg.connect(stack.note()["database_url"])
    try:
        rows = await connection.fetch("SELECT banner_id, sum(count)::bigint FROM click_stats GROUP BY 1")
        booked = await connection.fetchval("SELECT sum(clicks)::bigint FROM click_ledger")
    finally:
        await connection.close()
    assert dict(map(tuple, rows)) == counted
    assert booked == sum(counted.values()) == account["persisted"]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("ack", ["lane", "redis"])
async def test_what_is_acknowledged_is_counted_once_through_every_kill(tmp_path: Path, ack: str) -> None:
    stack, ledger = Stack(tmp_path / "d", minute_s=2, grace_s=0, ack=ack), Ledger()
    reader = _Reader(stack, ledger)
    try:
        await asyncio.to_thread(stack.start)
        async with _under_load(stack, ledger, reader):
            await _progress(ledger, reader)
            for name in ("worker", "ingest", "redis", "postgres", "aggregator"):
                await _kill(stack, name)
                await _progress(ledger, reader)
            await _kill_everything(stack)
            await asyncio.to_thread(stack.start)
            await _progress(ledger, reader)
        await _check_books(stack, ledger)
        assert await asyncio.to_thread(stack.stop, signal.SIGTERM) == 0
    finally:
        stack.end()
