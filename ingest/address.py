"""The full address of a request, as its client wrote it.

Behind a proxy the scheme and the host that the client used are known to the proxy alone. Like `X-Forwarded-For`, what
it says counts only when the peer is a trusted one; of a list the last item does, which this proxy wrote.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_from_bytes

from starlette.datastructures import Headers

from ingest.client import ClientAddress

#: A host name or an address, with a port or without (RFC 3986, 3.2.2).
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_SCHEMES = frozenset({"http", "https"})
#: Bytes of a query that stand in an address as they are.
_AS_IS = "".join(map(chr, range(0x21, 0x7F)))


def url(scope: Mapping[str, Any], client: ClientAddress) -> str:
    """The address of the request: scheme, host, path and query."""
    headers = Headers(scope=scope)  # type: ignore[arg-type]
    scheme, host = scope["scheme"], headers.get("host", "")
    if client.is_proxied(scope):
        scheme = _last(headers, "x-forwarded-proto").lower() or scheme
        host = _last(headers, "x-forwarded-host") or host
    if scheme not in _SCHEMES:
        scheme = scope["scheme"]
    if not _HOST.fullmatch(host):
        host = _own(scope)
    query = quote_from_bytes(scope["query_string"], _AS_IS)
    return f"{scheme}://{host}{scope['raw_path'].decode('ascii')}{'?' if query else ''}{query}"


def _last(headers: Headers, name: str) -> str:
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip(" \t")


def _own(scope: Mapping[str, Any]) -> str:
    """Where the request arrived, for clients that name no host."""
    host, port = scope.get("server") or ("localhost", None)
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" if port else name
