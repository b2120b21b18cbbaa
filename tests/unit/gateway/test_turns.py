"""Who waits for a thread of the gateway, and leaves: the statement is never run. Who reads and leaves ends the read."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.app import Gateway, create_app
from gateway.engine import Result
from gateway.failure import refusal
from gateway.statement import Statement
from shared.workload import READS

USER, PASSWORD = "tester", "s3cret"


class Engine:
    """Runs a statement until it is told to end, or is cancelled."""

    timezone = "UTC"

    def __init__(self) -> None:
        self.begun: list[str] = []
        names = ("first", "second", "third")
        self.begins = {name: threading.Event() for name in names}
        self.ends = {name: threading.Event() for name in names}
        self.marks: dict[str | None, str] = {}
        self.cancelled: set[str] = set()

    def execute(self, statement: Statement, mark: str | None) -> Result:
        name = statement.body.decode()
        self.begun.append(name)
        self.marks[mark] = name
        self.begins[name].set()
        assert self.ends[name].wait(60)
        if name in self.cancelled:
            raise refusal(394, "QUERY_WAS_CANCELLED", "Query was cancelled.")
        return Result(name.encode(), "TSV", {})

    def cancel(self, mark: str) -> None:
        name = self.marks[mark]
        self.cancelled.add(name)
        self.ends[name].set()


class Client:
    """One request of a client that can leave."""

    def __init__(self, app: Any, body: str, query: str = "") -> None:
        self.sent: list[Any] = []
        self._came: asyncio.Queue[Any] = asyncio.Queue()
        self._came.put_nowait({"type": "http.request", "body": body.encode(), "more_body": False})
        query = f"user={USER}&password={PASSWORD}&{query}"
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": query.encode()}
        self.task = asyncio.create_task(app(scope, self._came.get, self._send))

    def leave(self) -> None:
        self._came.put_nowait({"type": "http.disconnect"})

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


@asynccontextmanager
async def gateway(engine: Engine) -> AsyncIterator[Any]:
    one: Any = engine
    made = Gateway(one, USER, PASSWORD, threads=1)
    yield create_app(made)
    for end in engine.ends.values():
        end.set()
    made.close()


async def begun(engine: Engine, name: str) -> None:
    assert await asyncio.to_thread(engine.begins[name].wait, 60)


async def test_a_statement_whose_client_left_before_its_turn_is_never_run() -> None:
    engine = Engine()
    async with gateway(engine) as app:
        first = Client(app, "first")
        await begun(engine, "first")
        second = Client(app, "second")
        second.leave()
        await second.task
        third = Client(app, "third")
        engine.ends["first"].set()
        engine.ends["third"].set()
        await asyncio.gather(first.task, third.task)
        assert engine.begun == ["first", "third"]
        assert [client.sent[-1]["body"] for client in (first, third)] == [b"first", b"third"]


async def test_a_read_is_cancelled_when_its_client_leaves() -> None:
    engine = Engine()
    async with gateway(engine) as app:
        first = Client(app, "first", f"workload={READS}")
        await begun(engine, "first")
        first.leave()
        await first.task
        assert engine.cancelled == {"first"}
        second = Client(app, "second")
        engine.ends["second"].set()
        await second.task
        assert second.sent[-1]["body"] == b"second"


@pytest.mark.parametrize("leaves", [True, False])
async def test_what_is_written_goes_on_without_its_client(leaves: bool) -> None:
    engine = Engine()
    async with gateway(engine) as app:
        first = Client(app, "first")
        await begun(engine, "first")
        if leaves:
            first.leave()
        engine.ends["first"].set()
        await first.task
        assert engine.cancelled == set()
        assert first.sent[0]["status"] == 200
