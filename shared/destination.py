"""Check the destination of a redirect link, and split it so that a request can add to its query and to nothing else."""

import re
from collections.abc import Collection
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple, Self
from urllib.parse import unquote_to_bytes

#: Bytes of a destination; the table has the same bound.
URL_MAX = 2048
#: Names in TALLYBOOK_LINK_HOSTS: `shop.example`, or `*.shop.example` for all hosts below it.
HOST_PATTERN = r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
#: Characters of a DNS name (RFC 1035, 2.3.4), and the largest port.
_NAME_MAX, _PORT_MAX = 253, 65_535

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
#: What a path, a query and a fragment may hold: visible ASCII but backslashes, and what ends each of them.
_URL = re.compile(
    rf"(?P<base>https?://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?:/[!\"$->@-\[\]-~]*)?)(?:\?(?P<query>[!\"$-\[\]-~]*))?(?P<fragment>#[!-\[\]-~]*)?"
)


class BadDestination(ValueError):
    """The URL cannot be the destination of a link. The message says why."""


class Destination(NamedTuple):
    """A destination in three parts. Joined as `url`, they are the text that was checked."""

    #: Scheme, host, port and path: what no request can change.
    base: str
    #: The query without its question mark; None when there is no question mark.
    query: str | None
    #: The fragment with its `#`, or nothing.
    fragment: str

    @classmethod
    def of(cls, url: str, hosts: Collection[str] = ()) -> Self:
        """Return the parts of a URL. Raises BadDestination.

        `hosts` are those that a destination may have, as in TALLYBOOK_LINK_HOSTS; none allows all.
        """
        if len(url) > URL_MAX:
            raise BadDestination(f"it has more than {URL_MAX} bytes")
        found = _URL.fullmatch(url)
        if found is None:
            raise BadDestination(
                "write http:// or https://, a host in ASCII (xn--... for other scripts), and visible ASCII behind it: "
                "no user, no backslash, no space"
            )
        host, port = found["host"].lower(), found["port"]
        if not _is_host(host) or (port is not None and not 1 <= int(port) <= _PORT_MAX):
            raise BadDestination("its host or its port is none")
        if hosts and not is_allowed(host, hosts):
            raise BadDestination(f"{host} is no host of TALLYBOOK_LINK_HOSTS")
        return cls(found["base"], found["query"], found["fragment"] or "")

    @property
    def url(self) -> str:
        """Return the destination as its row has it."""
        return f"{self.base}{'' if self.query is None else '?' + self.query}{self.fragment}"

    def with_query(self, parts: Collection[str]) -> str:
        """Return the destination with another query, whose parameters are given as they are written."""
        return f"{self.base}{'?' + '&'.join(parts) if parts else ''}{self.fragment}"


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return len(text) <= _NAME_MAX
    try:
        IPv6Address(text[1:-1])
    except AddressValueError:
        return False
    return True


def is_allowed(host: str, hosts: Collection[str]) -> bool:
    """Return whether a host in small letters is one of the hosts, or below one that begins with `*.`."""
    return any(host.endswith(one[1:]) if one.startswith("*.") else host == one for one in hosts)


def unescaped(text: bytes) -> bytes:
    """Return a name or a value of a query as a form means it (WHATWG URL, application/x-www-form-urlencoded)."""
    return unquote_to_bytes(text.replace(b"+", b" "))
