"""One hit of a tracker: the row that it becomes in ClickHouse, as it travels through the record log.

Everything that a row says is decided here, when the request is answered: a record that is read twice is the same row.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from ingest.bots import is_bot
from shared.hit import Hit
from shared.uuid7 import uuid7_text

#: Characters of a user agent that are kept.
USER_AGENT_MAX = 512
#: Headers in which a browser says that it only fetches ahead.
AHEAD = ("sec-purpose", "purpose", "x-purpose", "x-moz")
#: What they say then. Firefox and Chromium fetch and render pages ahead, Safari shows previews of them.
_WORDS = ("prefetch", "prerender", "preview")
#: What stands for an address that is not known: that of a peer on a unix socket.
_NO_ADDRESS = "::"


_ENCODER = msgspec.json.Encoder()


def made(tracker: str, value: str, user: str, address: str, user_agent: str, url: str) -> Hit:
    """A hit of now, with an id of its own. Ids are texts as `str` writes a UUID."""
    epoch_ms = time.time_ns() // 1_000_000
    date, second = _written(epoch_ms // 1000)
    return Hit(
        date=date,
        date_time=f"{second}.{epoch_ms % 1000:03}",
        event_id=uuid7_text(epoch_ms),
        tracker_id=tracker,
        ip=address or _NO_ADDRESS,
        user_id=user,
        user_agent=user_agent,
        url=url,
        value=value,
        is_bot=is_bot(user_agent),
    )


@lru_cache(4)
def _written(second: int) -> tuple[str, str]:
    """The date of a Unix time, and date and time: a worker asks for each some thousand times."""
    moment = datetime.fromtimestamp(second, UTC)
    return f"{moment:%Y-%m-%d}", f"{moment:%Y-%m-%d %H:%M:%S}"


def encoded(hit: Hit) -> bytes:
    """The hit as a record of the log, whose key is the tracker's 16 bytes."""
    return _ENCODER.encode(hit)


def user_agent(headers: Mapping[str, str]) -> str:
    """What the client says that it is, cut to a bound."""
    return headers.get("user-agent", "")[:USER_AGENT_MAX]


def is_prefetched(headers: Mapping[str, str]) -> bool:
    """Whether the browser only fetches ahead or for a preview, of a page that nobody may ever see."""
    said = " ".join(headers.get(name, "") for name in AHEAD).lower()
    return any(word in said for word in _WORDS)


def is_private(headers: Mapping[str, str], *, honours_dnt: bool) -> bool:
    """Whether the client asks not to be recognised: Global Privacy Control, and Do Not Track where that is honoured."""
    return headers.get("sec-gpc") == "1" or (honours_dnt and headers.get("dnt") == "1")
