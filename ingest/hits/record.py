"""Turn a hit into its record: the row of ClickHouse, as it travels through the record log.

The routes and the front share this. Everything in a row is decided when the request is answered, so a record that is
read twice is the same row.
"""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from ingest.hits import bots, cookie
from ingest.hits.request_facts import Asked
from ingest.hits.request_url import url
from ingest.http.client_address import ClientAddress, truncated
from shared import addresses
from shared.events.rows import sized
from shared.hit import id_bytes, packed
from shared.settings import Settings
from shared.uuid7 import uuid7_number, uuid7_text

_NO_USER = bytes(16)
#: User agents, values and trackers whose bytes are remembered: some 4 MB.
_REMEMBERED = 4096


class Recorded(NamedTuple):
    """A hit as a record of the log, and what its answer needs."""

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

    def recorded(self, asked: Asked, tracker: UUID, value: str) -> Recorded:
        """Return the hit of now on a tracker."""
        given, epoch_ms, user, header = asked.headers.get, time.time_ns() // 1_000_000, _NO_USER, None
        address, is_proxied = self._client.found(asked.peer, given(b"x-forwarded-for", b"").decode("latin-1"))
        is_hidden = is_private(asked.headers, honours_dnt=self._honours_dnt)
        if not is_hidden:
            text = cookie.user_id(given(b"cookie", b"")) or uuid7_text(epoch_ms)
            user, header = id_bytes(bytes.fromhex(text.replace("-", ""))), self._cookie.header(text)
        if is_hidden or self._is_truncating:
            address = truncated(address)
        agent, is_bot = _user_agent(given(b"user-agent", b"")[: 4 * bots.USER_AGENT_MAX])
        place = sized(url(asked, is_proxied=is_proxied).encode())
        record = packed(
            epoch_ms,
            addresses.packed(address) if address else addresses.NO_ADDRESS,
            _tracker(tracker),
            user,
            uuid7_number(epoch_ms),
            agent + place + _value(value),
            is_bot=is_bot,
        )
        return Recorded(record, header, is_bot)


@lru_cache(_REMEMBERED)
def _tracker(tracker: UUID) -> bytes:
    return id_bytes(tracker.bytes)


@lru_cache(_REMEMBERED)
def _value(value: str) -> bytes:
    return sized(value.encode())


@lru_cache(_REMEMBERED)
def _user_agent(header: bytes) -> tuple[bytes, bool]:
    """Return what the client says that it is, with its length, and whether that is a machine."""
    text = bots.user_agent({b"user-agent": header})
    return sized(text.encode()), bots.is_bot(text)


def is_private(headers: Mapping[bytes, bytes], *, honours_dnt: bool) -> bool:
    """Return whether the client opts out: by Global Privacy Control, or by Do Not Track where it is honoured."""
    return headers.get(b"sec-gpc") == b"1" or (honours_dnt and headers.get(b"dnt") == b"1")
