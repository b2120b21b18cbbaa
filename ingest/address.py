"""The full address of a request, as its client wrote it.

Behind a proxy the scheme and the host that the client used are known to the proxy alone. Like `X-Forwarded-For`, what
it says counts only when the peer is a trusted one; of a list the last item does, which this proxy wrote.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote_from_bytes

from starlette.datastructures import Headers

from ingest.client import ClientAddress

#: A host name or an address, with a port or without (RFC 3986, 3.2.2).
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SCHEMES = frozenset({"http", "https"})
#: Bytes of a query that stand in an address as they are.
_AS_IS = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN = re.compile(rb"[\x21-\x7e]*")


def url(scope: Mapping[str, Any], client: ClientAddress) -> str:
    """The address of the request: scheme, host, path and query."""
    headers = Headers(scope=scope)  # type: ignore[arg-type]
    scheme, host = "", ""
    if client.is_proxied(scope):
        scheme = last(",".join(headers.getlist("x-forwarded-proto")))
        host = last(",".join(headers.getlist("x-forwarded-host")))
    name, port = scope.get("server") or ("localhost", None)
    server = f"[{name}]" if ":" in name else name
    start = base(scope["scheme"], scheme, host or headers.get("host", ""), f"{server}:{port}" if port else server)
    path: bytes = scope["raw_path"]
    return start + path.decode("ascii") + query_text(scope["query_string"])


def last(values: str) -> str:
    """The last item of a list with commas."""
    return values.rpartition(",")[2].strip(" \t")


@lru_cache(1024)
def base(scheme: str, forwarded: str, host: str, server: str) -> str:
    """Scheme and host: of what a proxy forwarded and of what the request has, what can be used. `server` is where it
    arrived, for clients that name no host."""
    forwarded = forwarded.lower()
    return f"{forwarded if forwarded in _SCHEMES else scheme}://{host if _HOST.fullmatch(host) else server}"


def query_text(query: bytes) -> str:
    """The query with its question mark, as it stands in an address; empty for none."""
    if not query:
        return ""
    return "?" + (query.decode() if _PLAIN.fullmatch(query) else quote_from_bytes(query, _AS_IS))
