"""Who may read what is not for everybody, as long as nobody is asked who they are."""

from ipaddress import ip_address

from shared.errors import LogsClosed
from shared.settings import Settings


def check(settings: Settings) -> None:
    """Raises LogsClosed unless the service answers this host alone, or a setting opens it. Behind a proxy loopback says
    nothing about who asks."""
    if not (settings.logs_open or (is_loopback(settings.host) and not settings.trusted_proxies)):
        raise LogsClosed


def is_loopback(host: str) -> bool:
    """Whether an address that is bound can be reached from this host alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
