"""Run one worker process: the application, Granian behind the front, and a stop in the right order."""

import asyncio
import contextlib
import signal
import socket
import sys

import structlog
import uvloop
from granian.server.embed import Server

from ingest.app import create_app
from ingest.front.folder import Folder
from ingest.front.listener import CONNECTIONS, Front
from ingest.front.relayed_app import RelayedApp
from ingest.state import State
from shared.runtime.gc_tuning import collect_seldom
from shared.runtime.granian_options import embedded
from shared.runtime.process import die_with_parent
from shared.runtime.tasks import end
from shared.settings import Settings, load
from shared.telemetry.logging import configure

#: Milliseconds in which the headers of a request must have arrived; hyper closes idle connections as late.
HEADER_TIMEOUT_MS = 5_000
#: Bytes of the headers of a request.
_HEADERS_MAX = 64 * 1024
#: Seconds between two looks whether Granian listens.
_LOOK_S = 0.005

log = structlog.get_logger()


def work(*_: object) -> None:
    """Run a worker until SIGTERM, with its settings from the environment: what Granian starts, watches and respawns."""
    die_with_parent()
    settings = load()
    configure(settings, "ingest")
    if not uvloop.run(_serve(settings)):
        sys.exit(1)


async def _serve(settings: Settings) -> bool:
    """Serve until a signal comes. False: something else ended it."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    app = create_app(settings)
    folder = Folder(settings.front_dir)
    try:
        async with app.router.lifespan_context(app) as fields:
            fields = fields or {}
            front = Front(settings, State(**fields), folder)
            server = granian(RelayedApp(app, fields, front.address), folder)
            serving = asyncio.create_task(server.serve())
            await listens(folder, serving)
            await front.start()
            collect_seldom()
            ends = [serving, *(asyncio.create_task(one.wait()) for one in (told, front.is_broken))]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await stop(front, server, serving, settings.drain_timeout_s)
            await end(*ends)
            return told.is_set()
    finally:
        folder.close()


def granian(app: RelayedApp, folder: Folder) -> Server:
    """Return Granian on the socket of the folder."""
    options = embedded(idle_ms=HEADER_TIMEOUT_MS, headers_max=_HEADERS_MAX, connections=CONNECTIONS)
    return Server(app, uds=folder.socket, **options)


async def listens(folder: Folder, serving: "asyncio.Task[None]") -> None:
    """Wait until Granian listens. Raises what ends it before."""
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(folder.socket))
            return
        if serving.done():
            serving.result()
            raise RuntimeError("Granian ended at its start")
        await asyncio.sleep(_LOOK_S)


async def stop(front: Front, server: Server, serving: "asyncio.Task[None]", timeout_s: float) -> None:
    """Stop listening, let everything under way be answered, end Granian, and let clients read what they were sent.
    The lane's last drain comes after."""
    try:
        async with asyncio.timeout(timeout_s):
            await front.stop(timeout_s)
            server.stop()  # type: ignore[no-untyped-call]
            await serving
            await front.emptied()
    except TimeoutError:
        log.warning("stop_timed_out", after_s=timeout_s)
    finally:
        await front.close()
