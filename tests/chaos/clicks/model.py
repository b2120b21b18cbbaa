"""The whole counting path in one process, one store call at a time: the stage on which `test_model.py` plays.

Workers, aggregators and a slow reader are the project's own classes. Each runs as an `Actor`: a task that stops before
every call to Redis or Postgres until it is told what becomes of that call. So the test decides every interleaving and
every lost message, and nothing depends on who is quicker. Only the stores are real processes.
"""

import asyncio
import os
import re
import shutil
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Any, NamedTuple

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from aggregator.clicks.minutes import Minutes
from shared.counting import cells, keys
from shared.counting.accounting import account
from shared.counting.drain import Counter
from shared.counting.fleet import Fleet
from shared.counting.keyed import Keyed, KeyedClick
from shared.counting.lane import Lane, View
from shared.counting.reader import Reader
from shared.errors import LanesFull, PostgresUnavailable, RedisUnavailable
from shared.settings import Settings
from shared.stores.postgres import POSTGRES_ERRORS
from shared.stores.redis_client import REDIS_ERRORS
from tests.chaos.clicks.books import UNEQUAL

#: 2019-07-01 00:00 UTC, so that a step of the clock also crosses a border of partitions.
BASE = 1_561_939_200 // 60
#: What is counted beside plain clicks, and read: a kind of people, and one of machines.
KINDS = (cells.CLICK, cells.SERVED, cells.VIEWABLE + cells.MACHINE)
#: Minutes on each side of BASE that reads look at: more than the clock can walk in one example.
_REACH = 500
#: Seconds after which a step that has not come to its next call is stuck.
_STUCK_S = 20

#: What the services raise when a store is away; their callers try again later.
_AWAY = (*REDIS_ERRORS, *POSTGRES_ERRORS, RedisUnavailable, PostgresUnavailable)

#: All of the counting keys as they are at one instant: {name, its fields or members}*.
_OBSERVE = """
local found = {}
for _, name in ipairs(redis.call('KEYS', 'tallybook:*')) do
  local kind = redis.call('TYPE', name).ok
  if kind == 'hash' then found[#found + 1] = { name, redis.call('HGETALL', name) }
  elseif kind == 'zset' then found[#found + 1] = { name, redis.call('ZRANGE', name, 0, -1) } end
end
return found
"""

_PERSISTED = """
SELECT 0 AS kind, date_part('epoch', "timestamp")::bigint / 60, banner_id, count FROM click_stats
UNION ALL SELECT kind, date_part('epoch', "timestamp")::bigint / 60, banner_id, count FROM banner_stats
"""

#: Shard, kind and own name of a key.
_NAME = re.compile(r"tallybook:{(\d+)}:(\w+):?(.*)")


class Broken(AssertionError):
    """An invariant of the protocol does not hold."""


def hold(condition: bool, message: str, *facts: object) -> None:
    """Raise Broken unless the condition is true."""
    if not condition:
        raise Broken(f"{message}: {', '.join(map(repr, facts))}")


class Fate(Enum):
    """What becomes of one call to a store."""

    DONE = "done, and the reply arrives"
    SLOW = "done, and the reply is on its way until the next step decides about it"
    UNSEEN = "done, and the reply is lost"
    UNSENT = "never arrives"
    LATE = "arrives after its sender has given up"


