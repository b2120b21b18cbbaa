"""Tell the visitors of one day and one site apart, without a cookie and without keeping who they are.

    visitor = 64 bits of blake2b(key = salt of the day, site, address (all of IPv4, /64 of IPv6), user agent)

The day is that of the site's zone, so the visitors of a day are exact for the days that its owner sees. Address and
user agent go into the hash and nowhere else. When the salt is gone, nobody can make the number again.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ingest.caches.salts import Salts
from ingest.statistics.ranges import midnight

#: Seconds of a day in which a visitor of the day before may still be in the same visit.
OVERLAP_S = 30 * 60
#: Bytes of the network of an IPv6 address that stands for a person: providers give each customer such a one.
_IPV6_BYTES = 8
#: Days whose first instant is remembered.
_REMEMBERED = 1024


class Person(NamedTuple):
    """What makes a visitor: site, address and user agent."""

    site: str
    address: str
    agent: str


class Visitors(NamedTuple):
    """The day of a moment in the zone of a site, and who it is on this day and on the one before; 0 for nobody."""

    day: date
    visitor: int = 0
    before: int = 0


def visitors(salts: Salts, person: Person | None, zone: str, moment_s: float) -> Visitors:
    """Return the day of a moment, and the numbers of a person on it; 0 without a person, an address or a salt."""
    info = _zone(zone)
    day = datetime.fromtimestamp(moment_s, UTC).astimezone(info).date()
    if person is None or not person.address:
        return Visitors(day)
    yesterday = day - timedelta(days=1)
    is_early = moment_s - _begin(day, zone) < OVERLAP_S
    return Visitors(day, _number(salts.known(day), person), _number(salts.known(yesterday), person) if is_early else 0)


def _number(salt: bytes | None, person: Person) -> int:
    if salt is None:
        return 0
    address = ip_address(person.address).packed
    if len(address) > 4:
        address = address[:_IPV6_BYTES]
    digest = blake2b(key=salt, digest_size=8, person=b"tallybook.visit")
    for part in (person.site.encode(), address, person.agent.encode("utf-8", "replace")):
        digest.update(len(part).to_bytes(4, "little") + part)
    return int.from_bytes(digest.digest(), "little") or 1


@lru_cache(_REMEMBERED)
def _begin(day: date, zone: str) -> int:
    """Return the first instant of a day, which a zone may put at 01:00, in epoch seconds."""
    return midnight(day, _zone(zone))


@lru_cache(_REMEMBERED)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
