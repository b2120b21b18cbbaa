"""Read browser, system and kind of device from a user agent, by the patterns of ua-parser.

A new agent takes some 70 us and is then remembered. The patterns take some 30 MB and are loaded in a thread,
when a page first reports something.
"""

import asyncio
from functools import lru_cache
from typing import NamedTuple

from ingest.collect.countries import Countries

#: User agents whose answer is remembered.
_REMEMBERED = 4096
#: Systems by the kind of device that has them. An iPad says that it is a Mac.
_DESKTOPS = frozenset(
    {"Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD", "OpenBSD", "NetBSD"}
)
_PHONES = frozenset({"iOS", "Android", "KaiOS", "Windows Phone", "BlackBerry OS", "Tizen", "HarmonyOS"})
#: Of documentation (RFC 5737): they load what the first question has to load.
_ANY_AGENT, _ANY_ADDRESS = "Mozilla/5.0", "192.0.2.1"
#: Characters that are kept of a name.
_NAME_MAX = 64


class Patterns:
    """Loads the patterns, and the tables of countries, once in a worker, in a thread."""

    def __init__(self, countries: Countries) -> None:
        self._countries = countries
        self._loading: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Wait until all is loaded. All who wait meanwhile wait for the same."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
        await asyncio.shield(self._loading)

    def _load(self) -> None:
        browser_of(_ANY_AGENT)
        self._countries.of(_ANY_ADDRESS)


class Browser(NamedTuple):
    """What a user agent says: names, empty where they are not known."""

    browser: str
    os: str
    #: `desktop`, `mobile`, `tablet`, or empty.
    device: str


@lru_cache(_REMEMBERED)
def browser_of(agent: str) -> Browser:
    """Return what a user agent says."""
    from ua_parser import parse  # its patterns take memory that a service without sites does not need

    found = parse(agent)
    browser = "" if found.user_agent is None else found.user_agent.family[:_NAME_MAX]
    system = "" if found.os is None else found.os.family[:_NAME_MAX]
    return Browser(browser, system, _device(agent, system))


def _device(agent: str, system: str) -> str:
    if "iPad" in agent or (system == "Android" and "Mobile" not in agent):
        return "tablet"
    if system in _PHONES:
        return "mobile"
    return "desktop" if system in _DESKTOPS else ""