class Actor:
    """A process of the service, as a task that stops before each call to a store until the call's fate is known."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._turn: asyncio.Future[Fate] | None = None
        self._kept: Fate | None = None
        self._stopped = asyncio.Event()
        #: Whether a call was done and only its reply is on its way.
        self.awaits_reply = False

    @property
    def is_busy(self) -> bool:
        """Whether there is work, stopped before a call."""
        return self._task is not None

    async def begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Start the work and let it come to its first call. Answers what `step` answers."""
        self._stopped.clear()
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda _: self._stopped.set())
        return await self._arrive()

    async def step(self, fate: Fate) -> Any:
        """Decide about the call it stopped at and let it come to the next one, or to its end.

        Answers the result at the end; None before it, and when a store was away.
        """
        turn, self._turn = self._turn, None
        if turn is None:
            return None
        self._stopped.clear()
        turn.set_result(fate)
        return await self._arrive()

    async def finish(self) -> Any:
        """Let every further call be done."""
        result = None
        while self.is_busy:
            result = await self.step(Fate.DONE)
        return result

    async def kill(self) -> None:
        """End the work where it stands."""
        task, self._task, self._turn, self._kept = self._task, None, None, None
        self.awaits_reply = False
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _arrive(self) -> Any:
        async with asyncio.timeout(_STUCK_S):
            await self._stopped.wait()
        task = self._task
        if task is None or not task.done():
            return None
        self._task = self._turn = self._kept = None
        try:
            return task.result()
        except _AWAY:
            return None

    # -- for the stores --------------------------------------------------------------------------------------------

    async def fate(self) -> Fate:
        """Stop here, until the next `step`."""
        if self._kept is not None:
            fate, self._kept = self._kept, None
            return fate
        self._turn = asyncio.get_running_loop().create_future()
        self._stopped.set()
        return await self._turn

    def keep(self, fate: Fate) -> None:
        """The call did nothing: its fate goes to the next one."""
        self._kept = fate

    async def is_reply_lost(self, fate: Fate) -> bool:
        """Whether the reply of a call that was done never arrives."""
        if fate is not Fate.SLOW:
            return fate is Fate.UNSEEN
        self.awaits_reply = True
        fate = await self.fate()
        self.awaits_reply = False
        return fate not in (Fate.DONE, Fate.SLOW)


class Fates:
    """Fates that are known from the start, for calls that nothing may come between."""

    def __init__(self, *fates: Fate) -> None:
        self._fates = list(fates)

    async def fate(self) -> Fate:
        """The next one; DONE when there are no more."""
        return self._fates.pop(0) if self._fates else Fate.DONE

    def keep(self, fate: Fate) -> None:
        """As for `Actor`."""
        self._fates.insert(0, fate)

    async def is_reply_lost(self, fate: Fate) -> bool:
        """As for `Actor`."""
        return fate is Fate.UNSEEN


class _Servers:
    """Redis servers, of which the clients talk to one."""

    def __init__(self, clients: "Sequence[Redis]") -> None:
        self.clients = clients
        self.now = clients[0]
        #: Calls whose senders gave up, and which the server may still see.
        self.late: list[tuple[str, tuple[Any, ...]]] = []


class _RemoteRedis:
    """Redis as one process of the service reaches it."""

    def __init__(self, servers: _Servers, actor: Actor | Fates) -> None:
        self._servers = servers
        self._actor = actor

    async def evalsha(self, *arguments: Any) -> Any:
        return await self._call("evalsha", arguments)

    async def eval(self, *arguments: Any) -> Any:
        return await self._call("eval", arguments)

    async def hgetall(self, *arguments: Any) -> Any:
        return await self._call("hgetall", arguments)

    async def hlen(self, name: str) -> int:
        return await self._servers.now.hlen(name)  # only chooses how to read

    async def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        fate = await self._actor.fate()
        if fate is Fate.LATE:
            self._servers.late.append((name, arguments))
        if fate in (Fate.UNSENT, Fate.LATE):
            raise RedisConnectionError("the request was lost")
        try:
            answer = await getattr(self._servers.now, name)(*arguments)
        except NoScriptError:
            self._actor.keep(fate)
            raise
        if await self._actor.is_reply_lost(fate):
            raise RedisConnectionError("the reply was lost")
        return answer


