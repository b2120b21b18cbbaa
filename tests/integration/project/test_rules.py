"""Prometheus' own tool accepts the configuration, and every alert fires when it should and only then."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.services import require

FOLDER = Path(__file__).parents[3] / "deploy/prometheus"


@pytest.fixture
def promtool() -> Callable[..., str]:
    """Runs promtool; answers what it said, fails when it was not content."""
    program = require("promtool")

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("config", ["prometheus.yml", "prometheus.local.yml"])
def test_the_configuration_is_valid(promtool: Callable[..., str], config: str) -> None:
    assert "SUCCESS" in promtool("check", "config", config)


def test_the_rules_are_valid(promtool: Callable[..., str]) -> None:
    assert "SUCCESS" in promtool("check", "rules", "rules/tallybook.yml")


def test_every_alert_fires_when_it_should_and_only_then(promtool: Callable[..., str]) -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules/tallybook.test.yml")
