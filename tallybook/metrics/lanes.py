"""Collect the figures of the lanes, for the process that serves `/metrics`."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.counting.fleet import Fleet
from shared.counting.lane import View

log = structlog.get_logger()


class _Track:
    """The last figures of one lane."""

    def __init__(self) -> None:
        self.accepted = self.drained = 0
        self.tail = -1
        self.waits_since: float | None = None


class LaneCollector(Collector):
    """Sums over the lanes of a folder, without a label per lane.

    Call `sample` about every second: ages are as exact as the samples are frequent. It is safe for threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet = Fleet(folder)
        self._clock = clock
        self._tracks: dict[str, _Track] = {}
        self._lock = Lock()
        self._is_failing = False
        # Totals only grow, even when a lane file is removed: Prometheus takes a counter that falls for a restart.
        self._accepted = self._drained = 0
        self._lanes = self._clicks = 0
        self._fill = self._age_s = 0.0

    def sample(self) -> None:
        """Sample the lanes now. It never raises: an unreadable lane keeps its last figures."""
        with self._lock:
            try:
                self._look(self._clock())
            except Exception:  # a vanished or damaged lane must not cost all other metrics
                if not self._is_failing:
                    log.exception("lanes_unreadable")
                self._is_failing = True
            else:
                self._is_failing = False

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, after a fresh sample."""
        self.sample()
        with self._lock:
            yield CounterMetricFamily(
                "tallybook_clicks_accepted_total", "Clicks that the lanes of this host took", self._accepted
            )
            yield CounterMetricFamily(
                "tallybook_clicks_drained_total", "Clicks of these lanes that are known to be in Redis", self._drained
            )
            yield GaugeMetricFamily(
                "tallybook_lane_clicks", "Clicks in lanes that are not yet known to be in Redis", self._clicks
            )
            yield GaugeMetricFamily("tallybook_lanes", "Lane files on this host", self._lanes)
            yield GaugeMetricFamily(
                "tallybook_lane_fill_ratio",
                "Used part of the fullest lane, 0 to 1; at 1 clicks are refused",
                self._fill,
            )
            yield GaugeMetricFamily(
                "tallybook_lane_drain_age_seconds",
                "Seconds for which the oldest page of any lane has been waiting for Redis; 0 when none waits",
                self._age_s,
            )

    def _look(self, now: float) -> None:
        views = self._fleet.views()
        seen = [self._follow(view, now) for view in views]
        self._lanes = len(views)
        self._clicks = sum(pending for pending, _, _ in seen)
        self._fill = max((fill for _, fill, _ in seen), default=0.0)
        self._age_s = max((age_s for _, _, age_s in seen), default=0.0)

    def _follow(self, view: View, now: float) -> tuple[int, float, float]:
        """Return (waiting clicks, fill ratio, seconds since the tail moved) of a lane."""
        track = self._tracks.setdefault(view.id, _Track())
        drained, tail, accepted = view.drained(), view.tail, view.accepted()
        self._accepted += max(0, accepted - track.accepted)
        self._drained += max(0, drained - track.drained)
        track.accepted, track.drained = max(accepted, track.accepted), max(drained, track.drained)
        pending = max(0, accepted - drained)
        if pending == 0:
            track.waits_since = None
        elif track.waits_since is None or tail != track.tail:
            track.waits_since = now
        track.tail = tail
        age_s = 0.0 if track.waits_since is None else now - track.waits_since
        return pending, (view.head - tail) / max(1, view.pages - 1), age_s
