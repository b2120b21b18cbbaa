"""The parent of a running stack: starts servers and services in order, keeps them alive, and stops them in order."""

import asyncio
import http.client
import shlex
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec
import structlog

from shared import migrate, scrape
from shared.migrate import SchemaError
from shared.postgres import POSTGRES_ERRORS
from shared.settings import Settings, masked
from tallybook.check import examine
from tallybook.embedded import EmbeddedServers
from tallybook.exits import Exit, Stop
from tallybook.folder import DataFolder
from tallybook.services import Service, child_environ

#: Seconds between two looks at the children.
_LOOK_S = 0.1
#: Seconds until the HTTP service must answer, and that the aggregator has for its last transaction.
_READY_S, _AGGREGATOR_STOP_S = 60.0, 20.0
#: Seconds beyond the drain that Granian needs to end its workers.
_INGEST_MARGIN_S = 10.0

log = structlog.get_logger()


class Interrupted(Exception):
    """SIGTERM or SIGINT came."""


class Supervisor:
    """Runs the named services (`ingest`, `aggregator`) and what they need, until a signal comes."""

    def __init__(self, settings: Settings, services: Sequence[str]) -> None:
        self._settings = settings
        self._names = services
        self._folder = DataFolder(settings.data_dir)
        self._services: list[Service] = []
        self._is_stopping = False
        self._endpoint: scrape.Endpoint | None = None

    def run(self) -> None:
        """Start everything, announce it, and keep it alive. Raises Stop when that cannot be done."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._interrupt)
        if "ingest" in self._names:
            _check_port(self._settings.host, self._settings.port)
        self._folder.take()
        wants = self._settings.redis_url is None, self._settings.database_url is None
        servers = EmbeddedServers(self._folder, redis=wants[0], postgres=wants[1])
        try:
            servers.start()
            self._start(servers)
            while True:
                time.sleep(_LOOK_S)
                servers.revive()
                for service in self._services:
                    service.revive()
        except Interrupted:
            log.info("stack_stopping")
        finally:
            self._is_stopping = True
            self._stop(servers)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopping:  # the second Ctrl-C: whoever is asked twice does not wait
            raise SystemExit(128 + number)
        self._is_stopping = True
        raise Interrupted

    # -- start -----------------------------------------------------------------------------------------------------

    def _start(self, servers: EmbeddedServers) -> None:
        settings = self._resolved(servers)
        asyncio.run(self._prepare(settings))
        metrics_dir = self._folder.path / "metrics"
        scrape.prepare(metrics_dir)
        environ = child_environ(
            TALLYBOOK_DATA_DIR=str(self._folder.path),
            TALLYBOOK_HOST=settings.host,
            TALLYBOOK_PORT=str(settings.port),
            TALLYBOOK_WORKERS=str(settings.worker_count),
            TALLYBOOK_REDIS_URL=settings.redis_url or "",
            TALLYBOOK_DATABASE_URL=settings.database_url or "",
            TALLYBOOK_METRICS_DIR=str(metrics_dir),
        )
        for name in ("TALLYBOOK_REDIS_URL_FILE", "TALLYBOOK_DATABASE_URL_FILE"):
            environ.pop(name, None)  # read already
        for name in self._names:
            service = Service(name, environ, self._folder.path)
            service.start()
            self._services.append(service)
            if name == "ingest":
                self._wait_until_live(service)
        if settings.metrics_port:
            self._serve_metrics(metrics_dir)
        self._announce(settings, servers)

    def _resolved(self, servers: EmbeddedServers) -> Settings:
        return msgspec.structs.replace(
            self._settings,
            redis_url=self._settings.redis_url or servers.redis_url,
            database_url=self._settings.database_url or servers.database_url,
        )

    async def _prepare(self, settings: Settings) -> None:
        """Migrate, and refuse a Redis that may lose clicks. A store that is away is no reason not to start."""
        try:
            applied = await migrate.migrate(settings.database_url or "")
            if applied:
                log.info("schema_migrated", files=applied)
        except SchemaError as error:
            raise Stop(Exit.FOREIGN_DATA, str(error)) from None
        except POSTGRES_ERRORS as error:
            log.warning("postgres_away", error=type(error).__name__)
        findings, code = await examine(settings)
        if code is Exit.UNSAFE:
            reasons = "; ".join(f"{one.store}: {one.message}" for one in findings if one.level == "unsafe")
            raise Stop(code, f"{reasons}. Mend it, or set TALLYBOOK_ALLOW_UNSAFE_REDIS=true to accept the loss.")
        for finding in findings:
            if finding.level != "ok":
                log.warning("check_found", store=finding.store, reason=finding.message)

    def _wait_until_live(self, service: Service) -> None:
        deadline = time.monotonic() + _READY_S
        while not _is_live(self._settings.host, self._settings.port):
            service.revive()
            if time.monotonic() > deadline:
                raise Stop(Exit.CHILD_FAILED, f"The HTTP service did not answer in {_READY_S:.0f} s.")
            time.sleep(0.05)

    def _serve_metrics(self, metrics_dir: Path) -> None:
        host, port = self._settings.metrics_host, self._settings.metrics_port
        try:
            self._endpoint = scrape.serve(host, port, metrics_dir, self._folder.path / "lanes")
        except OSError as error:
            raise Stop(
                Exit.PORT_BUSY,
                f"The metrics port {host}:{port} cannot be bound ({error.strerror}): set TALLYBOOK_METRICS_PORT to "
                "another, or to 0.",
            ) from None

    def _announce(self, settings: Settings, servers: EmbeddedServers) -> None:
        self._folder.write(
            "stack.json",
            {
                "redis_url": settings.redis_url,
                "database_url": settings.database_url,
                "url": f"http://{_shown(settings.host)}:{settings.port}",
                "services": {service.module: service.pid for service in self._services},
                "servers": {name: process.pid for name, process in servers.processes.items()},
            },
        )
        if "ingest" in self._names:
            address = f"http://{_shown(settings.host)}:{settings.port}"
            print(f"tallybook is ready on {address}  -  try: curl -i -X POST {address}/stats/42", flush=True)
        else:
            print(f"tallybook runs: {', '.join(self._names)}", flush=True)
        log.info("stack_ready", redis=masked(settings.redis_url), database=masked(settings.database_url))

    # -- stop ------------------------------------------------------------------------------------------------------

    def _stop(self, servers: EmbeddedServers) -> None:
        """Those that accept first, then those that move, then those that keep."""
        patience = {"ingest": self._settings.drain_timeout_s + _INGEST_MARGIN_S, "aggregator": _AGGREGATOR_STOP_S}
        for service in self._services:
            service.stop(patience[service.module])
        servers.stop()
        if self._endpoint is not None:
            self._endpoint.close()
        with suppress(OSError):
            (self._folder.path / "stack.json").unlink(missing_ok=True)
        self._folder.release()
        log.info("stack_stopped")


def _check_port(host: str, port: int) -> None:
    """Raises Stop when somebody listens there. Workers of a run that was killed may take a moment to go."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for attempt in range(20):
            try:
                probe.bind((host, port))
            except OSError as error:
                reason = error.strerror
                time.sleep(0.05 if attempt < 19 else 0)
            else:
                return
    raise Stop(
        Exit.PORT_BUSY, f"{host}:{port} cannot be bound ({reason}): stop what listens there, or set TALLYBOOK_PORT."
    )


def _is_live(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(_reached(host), port, timeout=2)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reached(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to connect, not to bind


def _shown(host: str) -> str:
    host = _reached(host)
    return f"[{host}]" if ":" in host else host


def exports(folder: DataFolder) -> list[str]:
    """Shell lines that point clients at the stack that runs on the folder. Raises Stop when none does."""
    stack = folder.read("stack.json") if folder.is_taken() else {}
    if not stack:
        raise Stop(Exit.NOT_RUNNING, f"No stack runs on {folder.path}: start one with `make up` or `tallybook up`.")
    values = {
        "TALLY_URL": stack["url"],
        "TALLYBOOK_REDIS_URL": stack["redis_url"],
        "TALLYBOOK_DATABASE_URL": stack["database_url"],
    }
    return [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
