"""Whatever happens in whatever order, each acknowledged click is counted once: the protocol of docs/counting.md against
a dict, with the real scripts on a real Redis and the real statements on a real Postgres.

A failure prints the steps that lead to it and the seed; `--hypothesis-seed=N` plays it again.
"""

import inspect
import random
import secrets
import textwrap
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, Phase
from hypothesis import settings as Budget
from hypothesis import strategies as st
from hypothesis.errors import Flaky, FlakyFailure
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aggregator.clicks import minutes
from shared.counting import cells, drain, keyed, lane, reader
from shared.counting.keyed import KeyedClick
from shared.counting.lane import BANNER_MAX
from shared.settings import Settings
from shared.stores.postgres import create_pool
from tallybook.exits import Stop
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers
from tests.chaos.clicks.model import KINDS, Broken, Fate, World
from tests.chaos.clicks.mutants import changed, changed_script
from tests.harness import services

BUDGET = Budget(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
#: A seed that catches all mutants soon.
MUTANTS_SEED = 2
#: One lane on each shard.
WORKERS = 2
#: Redis servers: the first, and those that a backup is put into.
SERVERS = 3

BANNERS = (1, 2, 7, BANNER_MAX)
#: Of both shards.
KEYS = [bytes([0, 0, 0, number]) + b"twelve bytes" for number in range(6)]

workers = st.integers(0, WORKERS - 1)
banners = st.sampled_from(BANNERS)
counts = st.integers(1, 5)
offsets = st.integers(-3, 1)
kinds = st.sampled_from(KINDS)
fates = st.sampled_from(Fate)
mishaps = st.sampled_from([Fate.DONE, Fate.UNSEEN, Fate.UNSENT])

Play = Callable[[Budget, int], None]


class Clicks(RuleBasedStateMachine):
    """What can happen to clicks; the invariants are looked at after each step."""

    def __init__(self, world: Callable[[], World], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        super().__init__()
        self._make = world
        self._loop_run = run
        self._is_broken = False
        self.world: World

    def _run(self, step: Coroutine[Any, Any, Any]) -> None:
        try:
            self._loop_run(step)
        except BaseException:
            self._is_broken = True
            raise

    @initialize()
    def begin(self) -> None:
        self.world = self._make()
        self._run(self.world.reset())

    # -- clicks ----------------------------------------------------------------------------------------------------

    @rule(clicks=st.lists(st.tuples(workers, banners, counts), min_size=1, max_size=4))
    def click(self, clicks: Sequence[tuple[int, int, int]]) -> None:
        async def act() -> None:
            for worker, banner, n in clicks:
                self.world.click(worker, banner, n)

        self._run(act())

    @rule(worker=workers, clicks=st.dictionaries(st.tuples(offsets, kinds, banners), counts, min_size=1, max_size=4))
    def backdate(self, worker: int, clicks: Mapping[tuple[int, int, int], int]) -> None:
        async def act() -> None:
            self.world.backdate(worker, clicks)

        self._run(act())

    @rule(
        clicks=st.lists(st.tuples(offsets, kinds, banners, counts, st.sampled_from(KEYS)), min_size=1, max_size=3),
        outcomes=st.lists(mishaps, max_size=2),
        repeats=st.integers(0, 1),
    )
    def click_with_keys(
        self, clicks: Sequence[tuple[int, int, int, int, bytes]], outcomes: Sequence[Fate], repeats: int
    ) -> None:
        minute = self.world.minute
        call = [
            KeyedClick(cells.cell(kind, minute + offset), banner, n, key) for offset, kind, banner, n, key in clicks
        ]
        self._run(self.world.keyed(call, outcomes))
        for _ in range(repeats):
            self._run(self.world.keyed(call, []))

    @rule(minutes=st.integers(-1, 2))
    def set_clock(self, minutes: int) -> None:
        self.world.now += 60 * minutes

    # -- workers ---------------------------------------------------------------------------------------------------

    @rule(worker=workers)
    def seal(self, worker: int) -> None:
        async def act() -> None:
            self.world.workers[worker].lane().seal()

        self._run(act())

    @precondition(lambda self: self.world.waiting())
    @rule(number=st.integers(0, WORKERS - 1), outcomes=st.lists(fates, min_size=1, max_size=3))
    def send(self, number: int, outcomes: Sequence[Fate]) -> None:
        waiting = self.world.waiting()
        self._run(waiting[number % len(waiting)].send(outcomes))

    @rule(worker=workers, banner=banners, n=counts, outcomes=st.lists(fates, min_size=1, max_size=2))
    def click_and_send(self, worker: int, banner: int, n: int, outcomes: Sequence[Fate]) -> None:
        self.click([(worker, banner, n)])
        self._run(self.world.workers[worker].send(outcomes))

    @rule(worker=workers, is_killed=st.booleans())
    def end_worker(self, worker: int, is_killed: bool) -> None:
        one = self.world.workers[worker]
        self._run(one.crash() if is_killed else one.leave())

    # -- aggregators and readers -----------------------------------------------------------------------------------

    @rule(number=st.integers(0, 1), calls=st.integers(0, 8), fate=st.none() | fates)
    def aggregate(self, number: int, calls: int, fate: Fate | None) -> None:
        """No fate: it is killed there."""
        self._run(self.world.aggregate(number, [Fate.DONE] * calls, fate))

    @rule()
    def aggregate_at_once(self) -> None:
        self._run(self.world.aggregate_at_once())

    @rule()
    def flush(self) -> None:
        self._run(self.world.flush())

    @rule(calls=st.integers(0, 2))
    def read_slowly(self, calls: int) -> None:
        self._run(self.world.read_slowly(calls))

    @rule(calls=st.integers(0, 3), is_drained=st.booleans())
    def read_around_a_flush(self, calls: int, is_drained: bool) -> None:
        self._run(self.world.read_around_a_flush(calls, is_drained))

    # -- Redis -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.has_late_calls)
    @rule()
    def arrive_late(self) -> None:
        self._run(self.world.arrive_late())

    @rule()
    def forget_scripts(self) -> None:
        self._run(self.world.forget_scripts())

    @rule(is_drained=st.booleans())
    def back_up(self, is_drained: bool) -> None:
        self._run(self.world.copy(is_drained))

    @precondition(lambda self: self.world.has_copy)
    @rule(late=st.lists(st.tuples(st.integers(0, 5), banners, counts), max_size=3))
    def rewind(self, late: Sequence[tuple[int, int, int]]) -> None:
        self._run(self.world.rewind(late))

    # -- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        self._run(self.world.check())

    def teardown(self) -> None:
        try:
            if not self._is_broken:
                self._run(self.world.conclude())
        finally:
            self._loop_run(self.world.end())


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The one that was asked for; else another each time, but for mutants, which must be caught each time."""
    asked = request.config.getoption("--hypothesis-seed")
    if asked is not None:
        return int(asked)
    return MUTANTS_SEED if "mutant" in request.fixturenames else random.randrange(2**32)


@pytest.fixture(scope="module")
def redis_urls(servers_folder: Path) -> Iterator[list[str]]:
    """Redis servers of our own: a rewound one must be another process."""
    with ExitStack() as stack:
        urls = []
        for number in range(SERVERS):
            data = DataFolder(servers_folder / f"m{number}")
            data.take()
            stack.callback(data.release)
            servers = EmbeddedServers(data, redis=True, postgres=False)
            try:
                servers.start()
            except Stop as stop:
                services.missing("redis", f"several of our own are needed: {stop}")
            stack.callback(servers.stop)
            assert servers.redis_url
            urls.append(servers.redis_url)
        yield urls


@pytest.fixture
def play(
    tmp_path: Path,
    redis_urls: list[str],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Play]:
    """Plays examples within a budget, from a seed. Raises what an example that fails raises."""
    chosen = Settings(
        data_dir=str(tmp_path),
        redis_url=redis_urls[0],
        database_url=database,
        shards=2,
        idempotency_window_s=7 * 86_400,
        lane_pages=4,  # full now and then
        lane_entries=4,
    )
    monkeypatch.setattr(drain, "_BACKOFF_S", (0.0, 0.0))
    loop = uvloop.new_event_loop()
    examples = 0
    former_log = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    async def open_stores() -> tuple[list[Redis], Any]:
        clients = [
            Redis.from_url(url, retry=Retry(NoBackoff(), 0), single_connection_client=True) for url in redis_urls
        ]
        for client in clients:
            await client.config_set("appendonly", "no")  # nobody pulls the plug here
        pool = await create_pool(chosen)
        name = await pool.fetchval("SELECT current_database()")
        await pool.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        await pool.expire_connections()
        return clients, pool

    clients, pool = loop.run_until_complete(open_stores())

    def make() -> World:
        nonlocal examples
        examples += 1
        world = World(chosen, clients, pool, WORKERS)
        world.banners = BANNERS
        numbers = iter(range(1 << 30))
        monkeypatch.setattr(secrets, "randbits", lambda bits: next(numbers) // 2)  # lanes of both shards
        clock = SimpleNamespace(time=lambda: world.now, time_ns=lambda: world.now * 10**9)
        monkeypatch.setattr(lane, "time", clock)
        return world

    def run(budget: Budget, seed: int) -> None:
        nonlocal examples
        examples = 0
        print(f"--hypothesis-seed={seed}")
        try:
            run_state_machine_as_test(
                hypothesis.seed(seed)(lambda: Clicks(make, loop.run_until_complete)),  # type: ignore[arg-type]
                settings=budget,
            )
        finally:
            print(f"examples played: {examples}")

    async def close_stores() -> None:
        await pool.close()
        for client in clients:
            await client.aclose()

    yield run
    loop.run_until_complete(close_stores())
    loop.close()
    structlog.configure(**former_log)


@pytest.mark.timeout(600)  # to make a failure small takes some minutes
def test_every_acknowledged_click_is_counted_once(play: Play, seed: int) -> None:
    play(BUDGET, seed)


# -- the model can fail ----------------------------------------------------------------------------------------------


def _script(module: Any, name: str, *changes: tuple[str, str]) -> tuple[Any, str, Any]:
    return module, name, changed_script(getattr(module, name), *changes)


def _method(owner: type, name: str, *changes: tuple[str, str]) -> tuple[Any, str, Any]:
    function = getattr(owner, name)
    scope: dict[str, Any] = {}
    exec(changed(textwrap.dedent(inspect.getsource(function)), *changes), function.__globals__, scope)  # noqa: S102
    return owner, name, scope[name]


def _statement(module: Any, name: str, *changes: tuple[str, str]) -> tuple[Any, str, Any]:
    return module, name, changed(getattr(module, name), *changes)


def _is_broken(error: BaseException) -> bool:
    """Whether an invariant did not hold. If it does when the example is played again, that is Flaky: the stores choose
    the order in which they serve both aggregators."""
    return isinstance(error, Broken) or (
        isinstance(error, BaseExceptionGroup) and any(map(_is_broken, error.exceptions))
    )


_RUN = "if redis.call('HGET', cur, '#run') ~= run then", "if false then"
_DROP_NOW = (
    "    names = [keys.prefix(shard) + name for name in ('cur', 'live')]\n"
    "    await _DROP(self._redis, names, [keys.prefix(shard), *batch])\n"
)
_READ = "        snapshot = await self._snapshot(banners, start, end, kinds, partial)\n"

#: Each is a list of (owner, name, what it becomes).
MUTANTS: dict[str, Callable[[], list[tuple[Any, str, Any]]]] = {
    "no seq check": lambda: [
        _script(drain, "_ADD", ("if seq == last then return { 'DUP', last } end", "")),
    ],
    "no ledger": lambda: [
        _statement(minutes, "_LEDGER", ("DO NOTHING", "DO UPDATE SET rows = EXCLUDED.rows")),
    ],
    "seal leaves cur": lambda: [
        _script(minutes, "_SEAL", ("redis.call('HDEL', KEYS[1], cur[i])", "")),
    ],
    "seal takes the cell for a minute": lambda: [
        _script(minutes, "_SEAL", ("cell % 2 ^ 40", "cell")),
    ],
    "kinds written into the table of clicks": lambda: [
        _method(
            minutes.Minutes,
            "_persist",
            ("(others if kinds[name] else clicks).add", "clicks.add"),
        ),
    ],
    "no run_id check": lambda: [
        _script(drain, "_ADD", _RUN),
        _script(keyed, "_KEYED", _RUN),
    ],
    "page freed before the reply": lambda: [
        _method(
            drain.Counter,
            "_send",
            ("    source.free(seq)\n", ""),
            ("    state, last = await", "    source.free(seq)\n    state, last = await"),
        ),
    ],
    "dropped before the COMMIT": lambda: [
        _method(minutes.Minutes, "_move", ('    crash_point("read")\n', '    crash_point("read")\n' + _DROP_NOW)),
    ],
    "lanes left out of the reader": lambda: [
        _method(reader.Reader, "_snapshot", ("views = self.fleet.views()", "views = []")),
    ],
    "no last look of the reader": lambda: [
        _method(reader.Reader, "_look", ("await self._is_steady(snapshot, partial)", "True")),
    ],
    "Postgres read before Redis": lambda: [
        _method(
            reader.Reader,
            "_look",
            (_READ, "        snapshot = _Snapshot([], [], set(), False)\n"),
            ("(ask(snapshot), partial)\n", "(ask(snapshot), partial)\n" + _READ),
        ),
        _statement(reader, "_MINUTES", ("incarnation = ANY($4)", "$4::text[] IS NOT NULL")),
    ],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str, play: Play, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for owner, name, broken in MUTANTS[mutant]():
        monkeypatch.setattr(owner, name, broken)
    with pytest.raises((Broken, Flaky)) as caught:
        play(Budget(BUDGET, phases=[Phase.generate]), seed)
    assert _is_broken(caught.value), repr(caught.value)
    print(caught.value)


def test_only_a_broken_promise_catches_a_mutant() -> None:
    assert _is_broken(Broken("a read"))
    assert _is_broken(FlakyFailure("not each time", [OSError("another"), Broken("a read")]))
    assert not _is_broken(FlakyFailure("not each time", [OSError("another")]))
    assert not _is_broken(Flaky("data generation"))
