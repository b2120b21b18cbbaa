"""Describe the embedded ClickHouse as a child: `python -m gateway`, with an address and a password of this start."""

import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import socket
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.cold import folder_of, is_wanted
from shared.settings import NAMES, Settings, variable
from tallybook.exits import Exit, Stop
from tallybook.stack.binaries import numbers
from tallybook.stack.launcher import clean_environ

_USER = "tallybook"
#: Ports to try. They lie below those of clients (32768 and up, ip_local_port_range): among those, a client that waits
#: for the gateway could connect to itself and keep the port.
_FIRST_PORT, _PORTS = 18_200, 1_000
#: The folder of the packages, which need not be installed.
_ROOT = Path(__file__).parent.parent.parent
#: Variables of this process that the child gets, too.
_PASSED_ON = ("TALLYBOOK_LOG_LEVEL", "TALLYBOOK_LOG_FORMAT")
#: Seconds that a killed gateway needs to release the port.
_PORT_S = 1.0
#: Connections that may wait for the gateway.
_BACKLOG = 256


class ClickHouseChild:
    """The address and environment of every gateway of one run.

    The socket stays bound for the whole run, and each gateway inherits it. So no other user of the machine can take the
    port and receive the password.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._password = secrets.token_urlsafe(32)
        self.socket = _bound_socket(folder)
        self.port: int = self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """Return the URL for clients, with the password."""
        return f"http://{_USER}:{self._password}@127.0.0.1:{self.port}"

    @property
    def command(self) -> Sequence[str]:
        """Return the command; `-P` keeps the data folder off its path."""
        return (sys.executable, "-P", "-m", "gateway")

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the whole environment. It holds the password, because every user can see arguments."""
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        return {
            **clean_environ(),
            **kept,
            "HOME": str(self._folder),
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TALLYBOOK_DATA_DIR": str(self._folder),
            "TALLYBOOK_CLICKHOUSE_URL": self.url,
            "TALLYBOOK_CLICKHOUSE_FD": str(self.socket.fileno()),
            "TALLYBOOK_CLICKHOUSE_MEMORY_BYTES": str(self._settings.clickhouse_memory_bytes),
            **{
                variable(name): str(value)
                for name in NAMES
                if name.startswith("events_cold_") and (value := getattr(self._settings, name)) is not None
            },
            **({"TALLYBOOK_EVENTS_COLD_DIR": str(self.cold_folder)} if self.cold_folder else {}),
        }

    @property
    def cold_folder(self) -> Path | None:
        """Return the folder of cold events, or None if there are none and none will come."""
        return folder_of(self._settings, self._folder) if is_wanted(self._settings, self._folder) else None

    def reached(self) -> list[Path]:
        """Return the paths that the gateway's user has to reach."""
        ours = [self._folder / "clickhouse", Path(sys.executable), Path(sys.prefix, "lib"), _ROOT / "gateway"]
        return [*ours, self.cold_folder] if self.cold_folder else ours

    def open(self) -> None:
        """Let clients wait for the starting gateway."""
        self.socket.listen(_BACKLOG)

    def refuse(self) -> None:
        """Refuse clients while no gateway runs. The port stays taken."""
        with contextlib.suppress(OSError):  # macOS has no such thing
            self.socket.shutdown(socket.SHUT_RDWR)

    def answers(self) -> bool:
        """Return whether it answers /ping, which it does once the engine is open. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")


def is_installed() -> bool:
    """Return whether the engine is installed, by the extra `embedded`."""
    return importlib.util.find_spec("chdb") is not None


def build(wrote: str | None, folder: Path) -> str:
    """Return the engine's version for the note in the data folder. Raises Stop if none is installed, or if a newer one
    `wrote` the files."""
    if not is_installed():
        message = "There is no ClickHouse to start: pip install chdb, or set TALLYBOOK_CLICKHOUSE_URL."
        raise Stop(Exit.SERVER_MISSING, message)
    version = importlib.metadata.version("chdb-core")
    if wrote is not None and numbers(wrote) > numbers(version):
        raise Stop(
            Exit.FOREIGN_DATA,
            f"{folder} was written by chdb-core {wrote}, but {version} is installed: install that one.",
        )
    return version


def _bound_socket(folder: Path) -> socket.socket:
    """Return a listening socket on loopback. A folder gets the same port at each start, if it is free."""
    begin = zlib.crc32(os.fsencode(folder.absolute()))
    patient_until = time.monotonic() + _PORT_S
    step = 0
    while step < _PORTS:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier run may linger
        try:
            one.bind(("127.0.0.1", _FIRST_PORT + (begin + step) % _PORTS))
            one.listen(_BACKLOG)
        except OSError:
            one.close()
            if step or time.monotonic() > patient_until:
                step += 1
            else:
                time.sleep(0.02)
            continue
        # From now on nobody shares the port, even while this socket does not listen.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return one
    raise Stop(Exit.PORT_BUSY, f"No port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} of 127.0.0.1 is free.")
