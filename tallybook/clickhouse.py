"""The embedded ClickHouse as a child: `python -m clickhouse`, found by an address with a password of this start."""

import importlib.metadata
import importlib.util
import os
import re
import secrets
import socket
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from clickhouse.cold import folder_of, is_wanted
from shared.settings import PREFIX, Settings
from tallybook.exits import Exit, Stop

_USER = "tallybook"
#: Ports to look through. They lie below those that the kernel gives to clients (32768 and up, ip_local_port_range): a
#: client that waits for the gateway could otherwise be connected to itself, and keep the port.
_FIRST_PORT, _PORTS = 18_200, 1_000
#: The parent of the packages, which need not be installed.
_ROOT = Path(__file__).parent.parent
#: Variables that the child gets from ours, beside its own.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "TALLYBOOK_LOG_LEVEL", "TALLYBOOK_LOG_FORMAT")


class ClickHouseChild:
    """What is fixed for one run of the stack, so that a gateway that is started again is found where it was."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._password = secrets.token_urlsafe(32)
        self.port = _free_port(folder)

    @property
    def url(self) -> str:
        """Where clients find it, with the password."""
        return f"http://{_USER}:{self._password}@127.0.0.1:{self.port}"

    @property
    def command(self) -> Sequence[str]:
        """-P: the folder that it works in has one that is called `clickhouse`, too."""
        return (sys.executable, "-P", "-m", "clickhouse")

    @property
    def environ(self) -> Mapping[str, str]:
        """Its whole environment. The password is in it, and not among the arguments, which every user can see."""
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        return {
            **kept,
            "HOME": str(self._folder),
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TALLYBOOK_DATA_DIR": str(self._folder),
            "TALLYBOOK_CLICKHOUSE_URL": self.url,
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
        ours = [self._folder / "clickhouse", Path(sys.executable), Path(sys.prefix, "lib"), _ROOT / "clickhouse"]
        return [*ours, self.cold_folder] if self.cold_folder else ours

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


def _free_port(folder: Path) -> int:
    """The same one for a folder at each start, if it is free: only a hint, for the gateway is the one that binds it."""
    begin = zlib.crc32(os.fsencode(folder.absolute()))
    for step in range(_PORTS):
        port = _FIRST_PORT + (begin + step) % _PORTS
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Stop(Exit.PORT_BUSY, f"No port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} of 127.0.0.1 is free.")
