"""The stage: the real service on real servers, with a proxy before each and a shim under each, and whoever dies is
started again."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from redis.asyncio import Redis

from shared.collect.link import LinkRow
from shared.counting import keys, lane
from shared.counting.fleet import Fleet
from shared.migrations.migrate_postgres import migrate
from shared.runtime.tasks import end
from tallybook.registries import links
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers, postgres_answers, redis_answers
from tallybook.stack.launcher import clean_environ, launch
from tests.chaos.clicks.crowd import LIMITED, LIMITED_LINKS, LINK_CLICKS, LINKED, SITE_HOST
from tests.chaos.clicks.shim import Shim
from tests.harness.http import BROKEN, ask
from tests.harness.process import environ, free_port, is_alive
from tests.harness.proxy import Proxy, to_socket
from tests.harness.wait import until
from tests.harness.workers import workers_of

SHARDS = 2
#: Small, so that an outage fills the lanes and minutes end every moment.
SETTINGS: dict[str, Any] = {
    "workers": 2,
    "minute_s": 2,
    "grace_s": 0.5,
    "shards": SHARDS,
    "lane_pages": 16,
    "lane_entries": 64,
    "drain_interval_ms": 5,
    "redis_timeout_s": 1,
    "postgres_timeout_s": 3,
    "drain_timeout_s": 5,
    "metrics_port": 0,
    "log_format": "json",
    "log_level": "warning",
}
#: Where links lead.
_SALE = "https://shop.example/sale"
#: The site whose pages report.
_SITE = f"INSERT INTO sites (site) VALUES ('shop'); INSERT INTO site_hosts VALUES ('{SITE_HOST}', 'shop')"
#: Seconds until whatever was started has to answer.
_START_S = 30.0
#: Seconds for which a process may outlive the service.
_LINGER_S = 5.0


class Stage:
    """Servers, proxies, one `ingest` with two workers, and two aggregators."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        library: Path,
        *,
        ack: str = "lane",
        crash: str = "",
        mutant: str = "",
        clickhouse: bool = False,
    ) -> None:
        self.folder, self.port = folder, free_port()
        self._crash, self._mutant, self._ack = crash, mutant, ack
        for name in ("proxy", "service", "servers"):
            (folder / name).mkdir(mode=0o755)
        self.shims = {name: Shim(library, folder / f"{name}.orders") for name in ("ingest", "aggregator", "redis")}
        self._data = DataFolder(folder / "servers")
        self.servers = _Servers(self._data, self.shims["redis"], clickhouse=clickhouse)
        self._chance = random.Random(seed)
        self.proxies: dict[str, Proxy] = {}
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: set[str] = set()
        self._workers: set[int] = set()
        self.log = folder.with_name(f"{folder.name}.log")  # not on a disk that will be full
        #: Deaths by kind, whatever they died of.
        self.deaths: Counter[str] = Counter()
        self._tending: asyncio.Task[None] | None = None
        #: Settings beside those of every run.
        self.settings: dict[str, Any] = {}

    # -- start and stop --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until it answers."""
        self._data.take()
        self.servers.start()
        self.sockets = {
            "redis": Path(str(self.servers.redis_url).removeprefix("unix://")),
            "postgres": self.folder / "servers" / "run" / ".s.PGSQL.5432",
        }
        await migrate(str(self.servers.database_url))
        async with self.database() as connection:
            await connection.execute(_SITE)
        self.redis = Redis.from_url(str(self.servers.redis_url))
        for name, near in (("redis", "redis.sock"), ("postgres", ".s.PGSQL.5432")):
            self.proxies[name] = Proxy(to_socket(self.sockets[name]), self._chance)
            await self.proxies[name].start(self.folder / "proxy" / near)
        await self.prepare()
        for name in ("ingest", "aggregator-1", "aggregator-2"):
            self.launch(name)
        self._tending = asyncio.create_task(self._tend())
        await self.answers()

    async def prepare(self) -> None:
        """What else a service needs before it starts: the links of the crowd."""
        rows = [LinkRow(f"b{banner}", banner, _SALE) for banner in LINKED]
        rows += [
            LinkRow(f"l{number}", LIMITED[number % len(LIMITED)], _SALE, max_clicks=LINK_CLICKS)
            for number in range(LIMITED_LINKS)
        ]
        async with self.database() as connection:
            await links.put(connection, rows, ())

    def launch(self, name: str) -> None:
        """Start a service, with what is armed now."""
        self._stopped.discard(name)
        module = name.partition("-")[0]
        proxied = self.folder / "proxy"
        settings = {
            **SETTINGS,
            "ack": self._ack,
            "port": self.port,
            "data_dir": self.folder / "service",
            "redis_url": f"unix://{proxied}/redis.sock",
            "database_url": f"postgresql://tallybook@/postgres?host={proxied}",
            **self.settings,
        }
        variables = environ(**settings) | self.shims[module].environ | {"PYTHONUNBUFFERED": "1"}
        if self._crash:
            variables["TALLYBOOK_CRASH"] = self._crash
        if self._mutant:
            variables["CHAOS_MUTANT"] = self._mutant
        command = (sys.executable, "-m", "tests.chaos.clicks.entry", module)
        with self.log.open("ab") as output:
            self._services[name] = launch(command, log=output, env=variables, death_signal=signal.SIGKILL)

    async def answers(self) -> None:
        """Wait until clicks can be sent."""
        await until(lambda: bool(self.workers()), "a worker")

        async def listens() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return True
            return False

        await until(listens, f"clicks can be sent: {self.log}", _START_S)

    async def heal(self) -> None:
        """End all faults, and let every process start anew without crash points."""
        self._crash = ""
        for proxy in self.proxies.values():
            proxy.calm()
        for shim in self.shims.values():
            shim.order(clock_s=0.0, fsync_s=0.0)
        for name in ("redis", "postgres"):
            await self.bring_back(name)
        for name in list(self._services):
            await self.kill(name)
            self.launch(name)
        await self.answers()

    async def stop(self) -> dict[str, int]:
        """Ask all services to end; answers their exit codes."""
        await self._stop_tending()
        codes = {}
        for name, process in self._services.items():
            process.send_signal(signal.SIGTERM)
            codes[name] = await asyncio.to_thread(process.wait, _START_S)
        return codes

    async def end(self) -> None:
        """Leave nothing behind, however it went."""
        async with contextlib.AsyncExitStack() as at_the_end:  # the last first, and each though another fails
            at_the_end.callback(self._data.release)
            at_the_end.callback(self.servers.stop)
            if hasattr(self, "redis"):
                at_the_end.push_async_callback(self.redis.aclose)
            for proxy in self.proxies.values():
                at_the_end.push_async_callback(proxy.stop)
            for name in self._services:
                at_the_end.push_async_callback(self.kill, name)
            at_the_end.push_async_callback(self._stop_tending)

    async def _stop_tending(self) -> None:
        if self._tending is not None:
            await end(self._tending)

    async def _tend(self) -> None:
        """Start again what has died, as a supervisor does."""
        while True:
            alive = {worker.pid for worker in self.workers()}
            self.deaths["worker"] += len(self._workers - alive)
            self._workers = alive
            for name, process in list(self._services.items()):
                if name not in self._stopped and process.poll() is not None:
                    self.deaths[name.partition("-")[0]] += 1
                    self.launch(name)
            await asyncio.sleep(0.1)

    # -- who is there ----------------------------------------------------------------------------------------------

    def workers(self) -> list[psutil.Process]:
        """The ingest workers that live now."""
        return workers_of(self._services["ingest"].pid) if "ingest" in self._services else []

    def process(self, name: str) -> psutil.Process:
        """A service, or a server. Raises psutil.NoSuchProcess."""
        one = self._services.get(name) or self.servers.processes[name]
        return psutil.Process(one.pid)

    def runs(self, name: str) -> bool:
        """Whether a service runs now."""
        return self._services[name].poll() is None

    # -- faults ----------------------------------------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """kill -9 of a service. Granian's workers die with it, by the kernel."""
        process, workers = self._services[name], self.workers() if name == "ingest" else []
        self._stopped.add(name)
        if process.poll() is None:
            self.deaths[name.partition("-")[0]] += 1
            process.kill()
        await asyncio.to_thread(process.wait)
        await until(lambda: not any(map(is_alive, workers)), "the end of the workers with their parent")
        self._workers -= {worker.pid for worker in workers}

    async def take_away(self, name: str) -> None:
        """kill -9 of a server, which stays away."""
        process = self.servers.processes[name]
        if process.poll() is None:
            self.deaths[name] += 1
            process.kill()
        await asyncio.to_thread(process.wait)

    async def bring_back(self, name: str) -> None:
        """Start a server that is away, and wait until it answers."""
        if self.servers.processes[name].poll() is not None:
            self._data.kill_orphans({"redis": "redis", "postgres": "pg"}[name])
            self.servers.launch(name)
        answer = {"redis": redis_answers, "postgres": postgres_answers}[name]

        def is_there() -> bool:
            try:
                return answer(self.sockets[name])
            except OSError:
                return False

        await until(is_there, f"an answer of {name}")

    def copy_redis(self) -> Path:
        """A copy of what Redis has on its disk now."""
        copy = self.folder / f"redis-{time.time_ns()}"
        shutil.copytree(self.folder / "servers" / "redis", copy)
        return copy

    def restore_redis(self, copy: Path) -> None:
        """Put the copy in the place of the files of a Redis that is away."""
        folder = self.folder / "servers" / "redis"
        owner = folder.stat()
        shutil.rmtree(folder)
        shutil.move(copy, folder)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)

    # -- what is where ---------------------------------------------------------------------------------------------

    async def live(self) -> int:
        """Incarnations that Redis still holds."""
        return sum([int(await self.redis.zcard(keys.prefix(shard) + "live")) for shard in range(SHARDS)])

    def pending(self) -> int:
        """Clicks that lie in the lanes."""
        return sum(view.pending() for view in Fleet(self.folder / "service" / "lanes").views())

    async def settle(self, patience_s: float = _START_S) -> bool:
        """Wait until every click is in Postgres; False when that does not come."""
        deadline = time.monotonic() + patience_s
        while self.pending() or await self.live():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def difference(self) -> int:
        """What the accounts of the service differ by, as it says itself once it can."""
        found: list[int] = []

        async def is_told() -> bool:
            with contextlib.suppress(ValueError, *BROKEN):
                answer = await ask(self.port, "GET", "/accounting")
                if answer.status == 200:
                    found.append(int(answer.json()["difference"]))
            return bool(found)

        await until(is_told, "an answer to GET /accounting", _START_S)
        return found[0]

    async def forgotten_by_lanes(self) -> int:
        """Clicks that lanes gave to Redis, and of which it does not know, because it was put back since. It learns of
        them again with the next page of each lane."""
        forgotten = 0
        for view in Fleet(self.folder / "service" / "lanes").views():
            name = keys.lane_key(keys.shard_of(view.id, SHARDS), view.id)
            forgotten += max(0, view.drained() - int(await self.redis.hget(name, "total") or 0))
        return forgotten

    async def counted_with_keys(self) -> int:
        """Clicks with keys that Redis knows of."""
        totals = [await self.redis.hget(keys.prefix(shard) + "keyed", "total") for shard in range(SHARDS)]
        return sum(int(total or 0) for total in totals)

    @contextlib.asynccontextmanager
    async def database(self):  # type: ignore[no-untyped-def]
        """A connection past the proxy."""
        connection = await asyncpg.connect(self.servers.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    def descriptors(self) -> dict[str, int]:
        """File descriptors of every process of the service."""
        found = {f"worker {one.pid}": one for one in self.workers()}
        found |= {f"{name} {one.pid}": psutil.Process(one.pid) for name, one in self._services.items()}
        return {name: one.num_fds() for name, one in found.items()}

    async def left_behind(self) -> list[str]:
        """What should not be there once everything is settled and every service has ended."""
        left = [key.decode() async for key in self.redis.scan_iter("*") if key.split(b":")[2:3] in ([b"i"], [b"aside"])]
        lanes = self.folder / "service" / "lanes"
        left += [path.name for path in lanes.iterdir() if path.suffix != ".lane"]
        # A worker that starts takes a lane that nobody holds: there are few more than workers, however many died.
        if len(lane.paths(lanes)) > 2 * SETTINGS["workers"] + 2:
            left.append(f"{len(lane.paths(lanes))} lanes")
        with contextlib.suppress(TimeoutError):  # helpers of Python end when they notice that they are alone
            await until(lambda: not self.processes(), "the end of the processes", _LINGER_S)
        return left + [f"process {one.pid}" for one in self.processes()]

    def processes(self) -> list[psutil.Process]:
        """All processes of the service, whoever their parent is. They are known by their environment."""
        return [one for one in psutil.process_iter() if _data_folder(one) == str(self.folder / "service")]


class _Servers(EmbeddedServers):
    """The servers, of which Redis has the shim under it."""

    def __init__(self, folder: DataFolder, shim: Shim, *, clickhouse: bool) -> None:
        super().__init__(folder, clickhouse=clickhouse)
        self._shim = shim

    def launch(self, name: str) -> None:
        if name == "redis":
            self._servers[name] = self._servers[name]._replace(environ=clean_environ() | self._shim.environ)
        super().launch(name)


def _data_folder(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("TALLYBOOK_DATA_DIR")
    except (psutil.Error, OSError):  # it has just died, or is somebody else's
        return None
