"""Supervise a stack: start servers and services in order, keep them alive, and stop them in order."""

import http.client
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from shared.counting.fleet import Fleet
from shared.errors import SchemaError
from shared.migrations import migrate_clickhouse, migrate_postgres
from shared.settings import Settings, SettingsError, masked
from shared.stores.clickhouse_errors import CLICKHOUSE_ERRORS
from shared.stores.durability import Finding
from shared.stores.postgres import POSTGRES_ERRORS
from tallybook.exits import Exit, Stop
from tallybook.interrupt import Interrupt, Interrupted
from tallybook.metrics import endpoint
from tallybook.stack import clickhouse
from tallybook.stack.addresses import check_different, check_free, lowest_free_port, numeric
from tallybook.stack.check import examine, verdict
from tallybook.stack.data_folder import DataFolder
from tallybook.stack.embedded import EmbeddedServers
from tallybook.stack.launcher import SAME, Identity
from tallybook.stack.running_stack import NOTE, http_address, reachable
from tallybook.stack.services import PROGRAM, Service, child_environ, give

#: Seconds between two checks of the children.
_LOOK_S = 0.1
#: Seconds until a service must have started, and that the aggregator gets for its last transaction.
_READY_S, _AGGREGATOR_STOP_S = 60.0, 20.0
#: Seconds, beside the drain, that Granian needs to end its workers.
_INGEST_MARGIN_S = 10.0

log = structlog.get_logger()


class Supervisor:
    """Runs the named services (`ingest`, `aggregator`) and what they need, until a signal comes."""

    def __init__(self, settings: Settings, services: Sequence[str]) -> None:
        settings = msgspec.structs.replace(
            settings,
            host=numeric("TALLYBOOK_HOST", settings.host),
            metrics_host=numeric("TALLYBOOK_METRICS_HOST", settings.metrics_host),
        )
        self._settings = settings
        self._names = services
        # Several processes may share lanes and journals, but not servers.
        has_servers = None in (settings.redis_url, settings.database_url) or (
            settings.clickhouse_url is None and clickhouse.is_installed()
        )
        self._folder = DataFolder(settings.data_dir, is_shared=not has_servers)
        self._interrupt = Interrupt()
        self._services: list[Service] = []
        self._endpoint: endpoint.Endpoint | None = None
        self._noted: dict[str, Any] = {}
        self._servers = EmbeddedServers(
            self._folder,
            redis=settings.redis_url is None,
            postgres=settings.database_url is None,
            clickhouse=settings.clickhouse_url is None and clickhouse.is_installed(),
            settings=settings,
        )

    def run(self) -> None:
        """Start everything, announce it, and keep it alive. Raises Stop if that fails."""
        self._interrupt.install()
        try:
            self._folder.take(self._interrupt.check)
            os.umask(0o077)  # lanes and journals are for this user alone
            self._check_ports()
            self._check_lanes()
            self._servers.start(self._interrupt.check)
            self._start()
            while True:
                self._interrupt.sleep(_LOOK_S)
                self._servers.revive()
                for service in self._services:
                    service.revive()
                self._note()
        except Interrupted:
            log.info("stack_stopping")
        finally:
            self._stop()

    # -- start -----------------------------------------------------------------------------------------------------

    def _check_ports(self) -> None:
        """Check the ports before anything starts. Raises Stop or SettingsError."""
        settings = self._settings
        if settings.metrics_port and "ingest" in self._names:
            check_different(settings.host, settings.port, settings.metrics_host, settings.metrics_port)
        if "ingest" in self._names:
            check_free("TALLYBOOK_HOST", settings.host, settings.port, "TALLYBOOK_PORT to another (--port)")
        if settings.metrics_port:
            remedy = "TALLYBOOK_METRICS_PORT to another, or to 0"
            check_free("TALLYBOOK_METRICS_HOST", settings.metrics_host, settings.metrics_port, remedy)

    def _check_lanes(self) -> None:
        """Raise Stop if lanes need more shards than are set."""
        try:
            Fleet(self._folder.common / "lanes").check_shards(self._settings.shards)
        except SettingsError as error:
            raise Stop(Exit.SETTINGS, str(error)) from None

    def _start(self) -> None:
        settings = msgspec.structs.replace(
            self._settings,
            data_dir=str(self._folder.path),
            redis_url=self._settings.redis_url or self._servers.redis_url,
            database_url=self._settings.database_url or self._servers.database_url,
            clickhouse_url=self._settings.clickhouse_url or self._servers.clickhouse_url,
        )
        self._interrupt.run(_prepare(settings, self._servers.names, accepts="ingest" in self._names))
        self._noted = {
            "redis_url": settings.redis_url,
            "database_url": settings.database_url,
            "clickhouse_url": settings.clickhouse_url,
            "url": http_address(settings.host, settings.port),
        }
        metrics_dir = self._folder.path / "metrics"
        endpoint.prepare(metrics_dir)
        if settings.metrics_port:
            self._endpoint = endpoint.Endpoint(
                settings.metrics_host, settings.metrics_port, metrics_dir, self._folder.common / "lanes"
            )
        identity = self._identity(settings)
        environ = self._environ(settings, identity, metrics_dir)
        give(identity, settings.lanes_dir, settings.journal_dir, settings.front_dir, metrics_dir)
        for name in self._names:
            service = Service(name, environ, identity)
            self._services.append(service)
            service.start()
            self._note()  # before it is ready: other commands find the stack by it
            self._wait_until_started(service, metrics_dir)
        self._announce(settings)

    def _environ(self, settings: Settings, identity: Identity, metrics_dir: Path) -> dict[str, str]:
        return child_environ(
            settings,
            identity,
            TALLYBOOK_DATA_DIR=str(self._folder.common),
            TALLYBOOK_HOST=settings.host,
            TALLYBOOK_PORT=str(settings.port),
            TALLYBOOK_WORKERS=str(settings.worker_count),
            TALLYBOOK_REDIS_URL=settings.redis_url or "",
            TALLYBOOK_DATABASE_URL=settings.database_url or "",
            TALLYBOOK_CLICKHOUSE_URL=settings.clickhouse_url or "",
            TALLYBOOK_METRICS_DIR=str(metrics_dir),
        )

    def _identity(self, settings: Settings) -> Identity:
        """Return who runs the services. A privileged port needs root."""
        if settings.port < lowest_free_port():
            return SAME
        return self._servers.identity_for((*PROGRAM, settings.lanes_dir))

    def _wait_until_started(self, service: Service, metrics_dir: Path) -> None:
        """Wait for a service. Raises Stop after 60 s.

        The HTTP service has started when it answers. The aggregator has started when it holds its slot of metrics,
        after its imports and the check of its settings."""
        deadline = time.monotonic() + _READY_S
        while True:
            if service.module == "ingest":
                is_started = service.is_alive() and _is_live(self._settings.host, self._settings.port)
            else:
                is_started = service.is_alive() and (metrics_dir / f"{service.module}-0.lock").exists()
            if is_started:
                return
            service.revive()
            if time.monotonic() > deadline:
                raise Stop(Exit.CHILD_FAILED, f"`python -m {service.module}` did not start in {_READY_S:.0f} s.")
            self._interrupt.sleep(0.05)

    def _announce(self, settings: Settings) -> None:
        address = self._noted["url"]
        if settings.log_format == "json":
            pass  # `stack_ready` below is for machines
        elif "ingest" in self._names:
            try_it = f"try: curl -i -X POST {address}/stats/42"
            seen_in = f"  -  open {address}/ in a browser" if settings.dashboard == "on" else ""
            print(f"tallybook is ready on {address}{seen_in}  -  {try_it}", flush=True)
        else:
            print(f"tallybook runs: {', '.join(self._names)}", flush=True)
        log.info(
            "stack_ready",
            services=self._names,
            address=address if "ingest" in self._names else None,
            redis=masked(settings.redis_url),
            database=masked(settings.database_url),
            clickhouse=masked(settings.clickhouse_url),
        )

    def _note(self) -> None:
        """Write the addresses and pids into the note, if they have changed."""
        pids = {service.module: service.pid for service in self._services}
        pids.update({name: process.pid for name, process in self._servers.processes.items()})
        if self._noted.get("pids") != pids:
            self._noted["pids"] = pids
            self._folder.write(NOTE, self._noted)

    # -- stop ------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Stop the HTTP service, then the aggregator, then the servers."""
        patience = {"ingest": self._settings.drain_timeout_s + _INGEST_MARGIN_S, "aggregator": _AGGREGATOR_STOP_S}
        for service in self._services:
            service.stop(patience.get(service.module, _AGGREGATOR_STOP_S))
        self._servers.stop()
        if self._endpoint is not None:
            self._endpoint.close()
        if self._folder.is_ours:
            self._folder.remove(NOTE)
            self._folder.release()
        if self._services:
            log.info("stack_stopped")


