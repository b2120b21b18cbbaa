"""Ways of sending, their waits, and the view, with a sender that only remembers."""

import asyncio
import io
from collections.abc import Sequence

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from generator import view
from generator.ledger import Ledger
from generator.run import Run
from generator.targets.ways import BatchLimit, Ways
from generator.traffic.kinds import KINDS
from generator.traffic.profile import Profile
from generator.traffic.traffic import Audience, Message, Traffic
from tests.unit.generator.test_ledger import PLAN


class Memory:
    """A target that acknowledges at once, or when it is told to."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, list[int]]] = []
        self.open_posts: list[asyncio.Future[None]] = []
        self.is_slow = False
        self.in_flight = self.retries = 0

    async def open(self) -> dict[int, int]:
        return {}

    def post(self, messages: Sequence[Message], way: str) -> "asyncio.Future[None]":
        self.posts.append((way, [one.number for one in messages]))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_slow:
            self.open_posts.append(done)
        else:
            done.set_result(None)
        return done

    async def missing(self, messages: Sequence[Message], ends: dict[int, int], ways: dict[str, str]) -> list[Message]:
        return list(messages)

    async def close(self) -> None:
        """Nothing is held."""


def messages(count: int) -> list[Message]:
    return Traffic(1, Audience(10, 10), Profile()).take([1_795_000_000_000] * count)


def ways_of(memory: Memory, way: str, limit: BatchLimit = BatchLimit(3, 60.0)) -> Ways:  # noqa: B008 - immutable
    return Ways(memory, dict.fromkeys(KINDS, way), limit)


async def test_asynchronous_messages_go_on_without_an_acknowledgement() -> None:
    memory = Memory()
    memory.is_slow = True
    await ways_of(memory, "async").send(messages(5))
    assert memory.posts == [("async", [0, 1, 2, 3, 4])]


async def test_synchronous_messages_wait_for_each_acknowledgement() -> None:
    memory = Memory()
    memory.is_slow = True
    task = asyncio.create_task(ways_of(memory, "sync").send(messages(2)))
    await asyncio.sleep(0)
    assert memory.posts == [("sync", [0])]
    memory.open_posts[0].set_result(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    memory.open_posts[1].set_result(None)
    await task
    assert memory.posts == [("sync", [0]), ("sync", [1])]


async def test_a_batch_goes_when_it_is_full() -> None:
    memory = Memory()
    ways = ways_of(memory, "batch")
    await ways.send(messages(7))
    assert memory.posts == [("batch", [0, 1, 2]), ("batch", [3, 4, 5])]
    assert ways.waiting == 1
    await ways.tick()
    assert ways.waiting == 1, "its time has not come"
    await ways.flush()
    assert memory.posts[-1] == ("batch", [6])


async def test_a_batch_goes_when_its_time_has_come() -> None:
    memory = Memory()
    ways = ways_of(memory, "batch", BatchLimit(100, 0.001))
    await ways.send(messages(2))
    while ways.waiting:
        await ways.tick()
        await asyncio.sleep(0.001)
    assert memory.posts == [("batch", [0, 1])]


async def test_kinds_of_other_ways_are_sent_on_their_own() -> None:
    memory = Memory()
    sent = messages(200)
    ways = Ways(memory, dict.fromkeys(KINDS, "async") | {"bounce": "sync"}, BatchLimit())
    await ways.send(sent)
    assert [numbers for way, numbers in memory.posts if way == "sync"] == [
        [one.number] for one in sent if one.kind == "bounce"
    ]


# -- the view ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def run() -> Run:
    memory = Memory()
    ledger = Ledger(None)
    one = Run(PLAN, memory, ways_of(memory, "async"), ledger)
    for message in messages(100):
        ledger.note(message, b"{}")
    ledger.write()
    return one


async def test_a_terminal_shows_a_live_table(run: Run) -> None:
    output = io.StringIO()
    with view.View(run, Console(file=output, force_terminal=True, width=100)) as shown:
        shown.tick()
    for text in ("tallybook generate", "regular", "messages a second", "negative_duration", "in flight"):
        assert text in output.getvalue()


async def test_without_a_terminal_there_are_log_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "_LINE_S", 0.0)
    output = io.StringIO()
    with capture_logs() as logs, view.View(run, Console(file=output)) as shown:
        shown.tick()
        shown.tick()
    assert output.getvalue() == ""
    assert [(one["event"], one["mode"], one["sent"]) for one in logs] == [("generator_progress", "regular", 100)]
