"""Turn a hit into its record: the row of ClickHouse, as it travels through the record log.

The routes and the front share this. Everything in a row is decided when the request is answered, so a record that is
read twice is the same row.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ingest.hits import cookie
from ingest.hits.bots import is_bot, user_agent
from ingest.hits.request_facts import Asked
from ingest.hits.request_url import url
from ingest.http.client_address import ClientAddress, truncated
from shared.hit import Hit
from shared.settings import Settings
from shared.uuid7 import NIL, uuid7_text

#: What stands for an address that is not known: that of a peer on a unix socket.
_NO_ADDRESS = "::"
_NIL = str(NIL)

_ENCODER = msgspec.json.Encoder()


class Recorded(NamedTuple):
    """A hit as a record of the log, whose key is the tracker's 16 bytes, and what its answer needs."""

    record: bytes
    #: Value of Set-Cookie; None when the client asks not to be recognised.
    cookie: str | None
    is_bot: bool


class Recorder:
    """Turn requests into records by the settings: the one place that knows what is kept of whom."""

    def __init__(self, settings: Settings, client: ClientAddress) -> None:
        self._client, self._cookie = client, cookie.Cookie(settings)
        self._is_truncating = settings.track_ip == "truncated"
        self._honours_dnt = settings.honour_dnt

    def recorded(self, asked: Asked, tracker: str, value: str) -> Recorded:
        """Return the hit of now on a tracker, whose id is written as `str` writes a UUID."""
        given, epoch_ms, user, header = asked.headers.get, time.time_ns() // 1_000_000, _NIL, None
        address, is_proxied = self._client.found(asked.peer, given(b"x-forwarded-for", b"").decode("latin-1"))
        is_hidden = is_private(asked.headers, honours_dnt=self._honours_dnt)
        if not is_hidden:
            user = cookie.user_id(given(b"cookie", b"")) or uuid7_text(epoch_ms)
            header = self._cookie.header(user)
        if is_hidden or self._is_truncating:
            address = truncated(address)
        agent = user_agent(asked.headers)
        date, second = _written(epoch_ms // 1000)
        hit = Hit(
            date=date,
            date_time=f"{second}.{epoch_ms % 1000:03}",
            event_id=uuid7_text(epoch_ms),
            tracker_id=tracker,
            ip=address or _NO_ADDRESS,
            user_id=user,
            user_agent=agent,
            url=url(asked, is_proxied=is_proxied),
            value=value,
            is_bot=is_bot(agent),
        )
        return Recorded(_ENCODER.encode(hit), header, hit.is_bot)


@lru_cache(4)
def _written(second: int) -> tuple[str, str]:
    """Return the date of a Unix time, and its date and time. A worker asks for each some thousand times."""
    moment = datetime.fromtimestamp(second, UTC)
    return f"{moment:%Y-%m-%d}", f"{moment:%Y-%m-%d %H:%M:%S}"


def is_private(headers: Mapping[bytes, bytes], *, honours_dnt: bool) -> bool:
    """Return whether the client opts out: by Global Privacy Control, or by Do Not Track where it is honoured."""
    return headers.get(b"sec-gpc") == b"1" or (honours_dnt and headers.get(b"dnt") == b"1")
