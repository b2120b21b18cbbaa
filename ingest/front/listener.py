"""Listen on the worker's own socket, bound what its connections may do, and stop in order."""

import asyncio
import contextlib
import itertools
import socket

import structlog

from ingest.front.answers import Answers
from ingest.front.clicks import Clicks
from ingest.front.connection import Connection
from ingest.front.folder import Folder
from ingest.front.hits import Hits
from ingest.front.links import PREFIX, Links
from ingest.front.plain_requests import Plain
from ingest.front.relay import Relay
from ingest.http.problems import rendered
from ingest.state import State
from shared.errors import Busy
from shared.runtime.tasks import end
from shared.settings import Settings
from shared.telemetry.metrics import HTTP_REQUESTS, LOOP_ERRORS

#: Connections that one worker serves, and that wait for it in the kernel.
CONNECTIONS = 4096
#: Connections that are looked at for an idle one when there is one too many.
_OLDEST = 64
#: Seconds without a byte after which a connection is closed. nginx closes its own after four (deploy/nginx).
_IDLE_S = 10
#: Seconds after which an idle way to Granian is closed: before hyper does it (`worker.HEADER_TIMEOUT_MS`), so that no
#: request meets a closing one.
_IDLE_RELAY_S = 2
#: Seconds for which a client may read nothing of an answer.
_STALLED_S = 30
#: Seconds between two sweeps.
_SWEEP_S = 1.0
#: Seconds between two looks of a stop.
_LOOK_S = 0.01
#: Seconds that a stop gives a connection whose first request is still on its way.
_FIRST_REQUEST_S = 1.0

log = structlog.get_logger()


def bound(host: str, port: int) -> socket.socket:
    """Return a listening socket that shares its address with those of other workers. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


class Front:
    """The front of one worker. `state` is what the application's lifespan made. Await `start` in its event loop."""

    def __init__(self, settings: Settings, state: State, folder: Folder) -> None:
        self._folder = folder
        self._listener = bound(settings.host, settings.port)
        host, port, *_ = self._listener.getsockname()
        self.address = (host, port)
        self._answers = Answers()
        self._clicks = Clicks(settings, state.counter, self._answers)
        #: Take the one click that a buffer is: `Clicks.take_buffer`.
        self.take_buffer = self._clicks.take_buffer
        server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._live = state.live
        self._hits = Hits(settings, state, self._answers, server)
        self._links = Links(settings, state, self._answers)
        self._connections: dict[Connection, None] = {}  # oldest first
        #: A clock for time-outs: sweeps since the start.
        self.second = 0
        self.is_stopping = False
        #: Set when this worker cannot go on.
        self.is_broken = asyncio.Event()

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=self._listener, backlog=CONNECTIONS)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, timeout_s: float) -> None:
        """Accept nothing more, and wait until every request that was taken is answered.

        Connections in the kernel's queue count as taken: their clients know no difference. Granian's own stop ends
        relayed connections whose end nobody can see. Streams are told to end. Await `emptied` after it.
        """
        self.is_stopping = True
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                waiting_ones = await self._close_listener()
                self._live.stop()
                for waiting in waiting_ones:
                    with contextlib.suppress(OSError):  # the client is gone
                        await loop.connect_accepted_socket(lambda: Connection(self), waiting)
                patient_until = loop.time() + _FIRST_REQUEST_S
                while self._close_idle(is_patient=loop.time() < patient_until):  # noqa: ASYNC110 - a stop
                    await asyncio.sleep(_LOOK_S)

    async def _close_listener(self) -> list[socket.socket]:
        """Stop listening. Return the connections in the kernel's queue, which closing the listener would reset."""
        waiting = []
        with self._listener.dup() as listener:
            self._server.close()
            await asyncio.sleep(_LOOK_S)  # the loop lets go of its own descriptor first
            with contextlib.suppress(OSError):  # no more, or no descriptor left for them
                while True:
                    waiting.append(listener.accept()[0])
        return waiting

    def _close_idle(self, is_patient: bool) -> bool:
        """Close each connection on which no answer is due. Return whether one is due on another.

        Unread bytes are a request that was sent before the stop. `is_patient` waits for a first request, too.
        """
        is_waiting = False
        for connection in list(self._connections):
            if connection.transport.is_closing():  # it reads no more: `emptied` waits for its last bytes
                continue
            if connection.is_busy:
                is_waiting |= connection.is_awaited
            elif (is_patient and not connection.was_asked) or connection.has_unread:
                is_waiting = True
            else:
                connection.transport.close()
        return is_waiting

    async def emptied(self) -> None:
        """Wait until each client has been sent its last byte and its connection is closed."""
        while self._connections:  # noqa: ASYNC110 - a stop
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Let go of whatever is left."""
        await end(self._sweeper)
        for connection in list(self._connections):
            connection.transport.abort()
        self._report()

    # -- requests --------------------------------------------------------------------------------------------------

    def take(self, request: Plain, connection: Connection) -> bytes | None:
        """Take a plain request. Return its answer; empty when it comes later, None when it has to be relayed."""
        try:
            if request.banner:
                return self._clicks.take(request, connection)
            return (self._links if request.path.startswith(PREFIX) else self._hits).take(request, connection)
        except Exception as error:  # asyncio would log it, and the client would wait for ever
            log.exception("plain_broke", error=type(error).__name__)
            return None

    async def open(self, connection: Connection, relay: Relay) -> None:
        """Connect a client to Granian."""
        try:
            relay.end = self._folder.connected(*connection.peer)
            await asyncio.get_running_loop().create_connection(lambda: relay, sock=relay.end)
        except OSError as error:
            log.error("relay_failed", error=type(error).__name__)
            self._refuse(connection)
            if isinstance(error, FileNotFoundError):  # the folder is gone, and with it the way to Granian
                self.is_broken.set()

    # -- connections -----------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """Note a connection. One too many takes the place of the oldest that is idle, or is refused."""
        if len(self._connections) >= CONNECTIONS:
            oldest = itertools.islice(self._connections, _OLDEST)
            idle = next((one for one in oldest if self._is_idle(one)), None)
            if idle is None:
                self._refuse(connection)
            else:
                idle.transport.abort()
                self._connections.pop(idle)
        self._connections[connection] = None

    def _is_idle(self, one: Connection) -> bool:
        return not one.is_busy and one.seen < self.second and not one.transport.get_write_buffer_size()

    def _refuse(self, connection: Connection) -> None:
        """Say that this worker has no place for a client, whatever it asks."""
        connection.refuse(self._answers.made(*rendered(Busy())))
        HTTP_REQUESTS.labels("unmatched", "other", "503").inc()

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                self.second += 1
                self._answers.tick()
                for connection in list(self._connections):
                    self._look(connection)
                self._report()
            except Exception as error:  # the dates of answers and all time-outs depend on this loop
                LOOP_ERRORS.labels("front").inc()
                log.exception("sweep_broke", error=type(error).__name__)

    def _look(self, connection: Connection) -> None:
        unread, before = connection.transport.get_write_buffer_size(), connection.unread
        connection.unread = unread
        if unread < before:
            connection.read_at = connection.seen = self.second
        elif not before:
            connection.read_at = self.second
        if unread:
            if self.second - connection.read_at > _STALLED_S:
                connection.transport.abort()
        elif connection.is_busy:
            return
        elif self.second - connection.seen > _IDLE_S:
            connection.transport.close()
        elif connection.relay is not None and self.second - connection.relay.idle_since > _IDLE_RELAY_S:
            connection.drop_relay()

    def _report(self) -> None:
        self._clicks.report()
        self._hits.report()
        self._links.report()
