"""Serve the application on Granian's own listener, without the front: `python -m loadtest.tools.bare PORT`.

The yardstick of what the front costs other requests. Settings come from the environment, as for a worker.
"""

import asyncio
import signal
import sys
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from ingest.app import create_app
from ingest.front.listener import CONNECTIONS
from ingest.front.worker import HEADER_TIMEOUT_MS
from shared.runtime.gc_tuning import collect_seldom
from shared.runtime.process import die_with_parent
from shared.settings import load
from shared.telemetry.logging import configure


async def _serve(port: int) -> None:
    settings = load()
    configure(settings, "ingest")
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:

        async def inside(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        server = Server(
            inside,
            address="127.0.0.1",
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS),
            websockets=False,
            backlog=CONNECTIONS,
            backpressure=CONNECTIONS,
            log_level=LogLevels.error,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        collect_seldom()
        await server.serve()


if __name__ == "__main__":
    die_with_parent()
    uvloop.run(_serve(int(sys.argv[1])))
