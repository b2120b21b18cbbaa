"""Granian as the parent of this service's workers: it starts, watches, respawns and stops them."""

from granian.constants import Interfaces

from ingest.workers import Workers
from shared.runtime.granian_options import logging_at
from shared.settings import Settings

#: Seconds that a stop may take after everything was answered, for the last drain, before a worker is killed.
_KILL_MARGIN_S = 5


def server(settings: Settings) -> Workers:
    """Return the parent of one process per worker. `serve(work)` runs it until SIGTERM or SIGINT, then lets them drain
    and returns."""
    return Workers(
        "ingest.front.worker:work",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        workers=settings.worker_count,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=settings.drain_timeout_s + _KILL_MARGIN_S,
        log_dictconfig=logging_at("INFO"),
    )


def work(*arguments: object) -> None:
    """Run a worker in its own process. Its imports stay out of the parent, which must take no metric files."""
    from ingest.front import worker

    worker.work(*arguments)
