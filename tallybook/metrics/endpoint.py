"""Serve `GET /metrics` from a thread of the supervisor, on a port of its own.

It merges the metric files of all processes (`shared/telemetry/metric_slots.py`) with the figures of the lanes. A scrape
reads files and walks lanes, which would block an event loop that serves clicks.
"""

import glob
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event, Lock, Thread

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from shared.telemetry.metric_slots import is_readable, locked
from tallybook.metrics.lanes import LaneCollector

#: Seconds after which a silent client is disconnected.
_CLIENT_TIMEOUT_S = 5.0
#: Seconds between two samples of the lanes: the resolution of the drain age.
_SAMPLE_S = 1.0
#: Attempts to merge files that change meanwhile.
_ATTEMPTS = 3

log = structlog.get_logger()


def prepare(metrics_dir: Path) -> None:
    """Make the folder and remove the files of an earlier run. Call it before any child starts."""
    metrics_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for pattern in ("*.db", "*.lock"):
        for path in metrics_dir.glob(pattern):
            path.unlink(missing_ok=True)


class Endpoint:
    """Answer `GET /metrics` in a thread until `close`. Port 0 takes a free one: see `port`. Raises OSError."""

    def __init__(self, host: str, port: int, metrics_dir: Path, lanes_dir: Path) -> None:
        lanes = LaneCollector(lanes_dir)
        self._of_host = OfHost(lanes_dir.parent, lanes, Journals(lanes_dir.with_name("journal")))
        self._server = _Server((host, port), _registry(metrics_dir, self._of_host))
        self._stop = Event()
        self._threads = [
            Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True),
            Thread(target=self._sample, args=(lanes,), name="lanes", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        #: The port that was bound.
        self.port: int = self._server.server_address[1]

    def close(self) -> None:
        """Stop answering and give the port back."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()
        self._of_host.close()

    def _sample(self, lanes: LaneCollector) -> None:
        while not self._stop.wait(_SAMPLE_S):
            lanes.sample()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._registry = registry
        self._lock = Lock()
        super().__init__(address, _Handler)

    def exposition(self) -> bytes:
        """Return all metrics as text, for one scrape at a time."""
        with self._lock:
            return generate_latest(self._registry)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that has left."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_TIMEOUT_S
    server_version, sys_version = "tallybook", ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = self.server.exposition()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing per scrape."""


class Files(Collector):
    """Merge the metric files of all slots. Unreadable ones are left out and counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        metrics, unreadable = self._merged()
        yield from metrics
        yield GaugeMetricFamily(
            "tallybook_metric_files_unreadable", "Metric files that this scrape had to leave out", unreadable
        )

    def _merged(self) -> tuple[list[Metric], int]:
        for _ in range(_ATTEMPTS):
            paths = sorted(glob.glob(os.path.join(glob.escape(str(self._folder)), "*.db")))
            readable = [path for path in paths if is_readable(Path(path))]
            try:
                merged = MultiProcessCollector.merge(readable)  # type: ignore[no-untyped-call]
                return list(merged), len(paths) - len(readable)
            except Exception as error:  # a file vanished or broke since the line above
                reason = type(error).__name__
        log.error("metric_files_unreadable", files=len(paths), reason=reason)
        return [], len(paths)


class Host(Collector):
    """Yield the running version and the clock of this host."""

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("tallybook_build_info", "1, with the version that runs", labels=["version"])
        build.add_metric([_version()], 1)
        yield build
        yield GaugeMetricFamily("tallybook_clock_seconds", "Unix time of this host", time.time())


class Journals(Collector):
    """Yield what waits on the disk for the record log, of living and of dead workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Yield the sizes of the files without their headers of eight bytes."""
        sizes = []
        for path in self._folder.glob("*.journal"):
            with suppress(FileNotFoundError):  # its worker has ended
                sizes.append(path.stat().st_size)
        waiting = sum(max(0, size - 8) for size in sizes)
        yield GaugeMetricFamily("tallybook_journal_bytes", "Bytes in journals that wait for the record log", waiting)
        yield GaugeMetricFamily("tallybook_journals", "Journals of the record log on this host", len(sizes))


class OfHost(Collector):
    """Yield the figures of a data folder from one of the processes that share it, so that sums over targets are right.

    When that process ends, the next one that is scraped takes its place."""

    def __init__(self, folder: Path, *collectors: Collector) -> None:
        self._path = folder / "metrics.lock"
        self._collectors = collectors
        self._lock = -1

    def collect(self) -> Iterator[Metric]:
        """Yield the figures, or nothing while another process yields them."""
        if self._is_ours():
            for collector in self._collectors:
                yield from collector.collect()

    def close(self) -> None:
        """Leave the figures to another process."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _is_ours(self) -> bool:
        if self._lock < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = locked(self._path)
            if descriptor is None:
                return False
            self._lock = descriptor
        return True


def _registry(metrics_dir: Path, of_host: OfHost) -> CollectorRegistry:
    # Unchecked: asking the collectors for the names that they will yield would be a scrape of its own.
    registry = CollectorRegistry(auto_describe=False)
    for collector in (Files(metrics_dir), of_host, Host()):
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def _version() -> str:
    try:
        return version("tallybook")
    except PackageNotFoundError:
        return "unknown"
