"""Without keys, refuse requests that do not come from programs of this host.

A service on loopback asks for no keys by default, because only this host reaches it. Requests of others can still
arrive in two ways. A proxy of this host forwards them: its headers show it, or HTTP/1.0, which nginx speaks by default.
A page in a browser of this host sends them: it names its own origin, or a host name that it pointed here (DNS
rebinding). Clicks and hits come from pages anyway, so they stay open.
"""

import re
from collections.abc import Iterable

from ingest.state import Request
from shared.errors import ForeignHost, ForeignRequest
from shared.settings import is_loopback

#: A name or an address, with a port or without (RFC 9110, 7.2).
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@/ ]+)(?::[0-9]{0,5})?", re.IGNORECASE)
#: Headers of proxies, and how more of them begin.
_OF_PROXIES = frozenset({"forwarded", "via", "x-real-ip"})
_FORWARDED = "x-forwarded-"
#: What servers of ASGI call HTTP/1.0.
_OLD = frozenset({"1.0", "1"})
#: What browsers say of requests that no other page caused.
_OWN_SITES = frozenset({"none", "same-origin"})

_KEYS = "Make a key (`tallybook keys create`) and set TALLYBOOK_KEYS=required."


class OwnHost:
    """Recognise requests of this host. `allowed` are its names beside those of loopback."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)

    def check(self, request: Request) -> None:
        """Raise ForeignHost or ForeignRequest for a request that may come from elsewhere."""
        headers = request.headers
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            raise ForeignHost
        for name in headers:
            if name in _OF_PROXIES or name.startswith(_FORWARDED):
                raise ForeignRequest(f"A proxy sent the header {name}. {_KEYS}")
        if request.scope.get("http_version") in _OLD:
            raise ForeignRequest(f"Programs speak HTTP/1.1 here; HTTP/1.0 is spoken by proxies. {_KEYS}")
        for origin in headers.getlist("origin"):
            if origin.partition("://")[2].lower() != hosts[0].lower():
                raise ForeignRequest(f"A page of another origin asks. {_KEYS}")
        for site in headers.getlist("sec-fetch-site"):
            if site not in _OWN_SITES:
                raise ForeignRequest(f"Another page caused this request (Sec-Fetch-Site). {_KEYS}")

    def _is_own(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower()
        return name in self._allowed or is_loopback(name.strip("[]"))
