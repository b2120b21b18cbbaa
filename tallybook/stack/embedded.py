"""Run Valkey (or Redis), Postgres and the engine of ClickHouse as children, with all files in the data folder.

Valkey and Postgres listen on unix sockets, ClickHouse's gateway on loopback.

    pg/  redis/  clickhouse/     the servers' own files, mode 0700
    cold/                        events that ClickHouse has moved, unless they go elsewhere
    run/                         sockets, mode 0700 (tallybook/stack/sockets.py)
    initdb.unfinished            exists while initdb runs, so that an interrupted one starts over
    redis.log, postgres.log, clickhouse.log
"""

import contextlib
import functools
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from shared.settings import Settings
from tallybook.exits import Exit, Stop
from tallybook.stack import clickhouse
from tallybook.stack.binaries import OLDEST_POSTGRES, OLDEST_REDIS, find_postgres, find_redis, numbers, version_of
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.launcher import SAME, Identity, can_walk_to, clean_environ, command_line, launch, server_identity
from tallybook.stack.restarts import Restarts
from tallybook.stack.sockets import Sockets

USER = "tallybook"
#: The working folder of each server, in the data folder.
_FOLDERS = {"redis": "redis", "postgres": "pg", "clickhouse": "clickhouse"}
#: The order of a stop.
_STOPPED = ("clickhouse", "postgres", "redis")

#: Seconds until a server has to answer, and until a stopping one is killed.
_START_S, _STOP_S = 60.0, 15.0
#: Bytes of a server's log file above which a start moves it to `<name>.log.1`.
_LOG_MAX = 10 << 20
#: Bytes of the path of a data folder. Postgres and Redis have 1,024 for the path of a file (MAXPGPATH).
_PATH_MAX = 900

#: `always`: with `everysec` a kill -9 loses acknowledged increments.
_REDIS_OPTIONS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--save", ""),
    *("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no"),
    *("--maxmemory-policy", "noeviction"),
    *("--auto-aof-rewrite-percentage", "100", "--auto-aof-rewrite-min-size", "64mb"),
)
#: mmap: /dev/shm of a container often has 64 MB only.
_POSTGRES_OPTIONS = (
    *("-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c", "shared_buffers=128MB"),
    *("-c", "dynamic_shared_memory_type=mmap", "-c", "logging_collector=off", "-c", "max_wal_size=2GB"),
)
#: The wheel's Postgres has no ICU. -N: no fsync is needed, because an interrupted initdb starts over.
_INITDB_OPTIONS = ("-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions", "-N")

log = structlog.get_logger()


class _Server(NamedTuple):
    """The commands and checks of a server: start, stop, readiness."""

    command: Sequence[str | Path]
    stop_signal: signal.Signals
    answers: Callable[[], bool]
    identity: Identity
    #: Its whole environment; None is `clean_environ`.
    environ: Mapping[str, str] | None = None
    pass_fds: Sequence[int] = ()
    #: Called before each start, and after a death.
    opens: Callable[[], None] = lambda: None
    died: Callable[[], None] = lambda: None


