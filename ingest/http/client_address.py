"""Find the client's address of a request: the peer's, or the one that trusted proxies report.

Anybody can send `X-Forwarded-For`, and each proxy appends the address of its own peer at the right. So it counts
only when the peer is a trusted proxy. The walk goes from right to left over trusted hops and ends at the first address
that is not trusted. A hop that is no address ends it as well; then the peer's own address counts.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

#: Proxies in a row that are walked over; a longer chain is somebody playing.
_HOPS_MAX = 32
#: Answers that are remembered: a browser comes again, and most requests come through few proxies. Some 5 MB.
_REMEMBERED = 16_384
#: A longer chain is not remembered.
_CHAIN_MAX = 256

_Address = IPv4Address | IPv6Address


class ClientAddress:
    """Find the client's address. `networks` are those of trusted proxies in CIDR; without any, no proxy is trusted."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in networks]
        self._remembered = lru_cache(_REMEMBERED)(self._found)

    def of(self, scope: Mapping[str, Any]) -> str:
        """Return the address in canonical text; empty when the peer has none, as on a unix socket."""
        # A header that is given twice is one list (RFC 9110, 5.3).
        chain = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        return self.found(peer(scope), chain)[0]

    def is_https(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the client speaks https, to this service or to a trusted proxy that says so."""
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-proto")
        if said and self.found(peer(scope), "")[1]:
            return said.rpartition(b",")[2].strip(b" \t").lower() == b"https"
        return bool(scope["scheme"] == "https")

    def found(self, peer: str, chain: str) -> tuple[str, bool]:
        """Return the address from the peer's and the header, and whether the peer is a trusted proxy."""
        return (self._remembered if len(chain) <= _CHAIN_MAX else self._found)(peer, chain)

    def _found(self, text: str, chain: str) -> tuple[str, bool]:
        peer = _parsed(text)
        if peer is None:
            return "", False
        is_proxied = self._is_trusted(peer)
        return str(self._forwarded(peer, chain) if is_proxied else peer), is_proxied

    def _forwarded(self, peer: _Address, chain: str) -> _Address:
        for hop in reversed(chain.rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]):
            address = _parsed(hop.strip(" \t"))
            if address is None:
                return peer
            if not self._is_trusted(address):
                return address
        return peer

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def peer(scope: Mapping[str, Any]) -> str:
    """Return the peer's address; empty when it has none."""
    return str((scope.get("client") or ("",))[0])


def _parsed(text: str) -> _Address | None:
    """Return the address of `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`; None for the
    rest."""
    if text.startswith("["):
        text, closing, port = text[1:].partition("]")
        if not closing or ":" not in text or (port and not (port.startswith(":") and _is_port(port[1:]))):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    # A zone belongs to one host only, and an IPv4 address in disguise is still that address.
    return None if address.scope_id else address.ipv4_mapped or address


def _is_port(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit() and 0 < int(text) <= 65535


@lru_cache(_REMEMBERED)
def truncated(address: str) -> str:
    """Return the network of an address in canonical text: /24 of IPv4, /48 of IPv6; empty for none."""
    if not address:
        return ""
    prefix = 24 if ip_address(address).version == 4 else 48
    return str(ip_network(f"{address}/{prefix}", strict=False).network_address)
