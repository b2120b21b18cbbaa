"""Read what the statistics need from the address of a page and from its referrer. What names a person is dropped."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from shared.collect.link import CLICK_ID
from shared.counting.lane import BANNER_MAX

#: Characters of a path, of a host, and of each campaign parameter that are kept.
PATH_MAX, HOST_MAX, CAMPAIGN_MAX = 1024, 253, 100
_CAMPAIGN = ("source", "medium", "campaign", "term", "content")
#: Click ids of advertisers. That one is there says where a visitor comes from; its value is an id of a person.
_ADS = ("gclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id")
#: What a redirect link adds: its banner, and 16 characters of chance.
_CLICK_ID = re.compile(r"([1-9][0-9]{0,15})\.[a-z2-7]{16}")
_SCHEMES = ("http", "https")


class Address(NamedTuple):
    """What is kept of the address of a page."""

    host: str
    path: str
    #: utm_source, utm_medium, utm_campaign, utm_term and utm_content.
    campaign: Sequence[str]
    ad: str
    click_id: str
    banner: int


def read_address(text: str, keep: Collection[str]) -> Address | None:
    """Return what is kept of an address. The query goes but for the parameters in `keep`. None: it is no address."""
    parts = _split(text)
    if parts is None or not (host := _host(parts)):
        return None
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    first = dict(reversed(pairs))
    kept = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs if name in keep)
    found = _CLICK_ID.fullmatch(first.get(CLICK_ID, ""))
    banner = int(found[1]) if found and int(found[1]) <= BANNER_MAX else 0
    return Address(
        host,
        (f"{parts.path or '/'}?{kept}" if kept else parts.path or "/")[:PATH_MAX],
        [first.get(f"utm_{name}", "").strip()[:CAMPAIGN_MAX] for name in _CAMPAIGN],
        next((name for name in _ADS if name in first), ""),
        found[0] if found and banner else "",
        banner,
    )


def referring_host(text: str, own: Collection[str]) -> str:
    """Return the host of a referrer without `www.`; empty for none, and for the hosts of the site itself."""
    parts = _split(text)
    host = "" if parts is None else _host(parts)
    if not host or any(host.endswith(one[1:]) if one.startswith("*.") else host == one for one in own):
        return ""
    return host.removeprefix("www.")


def target(text: str) -> str | None:
    """Return a link without its query and fragment. None: it is no address."""
    parts = _split(text)
    if parts is None or not (host := _host(parts)):
        return None
    return f"{parts.scheme}://{host}{parts.path}"[:PATH_MAX]


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return parts if parts.scheme in _SCHEMES else None


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".")[:HOST_MAX]
