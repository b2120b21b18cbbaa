"""Granian as the parent of this service's workers: it starts, watches, respawns and stops them."""

from granian.constants import Interfaces

from ingest.front.worker import work
from ingest.workers import Workers
from shared.settings import Settings

#: Seconds that a stop may take after everything was answered, for the last drain, before a worker is killed.
_KILL_MARGIN_S = 5


def serve(settings: Settings) -> None:
    """Run one process per worker until SIGTERM or SIGINT, then let them drain and return."""
    server = Workers(
        "ingest.front.worker:work",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        workers=settings.worker_count,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=settings.drain_timeout_s + _KILL_MARGIN_S,
        log_dictconfig={"loggers": {"_granian": {"level": "INFO", "propagate": True, "handlers": []}}},
    )
    server.serve(work)