class _RemotePostgres:
    """A pool of Postgres as one process of the service reaches it; a transaction is one call."""

    def __init__(self, pool: Any, actor: Actor) -> None:
        self._pool = pool
        self._actor = actor

    async def fetch(self, *arguments: Any) -> Any:
        fate = await self._actor.fate()
        if fate in (Fate.UNSENT, Fate.LATE):
            raise asyncpg.ConnectionDoesNotExistError("the request was lost")
        rows = await self._pool.fetch(*arguments)
        if await self._actor.is_reply_lost(fate):
            raise asyncpg.ConnectionDoesNotExistError("the reply was lost")
        return rows

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["_Connection"]:
        fate = await self._actor.fate()
        async with self._pool.acquire() as connection:
            yield _Connection(connection, self._actor, fate)


class _Connection:
    def __init__(self, connection: Any, actor: Actor, fate: Fate) -> None:
        self._connection = connection
        self._actor = actor
        self._fate = fate
        self.execute = connection.execute
        self.fetch = connection.fetch

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield
            if self._fate in (Fate.UNSENT, Fate.LATE):
                raise asyncpg.ConnectionDoesNotExistError("rolled back: the COMMIT never arrived")
        if await self._actor.is_reply_lost(self._fate):
            raise asyncpg.ConnectionDoesNotExistError("committed, but nobody said so")


class _Watched(Minutes):
    """Minutes that tell which incarnations they were told are sealed."""

    def __init__(self, sealed: set[str], *stack: Any) -> None:
        super().__init__(*stack)
        self._names = sealed

    async def _seal(self, shard: int) -> tuple[list[str], int]:
        names, still_open = await super()._seal(shard)
        self._names.update(names)
        return names, still_open


class Worker:
    """A place for a worker: it may be dead, and the next one adopts a lane that nobody holds."""

    def __init__(self, settings: Settings, servers: _Servers) -> None:
        self._settings = settings
        self._servers = servers
        self._counter: Counter | None = None
        self.actor = Actor()

    def counter(self) -> Counter:
        """The one of the worker that lives here, who is started if need be. Call it within the event loop."""
        if self._counter is None:
            self._counter = Counter(self._settings)
            self._counter._redis = _RemoteRedis(self._servers, self.actor)  # type: ignore[assignment]
        return self._counter

    def has_something(self) -> bool:
        """Whether there is something to send; not while it is dead."""
        return self._counter is not None and self._counter._lane.pending() > 0

    def lane(self) -> Lane:
        """What it writes."""
        return self.counter()._lane

    async def send(self, fates: Sequence[Fate]) -> None:
        """Drain by at most so many calls, of these fates."""
        if not self.actor.is_busy:
            counter = self.counter()
            await self.actor.begin(counter._flush(counter._lane))
        await _advance(self.actor, fates)

    async def drain(self) -> None:
        """Have everything that was counted here so far in Redis, as the drain's loop does it."""
        await self.actor.finish()
        counter = self.counter()
        while counter._lane.pending():
            await self.actor.begin(counter._flush(counter._lane))
            await self.actor.finish()

    async def crash(self) -> None:
        """kill -9: nothing is flushed or marked, and the kernel lets go of the lock."""
        await self.actor.kill()
        counter, self._counter = self._counter, None
        if counter is not None:
            View.close(counter._lane)
            os.close(counter._lane._descriptor)

    async def leave(self) -> None:
        """End well, but with Redis away: what is left stays in the file."""
        await self.actor.kill()
        counter, self._counter = self._counter, None
        if counter is not None:
            counter._lane.close()


async def _advance(actor: Actor, fates: Sequence[Fate]) -> Any:
    result = None
    for fate in fates:
        if actor.is_busy:
            result = await actor.step(fate)
    return result


class _State(NamedTuple):
    """What Redis holds."""

    #: id -> (shard, cell) of incarnations that may grow.
    open: dict[str, tuple[int, int]]
    live: set[str]
    #: id -> banner -> clicks
    hashes: dict[str, dict[int, int]]
    #: lane -> (last page applied, clicks up to it)
    lanes: dict[str, tuple[int, int]]
    #: Clicks counted with a key.
    keyed: int
    #: Servers that opened the incarnations.
    runs: set[str]


