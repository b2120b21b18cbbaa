"""Granian as this service needs it."""

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from ingest.workers import Workers
from shared.settings import Settings

#: Milliseconds in which the headers of a request must have arrived.
_HEADER_TIMEOUT_MS = 5_000
#: Connections that wait for a worker, and connections that one worker serves. Granian counts connections, not requests:
#: below the number of a proxy's keep-alive connections a worker would stop accepting.
_CONNECTIONS = 4096
#: Seconds that a stop may take after the last drain before the worker is killed.
_KILL_MARGIN_S = 5


def server(settings: Settings) -> Workers:
    """A server with one process per worker. `serve()` runs it until SIGTERM or SIGINT, then drains and returns."""
    return Workers(
        "ingest.hotpath:create",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,  # `auto` may take a loop that cannot open unix sockets
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS, max_buffer_size=64 * 1024),
        websockets=False,
        workers=settings.worker_count,
        blocking_threads=1,  # the one that answers plain clicks (ingest/inline.py)
        backlog=_CONNECTIONS,
        backpressure=_CONNECTIONS,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=settings.drain_timeout_s + _KILL_MARGIN_S,
        log_dictconfig={"loggers": {"_granian": {"level": "INFO", "propagate": True, "handlers": []}}},
    )
