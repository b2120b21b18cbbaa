"""A short load test against the real stack: thresholds kept, every banner's count as acknowledged."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
def test_a_crowd_is_served_within_the_thresholds_and_counted_exactly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadtest.run", "steady", "--seconds", "10", "--scale", "0.2"]
    done = subprocess.run(
        [*command, "--results", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steady: passed" in done.stdout
    assert {"steady-report.html", "steady-stats.json", "steady_stats.csv"} <= {path.name for path in tmp_path.iterdir()}


def test_an_unknown_scenario_is_refused() -> None:
    command = [sys.executable, "-m", "loadtest.run", "tsunami"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "steady, ramp, spike, soak" in done.stderr
