"""Join the destination of a link with what a request may add to its query. A request changes nothing else of it."""

import secrets
from base64 import b32encode
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from ingest.caches.links import Link
from shared.collect.link import CLICK_ID
from shared.destination import unescaped

#: Bytes of a location. A longer one is sent without the additions.
LOCATION_MAX = 4096
#: Bytes of chance in the id of a click: 16 characters of base32.
_CHANCE = 10
#: Parameters that pass under any name that begins so.
_CAMPAIGN = b"utm_"


def location(link: Link, query: bytes) -> str:
    """Return where a request with this query is led to. The link has a destination.

    Every byte that a request adds is escaped, so it ends up in a name or a value of the query. The id of a click is new
    each time.
    """
    to = link.destination
    if to is None or link.is_fixed:
        return link.location
    own = to.query.split("&") if to.query else []
    added = [] if link.query == "keep" else list(_passed(link, query))
    if link.query == "append":
        there = {_name(part) for part in own}
        added = [(name, part) for name, part in added if name not in there]
    replaced = {name for name, _ in added}
    parts = [part for name, part in added]
    if link.has_click_id:
        replaced.add(CLICK_ID.encode())
        parts.append(f"{CLICK_ID}={link.banner}.{_click_id()}")
    if not parts:
        return link.location
    made = to.with_query([*(part for part in own if _name(part) not in replaced), *parts])
    return made if len(made) <= LOCATION_MAX else link.location


def _passed(link: Link, query: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield the parameters of a request that the link lets pass: the name, and both as they are written anew."""
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        name = unescaped(name)
        if name.startswith(_CAMPAIGN) or name in link.passing:
            yield name, f"{quote_from_bytes(name, '')}={quote_from_bytes(unescaped(value), '')}"


def _name(part: str) -> bytes:
    """Return the name of a parameter as the destination writes it."""
    return unescaped(part.partition("=")[0].encode("ascii"))


def _click_id() -> str:
    return b32encode(secrets.token_bytes(_CHANCE)).decode("ascii").lower()
