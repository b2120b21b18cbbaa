"""One hit of a tracker: the row that it becomes in ClickHouse, as it travels through the record log.

Everything that a row says is decided here, when the request is answered: a record that is read twice is the same row.
"""

import time
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import Struct
from starlette.datastructures import Headers

from ingest.bots import is_bot
from shared.uuid7 import uuid7

#: The topic of hits.
TOPIC = "hits"
#: Characters of a user agent that are kept.
USER_AGENT_MAX = 512
#: What stands for an address that is not known: that of a peer on a unix socket.
_NO_ADDRESS = "::"


class Hit(Struct, frozen=True, kw_only=True):
    """The columns of `tracker_events`, without those that say where in the log the row came from."""

    date: str
    date_time: str
    event_id: UUID
    tracker_id: UUID
    ip: str
    user_id: UUID
    user_agent: str
    url: str
    value: str
    is_bot: bool


_ENCODER = msgspec.json.Encoder()


def made(tracker: UUID, value: str, user: UUID, address: str, user_agent: str, url: str) -> Hit:
    """A hit of now, with an id of its own."""
    epoch_ms = time.time_ns() // 1_000_000
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return Hit(
        date=f"{moment:%Y-%m-%d}",
        date_time=f"{moment:%Y-%m-%d %H:%M:%S}.{epoch_ms % 1000:03}",
        event_id=uuid7(epoch_ms),
        tracker_id=tracker,
        ip=address or _NO_ADDRESS,
        user_id=user,
        user_agent=user_agent,
        url=url,
        value=value,
        is_bot=is_bot(user_agent),
    )


def record(hit: Hit) -> tuple[bytes, bytes]:
    """Key and value of the hit in the log."""
    return hit.tracker_id.bytes, _ENCODER.encode(hit)


def user_agent(headers: Headers) -> str:
    """What the client says that it is, cut to a bound."""
    return headers.get("user-agent", "")[:USER_AGENT_MAX]


def is_prefetched(headers: Headers) -> bool:
    """Whether the browser only fetches ahead, for a page that nobody may ever see."""
    return any("prefetch" in headers.get(name, "").lower() for name in ("sec-purpose", "purpose"))


def is_private(headers: Headers, *, honours_dnt: bool) -> bool:
    """Whether the client asks not to be recognised: Global Privacy Control, and Do Not Track where that is honoured."""
    return headers.get("sec-gpc") == "1" or (honours_dnt and headers.get("dnt") == "1")