class _Copy(NamedTuple):
    """A backup of Redis, what it means, and the keys of clicks that it knows."""

    dumps: dict[bytes, bytes]
    state: _State
    seen: set[bytes]


class World:
    """Everything that counts, and the model that it must agree with."""

    def __init__(self, settings: Settings, clients: "Sequence[Redis]", pool: Any, workers: int) -> None:
        self._settings = settings
        self._servers = servers = _Servers(clients)
        self._pool = pool
        #: The model: (cell, banner) -> clicks acknowledged; and the same with a key alone.
        self.clicks: Tally[tuple[int, int]] = Tally()
        self._keyed_clicks = 0
        self._seen: set[bytes] = set()
        #: The wall clock of workers and, by its grace, of the aggregators: always in the middle of a minute.
        self.now = BASE * 60 + 30
        self._read_before: dict[tuple[int, int], int] = {}
        self._fixed: dict[str, dict[int, int]] = {}
        self._sealed: set[str] = set()
        self._given: dict[str, int] = {}
        self._copy: _Copy | None = None
        self._rewinds = 0
        self.workers = [Worker(settings, servers) for _ in range(workers)]
        self._aggregators = [Actor() for _ in range(2)]
        self._slow = Actor()
        self._slow_reads = 0
        self._slow_floor: Tally[tuple[int, int]] = Tally()
        remote: Any = _RemoteRedis(servers, self._slow)
        self._slow_reader = Reader(settings, remote, _RemotePostgres(pool, self._slow))
        self._fleet = Fleet(settings.lanes_dir)
        self.banners: Sequence[int] = ()

    @property
    def minute(self) -> int:
        """The minute of `now`."""
        return self.now // 60

    @property
    def has_late_calls(self) -> bool:
        """Whether something is under way that nobody waits for."""
        return bool(self._servers.late)

    @property
    def has_copy(self) -> bool:
        """Whether there is a backup to go back to."""
        return self._copy is not None

    def waiting(self) -> list[Worker]:
        """Who has something to send."""
        return [worker for worker in self.workers if worker.has_something()]

    async def reset(self) -> None:
        """Empty stores, no lanes."""
        for client in self._servers.clients:
            await client.flushall()
        await self._pool.execute(
            "DELETE FROM click_stats; DELETE FROM banner_stats; DELETE FROM click_ledger"
        )  # quicker than TRUNCATE
        shutil.rmtree(self._settings.lanes_dir, ignore_errors=True)

    # -- clicks ----------------------------------------------------------------------------------------------------

    def click(self, worker: int, banner: int, n: int) -> None:
        """Count n clicks now."""
        if self.workers[worker].lane().add(str(banner), n):
            self.clicks[self.minute, banner] += n

    def backdate(self, worker: int, clicks: Mapping[tuple[int, int, int], int]) -> None:
        """Count {(minutes from now, kind, banner): n}, all or nothing."""
        self._count(
            worker,
            {(cells.cell(kind, self.minute + offset), banner): n for (offset, kind, banner), n in clicks.items()},
        )

    def _count(self, worker: int, at: Mapping[tuple[int, int], int]) -> None:
        """Count {(cell, banner): n}, all or nothing."""
        try:
            self.workers[worker].counter().add_many(at)
        except LanesFull:
            return
        self.clicks.update(at)

    async def keyed(self, clicks: Sequence[KeyedClick], fates: Sequence[Fate]) -> None:
        """Count clicks with keys; each shard that they belong to is one call, with a fate of its own."""
        shards = list(dict.fromkeys(_shard(click, self._settings) for click in clicks))
        of_shards = [*fates, *[Fate.DONE] * len(shards)][: len(shards)]
        is_new = [False] * len(clicks)
        for shard, fate in zip(shards, of_shards, strict=True):
            if fate is not Fate.UNSENT:
                self._expect_keyed(clicks, shard, is_new)
            if fate is not Fate.DONE:
                break
        is_answered = all(fate is Fate.DONE for fate in of_shards)
        client: Any = _RemoteRedis(self._servers, Fates(*fates))
        try:
            answers = await Keyed(self._settings, client).count(clicks)
        except RedisUnavailable:
            hold(not is_answered, "keyed clicks were refused", clicks)
        else:
            hold(is_answered and answers == is_new, "a wrong answer to keys", clicks, answers, is_new)

    def _expect_keyed(self, clicks: Sequence[KeyedClick], shard: int, is_new: list[bool]) -> None:
        for index, click in enumerate(clicks):
            if _shard(click, self._settings) == shard and click.key not in self._seen:
                is_new[index] = True
                self._seen.add(click.key)
                self._keyed_clicks += click.count
                self.clicks[click.minute, click.banner] += click.count

    # -- processes -------------------------------------------------------------------------------------------------

    def _flush(self, actor: Actor, until: int) -> Coroutine[Any, Any, int]:
        """A flush in which minutes are over that end before `until`."""
        settings = msgspec.structs.replace(self._settings, grace_s=int(time.time()) - until)
        client, pool = _RemoteRedis(self._servers, actor), _RemotePostgres(self._pool, actor)
        return _Watched(self._sealed, settings, client, pool).flush()

    async def aggregate(self, number: int, fates: Sequence[Fate], last: Fate | None) -> None:
        """Bring an aggregator forward by at most so many calls, of these fates; without a last one it is killed."""
        actor = self._aggregators[number]
        if not actor.is_busy:
            await actor.begin(self._flush(actor, self.now))
        await _advance(actor, fates)
        if last is None:
            await actor.kill()
        else:
            await _advance(actor, [last])

    async def aggregate_at_once(self) -> None:
        """Let both aggregators run, with every call of one beside a call of the other."""
        for actor in self._aggregators:
            if not actor.is_busy:
                await actor.begin(self._flush(actor, self.now))
        while any(actor.is_busy for actor in self._aggregators):
            await asyncio.gather(*(actor.step(Fate.DONE) for actor in self._aggregators if actor.is_busy))

    async def flush(self, until: int | None = None) -> None:
        """Another aggregator moves all that is over."""
        actor = Actor()
        await actor.begin(self._flush(actor, self.now if until is None else until))
        await actor.finish()

    async def read_slowly(self, calls: int) -> None:
        """Bring a read forward by at most so many calls: a new one, or the one that began some steps ago."""
        if not self._slow.is_busy:
            self._slow_floor = Tally(self.clicks)
            self._slow_reads += 1
            await self._slow.begin(_read(self._slow_reader, self.banners, self._slow_kind))
        self._check_slow(await _advance(self._slow, [Fate.DONE] * calls))

    @property
    def _slow_kind(self) -> int:
        """What the slow read is about: one kind after the other."""
        return KINDS[self._slow_reads % len(KINDS)]

    async def read_around_a_flush(self, calls: int, is_drained: bool) -> None:
        """A read between two calls of which everything moves on."""
        await self.read_slowly(calls)
        if is_drained:
            await self.drain()
        await self.flush()
        self._check_slow(await self._slow.finish())

    def _check_slow(self, seen: dict[tuple[int, int], int] | None) -> None:
        """A read lies between what was acknowledged when it began and when it ended (I2)."""
        if seen is not None:
            acked = {at for at in self.clicks if cells.kind_of(at[0]) == self._slow_kind}
            for at in acked | seen.keys():
                n = self.clicks[at]
                is_between = self._slow_floor[at] <= seen.get(at, 0) <= n
                hold(is_between, "a slow read is out of bounds", at, self._slow_floor[at], seen.get(at), n)

    async def arrive_late(self) -> None:
        """What its senders gave up reaches the server."""
        late, self._servers.late = self._servers.late, []
        for name, arguments in late:
            with suppress(NoScriptError):  # nobody is left to send it in full
                await getattr(self._servers.now, name)(*arguments)

    async def forget_scripts(self) -> None:
        """SCRIPT FLUSH."""
        await self._servers.now.script_flush()

    # -- Redis goes back in time -----------------------------------------------------------------------------------

    async def copy(self, is_drained: bool) -> None:
        """Take a backup of Redis, perhaps after all lanes have drained."""
        if is_drained:
            await self.drain()
        client = self._servers.now
        dumps: dict[Any, Any] = {name: await client.dump(name) for name in await client.keys("*")}
        self._copy = _Copy(dumps, await self._observe(), set(self._seen))

    async def rewind(self, late: Sequence[tuple[int, int, int]]) -> None:
        """Put the backup into another server and go on with that one.

        Then count the (incarnation, banner, n) where they would join an incarnation that was open when it was made.
        Where this would break the promise, the minutes are flushed first: that is what `_is_harmless` allows.
        """
        assert self._copy is not None
        await self._lose_replies()
        if not await self._is_harmless(self._copy):
            await self.settle()
            hold(await self._is_harmless(self._copy), "something is neither in Postgres nor in a lane")
        await self.check()  # the last look at what this server knows
        target = await self._fresh_server(self._copy)
        if target is None:
            return
        await target.flushall()
        for name, content in self._copy.dumps.items():
            await target.restore(name, 0, content)
        self._servers.now = target
        self._servers.late.clear()
        self._seen = set(self._copy.seen)  # a key that was noted since is not known any more
        self._fixed = dict(self._copy.state.hashes)  # nothing of a former life may grow
        self._sealed.clear()
        self._rewinds += 1
        was_open = sorted(self._copy.state.open.values())
        for chosen, banner, n in late if was_open else ():
            shard, cell = was_open[chosen % len(was_open)]
            for number, worker in enumerate(self.workers):
                if keys.shard_of(worker.lane().id, self._settings.shards) == shard:
                    self._count(number, {(cell, banner): n})

    async def _is_harmless(self, copy: _Copy) -> bool:
        """Whether every acknowledged click is still counted, and only once, when Redis becomes the copy.

        That is so if what only Redis holds (no ledger row) is in the copy as it is now, which nothing at all is the
        usual case of, and if no page that is still in a lane was applied after the copy: it would be applied again,
        while its first application may be in Postgres. All else is in Postgres or waits in a lane.
        """
        now, before = await self._observe(), copy.state
        ledger = {row[0] for row in await self._pool.fetch("SELECT incarnation FROM click_ledger")}

        def only_here(state: _State) -> dict[str, dict[int, int]]:
            return {name: content for name, content in state.hashes.items() if name not in ledger}

        for view in self._fleet.views():
            first = max(view.tail, before.lanes.get(view.id, (0, 0))[0] + 1)
            if first <= now.lanes.get(view.id, (0, 0))[0]:
                return False
        return only_here(now) == only_here(before)

    async def _lose_replies(self) -> None:
        """Connections to the server that goes away break, and so does a read that has begun there."""
        await self._slow.kill()
        for actor in (*self._aggregators, *(worker.actor for worker in self.workers)):
            if actor.awaits_reply:
                await actor.step(Fate.UNSEEN)

    async def _fresh_server(self, copy: _Copy) -> "Redis | None":
        """A server that did not write the copy. In life each start draws a run_id that never was; here there are only a
        few servers, so one that the copy names cannot be taken."""
        for client in self._servers.clients:
            run = (await client.info("server"))["run_id"]
            if client is not self._servers.now and run not in copy.state.runs:
                return client
        return None

    async def drain(self) -> None:
        """All lanes into Redis."""
        for worker in self.workers:
            await worker.drain()

    async def settle(self) -> None:
        """Everything into Postgres."""
        await self.drain()
        await self.flush(until=(BASE + _REACH) * 60)

    # -- what must hold --------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """The invariants. Raises Broken."""
        reader = Reader(self._settings, self._servers.now, self._pool)
        reader.fleet = self._fleet
        seen: dict[tuple[int, int], int] = {}
        for kind in KINDS:
            seen |= await _read(reader, self.banners, kind)
        hold(seen == dict(self.clicks), "a read differs from what was acknowledged", seen, dict(self.clicks))
        hold(all(seen[at] >= n for at, n in self._read_before.items()), "a read went back", seen, self._read_before)
        self._read_before = seen
        unequal = await self._pool.fetch(UNEQUAL, 60)
        hold(not unequal, "minutes of which ledger and statistics differ", unequal)
        hold(not list(self._settings.lanes_dir.glob("*.bad-*")), "a lane was put aside")
        state = await self._observe()
        hold(state.live == state.hashes.keys(), "ids and hashes differ", state.live ^ state.hashes.keys())
        self._check_sealed(state)
        await self._check_account(state)

    def _check_sealed(self, state: _State) -> None:
        for name, content in state.hashes.items():
            if name in self._fixed or name in self._sealed or name not in state.open:
                former = self._fixed.setdefault(name, content)
                hold(former == content, "a sealed incarnation changed", name, former, content)

    async def _check_account(self, state: _State) -> None:
        """The accounting identity.

        A rewound Redis forgets totals as well: those of the lanes until each has sent its next page, those of keyed
        clicks for ever, since no file repeats them. Until then exactly that much is missing.
        """
        missing = self._keyed_clicks - state.keyed
        for lane, (_, total) in state.lanes.items():
            self._given[lane] = max(total, self._given.get(lane, 0))
        missing += sum(given - state.lanes.get(lane, (0, 0))[1] for lane, given in self._given.items())
        hold(self._rewinds > 0 or missing == 0, "totals went back", state.lanes, self._given, state.keyed)
        figures = await account(self._settings, self._servers.now, self._pool, self._fleet)
        hold(figures.difference == -missing, "the account has a difference", figures, missing)

    async def _observe(self) -> _State:
        state = _State({}, set(), {}, {}, 0, set())
        keyed = 0
        for name, values in await self._servers.now.eval(_OBSERVE, 0):
            shard, kind, own = _NAME.findall(name.decode())[0]
            fields = {} if kind == "live" else dict(zip(values[::2], values[1::2], strict=True))
            if kind == "live":
                state.live.update(value.decode() for value in values)
            elif kind == "cur":
                state.runs.add(fields.pop(b"#run", b"").decode())
                state.open.update((name.decode(), (int(shard), int(minute))) for minute, name in fields.items())
            elif kind == "i":
                state.hashes[own] = {int(banner): int(n) for banner, n in fields.items()}
            elif kind == "lane":
                state.lanes[own] = int(fields[b"seq"]), int(fields[b"total"])
            elif kind == "keyed":
                keyed += int(fields[b"total"])
        return state._replace(keyed=keyed)

    async def conclude(self) -> None:
        """Drain and flush all: then Postgres has every click, and Redis none. Raises Broken."""
        await self.settle()
        self._check_slow(await self._slow.finish())
        await self.check()
        rows = await self._pool.fetch(_PERSISTED)
        persisted = {(cells.cell(kind, minute), banner): n for kind, minute, banner, n in rows}
        hold(persisted == dict(self.clicks), "Postgres differs from what was acknowledged", persisted, self.clicks)
        state = await self._observe()
        hold(not state.live and not state.open, "clicks are left in Redis", state)

    async def end(self) -> None:
        """Let go of everything."""
        for actor in (self._slow, *self._aggregators):
            await actor.kill()
        for worker in self.workers:
            await worker.crash()


def _shard(click: KeyedClick, settings: Settings) -> int:
    return int.from_bytes(click.key[:4]) % settings.shards


async def _read(reader: Reader, banners: Sequence[int], kind: int) -> dict[tuple[int, int], int]:
    """(cell, banner) -> count of one kind, in all minutes of the test."""
    reading = await reader.read(banners, (BASE - _REACH) * 60, (BASE + _REACH) * 60, kind=kind)
    points = ((banner, point) for banner, points in reading.points.items() for point in points)
    return {(cells.cell(kind, start // 60), banner): count for banner, (start, count, _) in points}
