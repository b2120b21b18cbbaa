"""Resolve the addresses that the stack binds, and check them before anything starts."""

import errno
import socket
import time
from pathlib import Path

from shared.settings import SettingsError
from tallybook.exits import Exit, Stop

#: Seconds that the workers of a killed run need to release the port.
_PORT_S = 1.0
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to compare


def numeric(variable: str, host: str) -> str:
    """Return the numeric address of a name or an address, IPv4 before IPv6. Raises SettingsError."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SettingsError(
            f"{variable}={host} is no address and no name that this machine knows: write an address of this machine, "
            "such as 127.0.0.1 or ::1"
        ) from None
    addresses = [str(address[0]) for *_, address in sorted(found, key=lambda one: one[0] != socket.AF_INET)]
    return addresses[0]


def lowest_free_port() -> int:
    """Return the lowest port that every user may bind (ip-sysctl.rst, ip_unprivileged_port_start)."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def check_different(host: str, port: int, metrics_host: str, metrics_port: int) -> None:
    """Raise SettingsError if the service and the metrics want the same port of the same address."""
    if port == metrics_port and (host == metrics_host or _EVERYWHERE & {host, metrics_host}):
        raise SettingsError(f"TALLYBOOK_METRICS_PORT={port} is TALLYBOOK_PORT, too: set one of them to another")


def check_free(variable: str, host: str, port: int, remedy: str) -> None:
    """Bind the address once. Raises SettingsError if this process may not, Stop if somebody listens there.

    It waits a moment for the workers of a killed run."""
    deadline = time.monotonic() + _PORT_S
    while True:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL):
                raise SettingsError(
                    f"{variable}={host} is no address of this machine: write one that is, or 0.0.0.0 for all of them"
                ) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise SettingsError(f"port {port} needs rights that this user does not have: set {remedy}") from None
            reason = error.strerror or str(error)
        else:
            return
        if time.monotonic() > deadline:
            raise Stop(
                Exit.PORT_BUSY, f"{host}:{port} cannot be bound ({reason}): stop what listens there, or set {remedy}."
            )
        time.sleep(0.05)
