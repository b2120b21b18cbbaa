"""The embedded ClickHouse as a child: `python -m gateway`, found by an address with a password of this start."""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import socket
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.cold import folder_of, is_wanted
from shared.settings import PREFIX, Settings
from tallybook.exits import Exit, Stop
from tallybook.stack.launcher import clean_environ

_USER = "tallybook"
#: Ports to look through. They lie below those that the kernel gives to clients (32768 and up, ip_local_port_range): a
#: client that waits for the gateway could otherwise be connected to itself, and keep the port.
_FIRST_PORT, _PORTS = 18_200, 1_000
#: The parent of the packages, which need not be installed.
_ROOT = Path(__file__).parent.parent.parent
#: Variables that the child gets from ours, beside its own.
_PASSED_ON = ("TALLYBOOK_LOG_LEVEL", "TALLYBOOK_LOG_FORMAT")
#: Seconds in which a gateway that was killed with its owner gives up the port.
_PORT_S = 1.0
#: Connections that wait for the gateway.
_BACKLOG = 256


class ClickHouseChild:
    """What is fixed for one run of the stack, so that a gateway that is started again is found where it was.

    The socket is bound here, for the whole run, and handed to each gateway: no other user of the machine can take the
    port and be told the password.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._password = secrets.token_urlsafe(32)
        self.socket = _bound_socket(folder)
        self.port: int = self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """Where clients find it, with the password."""
        return f"http://{_USER}:{self._password}@127.0.0.1:{self.port}"

    @property
    def command(self) -> Sequence[str]:
        """-P: the folder that it works in has one that is called `clickhouse`, too."""
        return (sys.executable, "-P", "-m", "gateway")

    @property
    def environ(self) -> Mapping[str, str]:
        """Its whole environment. The password is in it, and not among the arguments, which every user can see."""
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
            "TALLYBOOK_CLICKHOUSE_THREADS": str(self._settings.clickhouse_threads),
            **{
                f"{PREFIX}{name.upper()}": str(value)
                for name in self._settings.__struct_fields__
                if name.startswith("events_cold_") and (value := getattr(self._settings, name)) is not None
            },
            **({"TALLYBOOK_EVENTS_COLD_DIR": str(self.cold_folder)} if self.cold_folder else {}),
        }

    @property
    def cold_folder(self) -> Path | None:
        """Where cold events are; None when there are none, nor will be."""
        return folder_of(self._settings, self._folder) if is_wanted(self._settings, self._folder) else None

    def reached(self) -> list[Path]:
        """Paths that the user who runs it must be able to enter."""
        ours = [self._folder / "clickhouse", Path(sys.executable), Path(sys.prefix, "lib"), _ROOT / "gateway"]
        return [*ours, self.cold_folder] if self.cold_folder else ours

    def open(self) -> None:
        """Let clients wait for the gateway that is about to start."""
        self.socket.listen(_BACKLOG)

    def refuse(self) -> None:
        """Refuse clients while there is no gateway, so that they need not wait for one. The port stays taken."""
        with contextlib.suppress(OSError):  # macOS has no such thing
            self.socket.shutdown(socket.SHUT_RDWR)

    def answers(self) -> bool:
        """True once it answers /ping. It listens only when the engine is open. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")


def is_installed() -> bool:
    """Whether the engine is there. It comes with the extra `embedded`."""
    return importlib.util.find_spec("chdb") is not None


def build(wrote: str | None, folder: Path) -> str:
    """The version of the engine, for the note in the data folder. Raises Stop when there is none, or when a newer one
    `wrote` the files."""
    if not is_installed():
        message = "There is no ClickHouse to start: pip install chdb, or set TALLYBOOK_CLICKHOUSE_URL."
        raise Stop(Exit.SERVER_MISSING, message)
    version = importlib.metadata.version("chdb-core")
    if wrote is not None and _numbers(wrote) > _numbers(version):
        raise Stop(
            Exit.FOREIGN_DATA,
            f"{folder} was written by chdb-core {wrote}, but {version} is installed: install that one.",
        )
    return version


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _bound_socket(folder: Path) -> socket.socket:
    """A socket that listens on loopback, on the same port for a folder at each start, if it is free."""
    begin = zlib.crc32(os.fsencode(folder.absolute()))
    patient_until = time.monotonic() + _PORT_S
    step = 0
    while step < _PORTS:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a former run may linger
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
        # From now on nobody shares the port, also while this one does not listen.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return one
    raise Stop(Exit.PORT_BUSY, f"No port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} of 127.0.0.1 is free.")
