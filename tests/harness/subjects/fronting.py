"""The front before any ASGI application, with stores in memory: fast enough to be fuzzed."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from granian.server.embed import Server
from starlette.types import ASGIApp

from ingest.caches.links import Link, made
from ingest.front.folder import Folder
from ingest.front.listener import Front
from ingest.front.relayed_app import RelayedApp
from ingest.front.worker import granian, listens, stop
from ingest.hits.record import Recorder
from ingest.http.client_address import ClientAddress
from ingest.http.cors import Origins
from ingest.state import State
from shared.collect.link import LinkRow
from shared.counting.lane import banner_id
from shared.destination import Destination
from shared.record_log.producer import Done
from shared.runtime.tasks import end
from shared.settings import Settings

#: Seconds that anything here may take.
PATIENCE_S = 20.0

#: A link that passes `utm_*` on.
SPRING = made(LinkRow("spring", 42, "https://shop.example/sale", "append"), Destination.of("https://shop.example/sale"))


class Lane:
    """Counts in a dict, as the counter of a worker does in its lane."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.tickets: list[Callable[[bool], None]] = []

    def add(self, banner: str) -> bool:
        banner_id(banner)
        self.counted[banner] += 1
        return True

    def promise(self, ticket: Callable[[bool], None]) -> None:
        self.tickets.append(ticket)

    def keep(self, is_applied: bool = True) -> None:
        """Redis answers."""
        tickets, self.tickets = self.tickets, []
        for ticket in tickets:
            ticket(is_applied)


class Log:
    """Holds records back until they are told what became of them."""

    def __init__(self) -> None:
        self.offered: list[tuple[bytes, bytes, Done]] = []

    def offer(self, key: bytes, value: bytes, done: Done) -> bool:
        self.offered.append((key, value, done))
        return True


class Trackers:
    """Knows every tracker."""

    def known(self, tracker: UUID) -> str:
        return "Spring sale"


class Links:
    """Knows one link, `spring` of banner 42."""

    def known(self, slug: str) -> Link | None:
        return SPRING if slug == "spring" else None


class Live:
    """Has no streams."""

    def stop(self) -> None:
        pass


class Fronted:
    """A front and the Granian behind it."""

    def __init__(self, front: Front, server: Server, folder: Folder, lane: Lane, log: Log) -> None:
        self.front, self.folder, self.lane, self.log = front, folder, lane, log
        self._server, self.serving = server, asyncio.create_task(server.serve())

    async def stop(self, timeout_s: float) -> None:
        """As a worker does."""
        await stop(self.front, self._server, self.serving, timeout_s)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Over TCP, as clients do."""
        return await asyncio.open_connection(*self.front.address)

    async def connect_slowly(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """With so small a buffer that the server notices when nobody reads."""
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        one.setblocking(False)
        await asyncio.get_running_loop().sock_connect(one, self.front.address)
        return await asyncio.open_connection(sock=one)


@asynccontextmanager
async def fronting(
    app: ASGIApp, folder: Path, state: Mapping[str, Any] | None = None, log: Log | None = None, **fields: Any
) -> AsyncIterator[Fronted]:
    """Serve the application, with the state of its lifespan, behind a front until the block ends."""
    settings = Settings(**{"host": "127.0.0.1", "port": 0} | fields)
    lane, log, client = Lane(), log or Log(), ClientAddress(settings.trusted_proxies)
    stores = {
        "counter": lane,
        "trackers": Trackers(),
        "links": Links(),
        "hits": log,
        "recorder": Recorder(settings, client),
        "origins": Origins(settings.track_origins),
        "live": Live(),
    }
    one = Folder(folder)
    front = Front(settings, State(**stores), one)
    fronted = Fronted(front, granian(RelayedApp(app, state or {}, front.address), one), one, lane, log)
    await listens(one, fronted.serving)
    await front.start()
    try:
        yield fronted
    finally:
        if not front.is_stopping:
            await fronted.stop(1)
        await end(fronted.serving)
        one.close()
        logging.getLogger("_granian").setLevel(logging.NOTSET)  # which Granian has set for the whole process
