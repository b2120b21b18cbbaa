"""The full address of a request, as its client wrote it.

Behind a proxy the scheme and the host that the client used are known to the proxy alone. Like `X-Forwarded-For`, what
it says counts only when the peer is a trusted one; of a list the last item does, which this proxy wrote.
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
    """The last item of a list with commas."""
    return values.rpartition(b",")[2].strip(b" \t")


@lru_cache(1024)
def base(scheme: str, forwarded: bytes, host: bytes, server: str) -> str:
    """Scheme and host: of what a proxy forwarded and of what the request has, what can be used. `server` is where it
    arrived, for clients that name no host."""
    said, name = forwarded.decode("latin-1").lower(), host.decode("latin-1")
    return f"{said if said in _SCHEMES else scheme}://{name if _HOST.fullmatch(name) else server}"


def query_text(query: bytes) -> str:
    """The query with its question mark, as it stands in an address; empty for none."""
    if not query:
        return ""
    return "?" + (query.decode() if _PLAIN.fullmatch(query) else quote_from_bytes(query, _AS_IS))
