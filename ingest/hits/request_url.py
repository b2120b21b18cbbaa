"""Rebuild the full address of a request, as its client wrote it.

Only the proxy knows the scheme and the host that its client used. As with `X-Forwarded-For`, they count only when
the peer is a trusted proxy. The last item of a list counts, which this proxy wrote.
"""

import re
from functools import lru_cache
from urllib.parse import quote_from_bytes

from ingest.hits.request_facts import Asked

#: A host name or an address, with a port or without (RFC 3986, 3.2.2).
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SCHEMES = frozenset({"http", "https"})
#: Bytes of a query that stand in an address as they are.
_AS_IS = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN = re.compile(rb"[\x21-\x7e]*")


def url(asked: Asked, *, is_proxied: bool) -> str:
    """Return the address of the request: scheme, host, path and query. `is_proxied`: its peer is a trusted proxy."""
    given = asked.headers.get
    scheme, host = b"", b""
    if is_proxied:
        scheme, host = last(given(b"x-forwarded-proto", b"")), last(given(b"x-forwarded-host", b""))
    start = base(asked.scheme, scheme, host or given(b"host", b""), asked.server)
    return start + asked.path.decode("ascii") + query_text(asked.query)


def last(values: bytes) -> bytes:
    """Return the last item of a list with commas."""
    return values.rpartition(b",")[2].strip(b" \t")


@lru_cache(1024)
def base(scheme: str, forwarded: bytes, host: bytes, server: str) -> str:
    """Return scheme and host, from what a proxy forwarded or else from the request.

    `server` is the address at which the request arrived, for clients that name no host.
    """
    said, name = forwarded.decode("latin-1").lower(), host.decode("latin-1")
    return f"{said if said in _SCHEMES else scheme}://{name if _HOST.fullmatch(name) else server}"


def query_text(query: bytes) -> str:
    """Return the query with its question mark; empty for none."""
    if not query:
        return ""
    return "?" + (query.decode() if _PLAIN.fullmatch(query) else quote_from_bytes(query, _AS_IS))
