"""The facts of a request that a hit is made of, in bytes to the end: a header may hold any byte but CR, LF and NUL."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ingest.http.client_address import peer

#: Headers that are one list when they come several times (RFC 9110, 5.3; RFC 6265, 5.4, for cookies).
_LISTS = {b"cookie": b"; "} | dict.fromkeys(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"sec-purpose", b"purpose", b"x-purpose"), b", "
)


class Asked(NamedTuple):
    """One request."""

    #: By lower-case name.
    headers: Mapping[bytes, bytes]
    #: Address of the peer: a client or a proxy. Empty when it is not known.
    peer: str
    scheme: str
    #: Address at which the request arrived.
    server: str
    path: bytes
    query: bytes


def asked(scope: Mapping[str, Any]) -> Asked:
    """Return the facts of an ASGI scope."""
    host, port = scope.get("server") or ("localhost", None)
    name = f"[{host}]" if ":" in host else host
    return Asked(
        headers=by_name(scope["headers"]),
        peer=peer(scope),
        scheme=scope["scheme"],
        server=f"{name}:{port}" if port else name,
        path=scope["raw_path"],
        query=scope["query_string"],
    )


def by_name(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name. Lists are joined; of any other header the first counts."""
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif name in _LISTS:
            found[name] += _LISTS[name] + value
    return found
