"""Serve the engine of one folder through Granian.

Granian runs inside this process (`granian.server.embed`), not in a worker of its own: the engine belongs to one
process, and whoever ends this one has ended the engine.
"""

import asyncio
import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import structlog
from granian._granian import SocketHolder
from granian.server.embed import Server as GranianServer

from gateway.app import Gateway, create_app
from gateway.cold import ColdError, prepare
from gateway.deduplication import RepairError, repair
from gateway.engine import Engine
from gateway.failure import Failure
from shared.runtime.granian_options import embedded
from shared.settings import Settings, SettingsError

#: Milliseconds for which a connection may wait for its next request; clients give theirs up after less.
_IDLE_MS = 60_000
#: Connections at the same time. What a request holds is bounded elsewhere.
_CONNECTIONS = 256
#: Bytes of a request's line and headers: parameters travel in the URL.
_HEADERS_MAX = 256 << 10
#: Seconds in which a stop must have ended, whatever the engine does: what was not acknowledged is sent again.
_STOP_S = 10
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

log = structlog.get_logger()


#: Variable with the descriptor of a socket that listens already; the parent holds its port for the whole run.
_DESCRIPTOR = "TALLYBOOK_CLICKHOUSE_FD"


class Server(GranianServer):
    """Granian, on the socket that the parent passed on, if any."""

    _shd: Any

    def _init_shared_socket(self) -> None:
        granian: Any = super()
        holder: Any = SocketHolder
        if _DESCRIPTOR in os.environ:
            self._shd = holder(int(os.environ[_DESCRIPTOR]), False, self.backlog)
        else:
            granian._init_shared_socket()


class Address(NamedTuple):
    """Hold where the gateway listens, and the user and password of its clients."""

    host: str
    port: int
    user: str
    password: str


def address(settings: Settings) -> Address:
    """Return the address of TALLYBOOK_CLICKHOUSE_URL, where clients look. Raises SettingsError."""
    parts = urlsplit(settings.clickhouse_url or "")
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or not parts.port:
        raise SettingsError("TALLYBOOK_CLICKHOUSE_URL has to be http://user:password@127.0.0.1:port for the gateway")
    if not parts.username or not parts.password:
        raise SettingsError("TALLYBOOK_CLICKHOUSE_URL has no user and password, and the gateway needs both")
    return Address(parts.hostname, parts.port, unquote(parts.username), unquote(parts.password))


def run(settings: Settings) -> None:
    """Serve until SIGTERM. Exits with a sentence when the folder cannot be opened."""
    listen = address(settings)
    folder = Path(settings.data_dir).absolute() / "clickhouse"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        cold = prepare(settings, folder.parent)
        engine = Engine(folder, settings.clickhouse_memory_bytes, cold.configuration)
        forgotten = repair(folder, *cold.roots)
        engine.open()
        _die_of_crashes()
    except (ValueError, ColdError, RepairError, Failure, OSError) as error:
        sys.exit(f"error: {error}")
    if forgotten:
        log.warning("block_ids_forgotten", ids=forgotten)
    gateway = Gateway(engine, listen.user, listen.password)
    asyncio.run(_serve(_server(gateway, listen)))
    gateway.close()
    engine.close()


def _die_of_crashes() -> None:
    """End the process by the signal of a crash. The handlers of the engine would keep it, and it would answer nothing;
    the supervisor starts another one."""
    for number in (signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.enable()  # which Python called the engine, into clickhouse.log


def _server(gateway: Gateway, listen: Address) -> Any:
    options = embedded(idle_ms=_IDLE_MS, headers_max=_HEADERS_MAX, connections=_CONNECTIONS)
    return Server(create_app(gateway), address=listen.host, port=listen.port, **options)


async def _serve(server: Any) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        signal.alarm(_STOP_S)  # SIGALRM ends the process if the rest does not
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve()
