"""The workers of an ingest service."""

import contextlib

import psutil

from tests.harness.process import is_alive


def is_worker(child: psutil.Process) -> bool:
    """Whether a child of an ingest service lives and serves. One that has just died has no command line."""
    try:
        return is_alive(child) and "resource_tracker" not in " ".join(child.cmdline())
    except psutil.Error:
        return False


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of an ingest service that live now; none when it is gone."""
    with contextlib.suppress(psutil.Error):
        return [child for child in psutil.Process(pid).children() if is_worker(child)]
    return []
