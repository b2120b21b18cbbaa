"""One connection of a client: plain, waiting for a late answer, or relayed.

Answers leave in the order of requests, so while one is due nothing else of the connection is looked at. From the first
byte that is not plain, everything goes to Granian until each relayed request has its whole answer.
"""

import asyncio
import contextlib
import fcntl
import termios
from typing import TYPE_CHECKING, cast

import structlog

from ingest.front.plain_requests import Plain, recognised
from ingest.front.relay import Relay

if TYPE_CHECKING:
    from ingest.front.listener import Front

log = structlog.get_logger()

#: Bytes of one buffer that are looked at as plain requests. A longer one is relayed.
_BUFFER_MAX = 64 * 1024


class Connection(asyncio.Protocol):
    """One client."""

    transport: asyncio.Transport
    #: Address and port of the client.
    peer: tuple[str, int]

    def __init__(self, front: "Front") -> None:
        self._front = front
        #: Second of the front's clock in which something came or went.
        self.seen = front.second
        #: Bytes of answers that the client had not read at the last look, and the second in which it last read any.
        self.unread, self.read_at = 0, front.second
        #: Something came.
        self.was_asked = False
        #: So many that it gets no more.
        self.is_full = False
        #: A late answer is due.
        self.is_due = False
        self.is_relayed = False
        self.relay: Relay | None = None
        #: A buffer, the plain requests that it consists of, and how many of them were taken.
        self._data, self._requests, self._taken = b"", list[Plain](), 0
        #: What came while an answer was due.
        self._later = b""
        #: Why nothing is read from the client.
        self._pauses = set[str]()
        #: The client sends no more.
        self._is_ended = False
        self._opening: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is due."""
        return self.is_due or self.is_relayed

    @property
    def is_awaited(self) -> bool:
        """Whether an answer is due whose end will be noticed."""
        return self.is_due or (self.is_relayed and self.relay is not None and self.relay.is_countable)

    @property
    def has_unread(self) -> bool:
        """Return whether bytes of the client wait in the kernel."""
        count = bytearray(4)
        with contextlib.suppress(OSError):  # it is closed
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
        return any(count)

    # -- from the client -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # of uvloop, which has classes of its own
        peer = transport.get_extra_info("peername")
        if peer is None:  # it has reset the connection: nobody would know whose requests these are
            self.transport.abort()
            return
        self.peer = peer[:2]
        self._front.opened(self)

    def data_received(self, data: bytes) -> None:
        front = self._front
        self.seen, self.was_asked = front.second, True
        if self.is_relayed and self.relay is not None:
            self.relay.ask(data)
        elif self.is_due:
            self._later += data
            self.pause("due")
        else:
            try:
                answer = front.take_buffer(data, self)
            except Exception as error:  # asyncio would log it, and the client would wait for ever
                log.exception("plain_broke", error=type(error).__name__)
                answer = None
            if answer is None:
                self._answer(data)
            elif answer:
                self.transport.write(answer)
                if front.is_stopping:
                    self.transport.close()
            else:
                self.is_due = True

    def eof_received(self) -> bool:
        """Keep the other half open while an answer is due; Granian decides about what is relayed."""
        self._is_ended = True
        if self.is_relayed and self.relay is not None and self._opening is None:
            self.relay.finish()
        return self.is_busy

    def connection_lost(self, error: Exception | None) -> None:
        self.is_due = False
        self._forget()
        self._front.lost(self)
        if self._opening is not None:
            self._opening.cancel()
        if self.relay is not None:
            self.relay.abort()

    def pause_writing(self) -> None:
        self.is_full = True
        if self.is_relayed and self.relay is not None:
            self.relay.pause()
        else:
            self.pause("client")

    def resume_writing(self) -> None:
        self.is_full = False
        self.read_at = self._front.second
        if self.relay is not None:
            self.relay.resume()
        self.resume("client")

    # -- plain requests --------------------------------------------------------------------------------------------

    def _answer(self, data: bytes) -> None:
        requests = recognised(data) if len(data) <= _BUFFER_MAX else []
        if requests:
            self._data, self._requests = data, requests
            self._go_on()
        else:
            self._relay(data)

    def _go_on(self) -> None:
        """Take the next requests of the buffer until an answer is due, then what came later."""
        while self._taken < len(self._requests):
            request = self._requests[self._taken]
            self._taken += 1
            answer = self._front.take(request, self)
            if answer is None:
                rest = self._data[request.begin :] + self._later
                self._forget()
                self._relay(rest)
                return
            if not answer:
                self.is_due = True
                return
            self.transport.write(answer)
        later = self._later
        self._forget()
        if later:
            self._answer(later)
        elif self._front.is_stopping:
            self.transport.close()

    def _forget(self) -> None:
        self._data, self._requests, self._taken, self._later = b"", [], 0, b""

    def answered(self, answer: bytes) -> None:
        """Write the answer that was due, and go on with what came behind its request."""
        if not self.is_due or self.transport.is_closing():  # the client is gone, or has its last answer
            return
        self.is_due = False
        self.seen = self._front.second
        self.transport.write(answer)
        if self._requests or self._later or self._front.is_stopping:
            self._go_on()
        if not self.is_due:
            self.resume("due")
        if self._is_ended and not self.is_busy:
            self.transport.close()

    # -- relayed ---------------------------------------------------------------------------------------------------

    def _relay(self, data: bytes) -> None:
        self.is_relayed = True
        if self.relay is None:
            self.relay = Relay(self)
            self.relay.begin()
            self.relay.ask(data)
            self.pause("opening")
            self._opening = asyncio.get_running_loop().create_task(self._front.open(self, self.relay))
        else:
            self.relay.begin()
            self.relay.ask(data)

    def relay_is_open(self) -> None:
        """Go on: what was held is on its way."""
        self._opening = None
        if self._is_ended and self.relay is not None:
            self.relay.finish()
        self.resume("opening")

    def relayed(self, data: bytes) -> None:
        """Pass an answer on, unless the client is about to go."""
        if self.transport.is_closing():
            return
        self.seen = self._front.second
        self.transport.write(data)

    def is_plain_again(self) -> None:
        """Look at what comes next by itself: all that was relayed is answered."""
        self.is_relayed = False
        if self.relay is not None:
            self.relay.idle_since = self._front.second
        if self.is_full:
            self.pause("client")
        if self._front.is_stopping or self._is_ended:
            self.transport.close()

    def drop_relay(self) -> None:
        """Close the idle way to Granian; the next other request opens another."""
        relay, self.relay = self.relay, None
        if relay is not None:
            relay.abort()
        self.resume("granian")  # whatever it was too slow for

    def relay_is_lost(self, relay: Relay) -> None:
        """Close the client's connection with Granian's, unless nothing was under way."""
        if self.relay is relay:
            self.relay = None
            if self.is_relayed:
                self.is_relayed = False
                self.transport.close()
            self.resume("granian")

    def refuse(self, answer: bytes) -> None:
        """Write a last answer, and close."""
        self._opening, self.relay, self.is_relayed = None, None, False
        self.transport.write(answer)
        self.transport.close()

    # -- back-pressure ---------------------------------------------------------------------------------------------

    def pause(self, why: str) -> None:
        """Read nothing from the client until all reasons are gone."""
        if not self._pauses and not self.transport.is_closing():
            self.transport.pause_reading()
        self._pauses.add(why)

    def resume(self, why: str) -> None:
        """Take a reason back."""
        if why in self._pauses:
            self._pauses.remove(why)
            if not self._pauses and not self.transport.is_closing():
                self.transport.resume_reading()