async def _prepare(settings: Settings, embedded: Sequence[str], *, accepts: bool) -> None:
    """Migrate, and refuse a store that may lose clicks. Raises Stop.

    A store that is away does not prevent a start, unless it is embedded: that one has just answered."""
    try:
        applied = await migrate_postgres.migrate(settings.database_url or "")
        if applied:
            log.info("schema_migrated", files=applied)
    except SchemaError as error:
        raise Stop(Exit.FOREIGN_DATA, f"{error}: run the version that made it, or a newer one.") from None
    except POSTGRES_ERRORS as error:
        log.warning("postgres_away", error=type(error).__name__)
    if settings.clickhouse_url is not None:
        await _prepare_clickhouse(settings)
    findings = await examine(settings, accepts=accepts)
    code = verdict(findings, allow_unsafe=settings.allow_unsafe_redis)
    if code is Exit.UNSAFE:
        remedy = "Mend it, or set TALLYBOOK_ALLOW_UNSAFE_REDIS=true to accept the loss"
        raise Stop(code, f"{_reasons(findings, 'unsafe')}. {remedy}.")
    if code is Exit.FOREIGN_DATA:
        raise Stop(code, f"{_reasons(findings, 'unfit')}.")
    for finding in findings:
        if finding.level == "unreachable" and finding.store in embedded:
            raise Stop(Exit.SERVER_FAILED, f"The embedded {finding.store} runs, but {finding.message}.")
        if finding.level != "ok":
            log.warning("check_found", store=finding.store, reason=finding.message)


async def _prepare_clickhouse(settings: Settings) -> None:
    try:
        applied = await migrate_clickhouse.migrate(settings)
        if applied:
            log.info("schema_migrated", files=applied)
    except SchemaError as error:
        raise Stop(Exit.FOREIGN_DATA, f"ClickHouse: {error}.") from None
    except CLICKHOUSE_ERRORS as error:
        log.warning("clickhouse_away", error=type(error).__name__, code=getattr(error, "code", None))


def _reasons(findings: Sequence[Finding], level: str) -> str:
    return "; ".join(f"{one.store}: {one.message}" for one in findings if one.level == level)


def _is_live(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(reachable(host), port, timeout=2)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