class EmbeddedServers:
    """The servers of a data folder that this process owns. Use it from the main thread, before any other child starts.

    `redis_url`, `database_url` and `clickhouse_url` are None for a server that does not run.
    """

    redis_url: str | None = None
    database_url: str | None = None
    clickhouse_url: str | None = None

    def __init__(
        self,
        folder: DataFolder,
        *,
        redis: bool = True,
        postgres: bool = True,
        clickhouse: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings or Settings()
        wanted = {"redis": redis, "postgres": postgres, "clickhouse": clickhouse}
        self.names = [name for name, is_wanted in wanted.items() if is_wanted]
        self._servers: dict[str, _Server] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts = {name: Restarts() for name in self.names}
        self._identity = SAME
        self._sockets: Sockets | None = None
        self._files = contextlib.ExitStack()

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Start the wanted servers and wait until they answer, calling `check` meanwhile.

        Raises Stop, or what `check` raises, after it has stopped all servers."""
        if not self.names:
            return
        try:
            self._prepare()
            self._forget_former_servers()
            for name in self.names:
                self.launch(name)
            self._wait_until_answered(self.names, check)
        except BaseException:
            self.stop()
            raise

    def _prepare(self) -> None:
        note = self._folder.read("embedded.json")
        if "redis" in self.names or "postgres" in self.names:
            note = self._prepare_sockets(note)
        if "clickhouse" in self.names:
            note = self._prepare_clickhouse(note)
        self._folder.write("embedded.json", note)

    def _prepare_sockets(self, note: dict[str, Any]) -> dict[str, Any]:
        redis = find_redis() if "redis" in self.names else None
        postgres = find_postgres() if "postgres" in self.names else None
        builds = self._builds(note, redis, postgres)
        if len(os.fsencode(self._folder.path)) > _PATH_MAX:
            message = (
                f"The path of the data folder has more than {_PATH_MAX} bytes: name a shorter one with --data-dir."
            )
            raise Stop(Exit.FOLDER_UNWRITABLE, message)
        binaries = [redis, postgres and postgres / "postgres"]
        reached = [self._folder.path / "pg", *(binary for binary in binaries if binary)]
        owned = [self._folder.path / _FOLDERS[name] for name in ("postgres", "redis")]
        self._identity = server_identity(reached, note.get("run_as"), owned)
        self._sockets = Sockets(self._own_folder("run", self._identity), self._identity)
        sockets = self._sockets.path
        if redis:
            self._own_folder("redis", self._identity)
            at = sockets / "redis.sock"
            memory = ("--maxmemory", str(self._settings.redis_memory_bytes))
            command: tuple[str | Path, ...] = (redis, "--unixsocket", at, *memory, *_REDIS_OPTIONS)
            answers = functools.partial(redis_answers, at)
            self._servers["redis"] = _Server(command, signal.SIGTERM, answers, self._identity)
            self.redis_url = f"unix://{at}"
        if postgres:
            command = (postgres / "postgres", "-D", self._cluster(postgres), "-k", sockets, *_POSTGRES_OPTIONS)
            answers = functools.partial(postgres_answers, sockets / ".s.PGSQL.5432")
            self._servers["postgres"] = _Server(command, signal.SIGINT, answers, self._identity)
            self.database_url = f"postgresql://{USER}@/postgres?host={sockets}"
        return {**note, **builds, "run_as": self._identity.mode}

    def _prepare_clickhouse(self, note: dict[str, Any]) -> dict[str, Any]:
        """Describe the gateway. Its user is chosen apart: the other servers' users may be unable to reach Python."""
        build = clickhouse.build(note.get("clickhouse"), self._folder.path / "clickhouse")
        child = clickhouse.ClickHouseChild(self._settings, self._folder.path)
        owned = [self._folder.path / _FOLDERS["clickhouse"]]
        identity = server_identity(child.reached(), note.get("run_clickhouse_as"), owned)
        self._own_folder("clickhouse", identity)
        if child.cold_folder is not None:
            child.cold_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _give(child.cold_folder, identity)
        self._servers["clickhouse"] = _Server(
            child.command,
            signal.SIGTERM,
            child.answers,
            identity,
            child.environ,
            pass_fds=(child.socket.fileno(),),
            opens=child.open,
            died=child.refuse,
        )
        self._files.callback(child.socket.close)
        self.clickhouse_url = child.url
        return {**note, "clickhouse": build, "run_clickhouse_as": identity.mode}

    # -- life ------------------------------------------------------------------------------------------------------

    def identity_for(self, reached: Sequence[Path]) -> Identity:
        """Return who runs the services: as root, the servers' user if that one can reach these paths."""
        user = self._identity
        may_enter = user.mode == "drop" and all(can_walk_to(path, user.uid, user.gid) for path in reached)
        return user if may_enter else SAME

    def launch(self, name: str) -> None:
        """Start a server without waiting for it."""
        server = self._servers[name]
        server.opens()
        path = self._folder.path / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_MAX:
            path.replace(path.with_suffix(".log.1"))
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), "ab") as output:
            self.processes[name] = launch(
                server.command,
                log=output,
                cwd=self._folder.path / _FOLDERS[name],
                identity=server.identity,
                death_signal=server.stop_signal,
                env=server.environ or clean_environ(),
                pass_fds=(self._folder.servers_lock, *server.pass_fds),
            )
        self._restarts[name].started()

    def revive(self) -> None:
        """Restart dead servers, each after its backoff. It returns at once: services bear their absence."""
        if self._sockets is not None:
            self._sockets.keep()
        for name, process in self.processes.items():
            if process.poll() is None:
                continue
            restarts = self._restarts[name]
            wait_s = restarts.died()
            if wait_s is not None:
                self._servers[name].died()
                log.error("server_died", server=name, exit_code=process.returncode, restart_in_s=wait_s)
            elif restarts.is_due():
                self._folder.kill_orphans(_FOLDERS[name])
                self.launch(name)

    def stop(self) -> None:
        """Shut down cleanly (Postgres: fast), and kill what still runs after 15 s."""
        for name in _STOPPED:
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                process.send_signal(self._servers[name].stop_signal)
        deadline = time.monotonic() + _STOP_S
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._files.close()
        if self._sockets is not None:
            self._sockets.remove()

    def _wait_until_answered(self, names: Sequence[str], check: Callable[[], None]) -> None:
        waiting, deadline = list(names), time.monotonic() + _START_S
        while waiting:
            check()
            for name in list(waiting):
                if (exit_code := self.processes[name].poll()) is not None:
                    raise Stop(
                        Exit.SERVER_FAILED,
                        f"{name} stopped at its start (exit code {exit_code}). Its log ends:\n{self._log_tail(name)}",
                    )
                with contextlib.suppress(OSError):  # not listening yet
                    if self._servers[name].answers():
                        waiting.remove(name)
            if time.monotonic() > deadline:
                raise Stop(
                    Exit.SERVER_FAILED,
                    f"{waiting[0]} was not ready in {_START_S:.0f} s. Its log ends:\n{self._log_tail(waiting[0])}",
                )
            time.sleep(0.005)

    def _log_tail(self, name: str) -> str:
        return (self._folder.path / f"{name}.log").read_text(errors="replace")[-1500:]

    def _forget_former_servers(self) -> None:
        """Remove the lock files of killed servers: they keep Postgres from starting if their pids are in use.

        `lock.servers` has shown that no server is left."""
        for name in ("pg/postmaster.pid", "run/.s.PGSQL.5432.lock"):
            (self._folder.path / name).unlink(missing_ok=True)

    # -- which build wrote the files -------------------------------------------------------------------------------

    def _builds(self, note: dict[str, str], redis: Path | None, postgres: Path | None) -> dict[str, str]:
        """Return the builds for the note. Raises Stop for one that is too old, or does not fit the files."""
        builds: dict[str, str] = {}
        if redis:
            version = version_of(redis)
            if version < OLDEST_REDIS:
                raise Stop(
                    Exit.SERVER_MISSING, f"{redis} is {version[0]}.{version[1]}, but Redis 7.0 or newer is needed."
                )
            builds["redis"] = f"{redis.name} {version[0]}.{version[1]}"
            self._check_redis(note.get("redis"), builds["redis"])
        if postgres:
            major = version_of(postgres / "postgres")[0]
            if major < OLDEST_POSTGRES:
                message = f"{postgres} is Postgres {major}, but {OLDEST_POSTGRES} or newer is needed."
                raise Stop(Exit.SERVER_MISSING, message)
            builds["postgres"] = str(major)
            if note.get("postgres", str(major)) != str(major):
                message = (
                    f"{self._folder.path} was made by Postgres {note['postgres']}, but {postgres} is {major}: "
                    "install that version, or dump and reload."
                )
                raise Stop(Exit.FOREIGN_DATA, message)
        return builds

    def _check_redis(self, wrote: str | None, build: str) -> None:
        """Refuse a downgrade or another program: Redis 6.2 silently starts empty on newer files."""
        if wrote is None:
            return
        (former, _, former_version), (name, _, version) = wrote.partition(" "), build.partition(" ")
        if former != name or numbers(former_version) > numbers(version):
            raise Stop(
                Exit.FOREIGN_DATA,
                f"{self._folder.path / 'redis'} was written by {wrote}, but {build} is installed: install that one.",
            )

    # -- folders ---------------------------------------------------------------------------------------------------

    def _own_folder(self, name: str, identity: Identity) -> Path:
        folder = self._folder.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        _give(folder, identity)
        return folder

    def _cluster(self, postgres: Path) -> Path:
        """Return the folder of the database cluster; initdb makes it at the first start."""
        folder = self._own_folder("pg", self._identity)
        unfinished = self._folder.path / "initdb.unfinished"
        if (folder / "PG_VERSION").exists() and not unfinished.exists():
            return folder
        unfinished.touch()
        shutil.rmtree(folder)
        self._own_folder("pg", self._identity)
        command = command_line(self._identity, signal.SIGKILL, (postgres / "initdb", "-D", folder, *_INITDB_OPTIONS))
        done = subprocess.run(  # noqa: S603 - a fixed command
            command,
            capture_output=True,
            text=True,
            cwd=self._folder.path,
            env=clean_environ(),
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            raise Stop(Exit.SERVER_FAILED, f"initdb failed: {done.stderr[-600:]}")
        unfinished.unlink()
        return folder


def _give(folder: Path, identity: Identity) -> None:
    if identity.mode == "drop":
        os.chown(folder, identity.uid, identity.gid)
    elif identity.mode == "userns":
        os.chown(folder, 0, 0)


def redis_answers(path: Path) -> bool:
    """Return whether PING returns +PONG; it returns -LOADING while the append-only file loads. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")


def postgres_answers(path: Path) -> bool:
    """Return whether a startup packet returns R (Authentication); it returns E during the start. Raises OSError.

    Layout: PostgreSQL documentation, "Message Formats", StartupMessage (protocol 3.0 = 196608).
    """
    fields = b"".join(text + b"\0" for text in (b"user", USER.encode(), b"database", b"postgres")) + b"\0"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(path))
        connection.sendall(struct.pack("!ii", 8 + len(fields), 196608) + fields)
        return connection.recv(1) == b"R"
