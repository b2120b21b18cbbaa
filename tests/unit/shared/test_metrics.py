"""Metrics: what is shown, under closed labels, and in memory unless a folder is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Gauge

from shared.telemetry import metrics
from tests.harness.subjects.metric_catalogue import families

ROOT = Path(__file__).parents[3]

#: name in the module -> labels, as other modules use them
CONTRACT = {
    "HTTP_REQUESTS": ("route", "method", "status"),
    "HTTP_SECONDS": ("route",),
    "CLICKS_REJECTED": ("reason",),
    "CLICKS_DUPLICATE": (),
    "DRAIN_PAGES": ("outcome",),
    "DRAIN_SECONDS": (),
    "FLUSHES": ("outcome",),
    "FLUSH_SECONDS": (),
    "FLUSH_ROWS": (),
    "FLUSH_CLICKS": (),
    "LAST_FLUSH": (),
    "OPEN_MINUTES": (),
    "OLDEST_OPEN_SECONDS": (),
    "OVERDUE": (),
    "COLLECT_ITEMS": ("kind", "outcome"),
    "READS": ("outcome",),
    "LOOP_ERRORS": ("loop",),
    "ACCOUNTING": ("state",),
}


def run(code: str, **variables: str) -> str:
    """What a fresh interpreter prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TALLYBOOK_", "PROM"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(("name", "labels"), CONTRACT.items())
def test_each_metric_has_the_labels_that_its_users_bind(name: str, labels: tuple[str, ...]) -> None:
    assert getattr(metrics, name)._labelnames == labels


def test_s1_labels_are_closed_sets_and_no_ids(tmp_path: Path) -> None:
    allowed = {
        "route",
        "method",
        "status",
        "reason",
        "outcome",
        "loop",
        "state",
        "version",
        "table",
        "result",
        "store",
        "kind",
        "place",
        "use",
    }
    for family in families(tmp_path).values():
        assert set(family.labels) <= allowed, family.name


def test_all_names_begin_alike_and_carry_their_unit(tmp_path: Path) -> None:
    for name, family in families(tmp_path).items():
        assert name.startswith("tallybook_")
        assert family.about
        assert name.endswith("_total") == (family.kind == "counter")


def test_gauges_of_several_processes_show_one_value() -> None:
    gauges = [item for item in vars(metrics).values() if isinstance(item, Gauge)]
    assert len(gauges) == 22
    summed = [gauge for gauge in gauges if gauge._multiprocess_mode != "mostrecent"]
    assert summed == [metrics.LIVE_STREAMS]  # each worker sets its own to 0 when it starts


def test_counters_with_known_labels_show_zero_from_the_start() -> None:
    code = "from shared.telemetry import metrics; import prometheus_client as p; print(p.generate_latest().decode())"
    shown = run(code)
    for reason in metrics.REASONS:
        assert f'tallybook_clicks_rejected_total{{reason="{reason}"}} 0.0' in shown
    assert 'tallybook_drain_pages_total{outcome="past"} 0.0' in shown
    assert 'tallybook_flushes_total{outcome="error"} 0.0' in shown
    assert 'tallybook_reads_total{outcome="partial"} 0.0' in shown


def test_the_goal_of_200_ms_is_a_bound_of_a_bucket() -> None:
    assert 0.2 in metrics.HTTP_SECONDS._kwargs["buckets"]


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    run("from shared.telemetry import metrics; metrics.CLICKS_DUPLICATE.inc()", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_parent_of_the_workers_takes_no_slot() -> None:
    """Granian forks its workers from the process that runs `python -m ingest`."""
    assert run("import ingest.__main__, sys; print('shared.telemetry.metrics' in sys.modules)").strip() == "False"
