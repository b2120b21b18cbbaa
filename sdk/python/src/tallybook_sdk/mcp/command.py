"""The command `tallybook-mcp`, which is also `tallybook mcp`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec

from tallybook_sdk.errors import NotConfigured

#: Exit code: a setting cannot be used.
SETTINGS = 64
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the client closes stdin, or until a signal over HTTP."""
    parser = argparse.ArgumentParser(
        "tallybook-mcp",
        description="Let programs that speak MCP read the numbers of tallybook, over stdio or HTTP.",
        epilog="TALLYBOOK_URL is the address of the service. Over stdio, TALLYBOOK_API_KEY or TALLYBOOK_API_KEY_FILE "
        "has a key with the scope stats:read. Over HTTP each client sends its own key.",
    )
    parser.add_argument("--http", type=int, metavar="PORT", help="serve HTTP at /mcp of this port in place of stdio")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind with --http; default %(default)s")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        dest="hosts",
        metavar="NAME",
        help="a name under which clients may ask; needed for an address that is not loopback",
    )
    options = parser.parse_args(arguments)
    if options.http is not None and options.host not in _LOOPBACK and not options.hosts:
        parser.error(f"--host {options.host} can be reached by others: name the hosts it may be asked by: --allow-host")
    if find_spec("mcp") is None:
        _end("tallybook-mcp needs the package mcp: pip install 'tallybook-sdk[mcp]'")
    from tallybook_sdk.mcp import server

    with suppress(KeyboardInterrupt):
        try:
            if options.http is None:
                asyncio.run(server.serve_stdio())
            else:
                asyncio.run(server.serve_http(options.host, options.http, options.hosts))
        except NotConfigured as error:
            _end(str(error))


def _end(reason: str) -> None:
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(SETTINGS)
