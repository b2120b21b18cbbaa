"""Relay one client's connection to Granian, byte for byte, and know when its exchanges are complete.

llhttp (`httptools`) counts the requests that went and the answers that came. When both agree and nothing is left over,
the client is plain again and the way to Granian stays open for its next other request. Where the two parsers could
disagree about an end, nothing is decided: after a fault, an upgrade, a HEAD or a last request of the connection it
stays relayed for good.
"""

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, cast

import httptools

if TYPE_CHECKING:
    from ingest.front.connection import Connection


class _Messages:
    """Count the messages of one direction."""

    def __init__(self, kind: Any) -> None:
        self.begun = self.complete = 0
        #: Nobody counts any more.
        self.is_lost = False
        self._parser = kind(self)

    def feed(self, data: bytes) -> None:
        if self.is_lost:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.is_lost = True

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_message_complete(self) -> None:
        self.complete += 1
        if not self._parser.should_keep_alive():
            self.is_lost = True


class _Requests(_Messages):
    def __init__(self) -> None:
        super().__init__(httptools.HttpRequestParser)

    def on_headers_complete(self) -> None:
        if self._parser.get_method() == b"HEAD":  # the other parser would wait for the body of its answer
            self.is_lost = True


class _Answers(_Messages):
    def __init__(self) -> None:
        super().__init__(httptools.HttpResponseParser)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            super().on_message_complete()
        else:  # "100 Continue" is no answer
            self.begun -= 1


class Relay(asyncio.Protocol):
    """The connection to Granian of one client. `begin` before the first bytes of each exchange."""

    def __init__(self, client: "Connection") -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        #: The socket under the transport.
        self.end: socket.socket | None = None
        #: What came before the connection was there.
        self._held = b""
        self._is_aborted = False
        #: Second of the front's clock in which the last exchange was over.
        self.idle_since = 0

    def begin(self) -> None:
        """Count from zero."""
        self._asked, self._given = _Requests(), _Answers()

    @property
    def is_countable(self) -> bool:
        """Whether the end of the exchange will be noticed."""
        return not (self._asked.is_lost or self._given.is_lost)

    def ask(self, data: bytes) -> None:
        """Pass bytes of the client on."""
        self._asked.feed(data)
        if self._transport is None:
            self._held += data
        else:
            self._transport.write(data)

    def finish(self) -> None:
        """Pass on that the client sends no more."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def abort(self) -> None:
        """Let go of Granian at once."""
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more answers: the client is slow."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read answers again."""
        if self._transport is not None:
            self._transport.resume_reading()

    # -- from Granian ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # of uvloop, which has classes of its own
        if self._is_aborted:
            transport.abort()
            return
        held, self._held = self._held, b""
        transport.write(held)
        self._client.relay_is_open()

    def data_received(self, data: bytes) -> None:
        self._given.feed(data)
        self._client.relayed(data)
        asked, given = self._asked, self._given
        if asked.begun == asked.complete == given.complete == given.begun and self.is_countable:
            self._client.is_plain_again()

    def eof_received(self) -> None:
        self._client.relay_is_lost(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if error is not None and self.end is not None:
            # Granian answered, closed, and a write met that: its last words are still to be read.
            with contextlib.suppress(OSError):
                while data := self.end.recv(65_536):
                    self._client.relayed(data)
        self._client.relay_is_lost(self)

    def pause_writing(self) -> None:
        self._client.pause("granian")

    def resume_writing(self) -> None:
        self._client.resume("granian")
