"""docs/metrics.md names every metric that the service shows, as the code declares it."""

import re
from pathlib import Path

from shared.telemetry import metrics
from tests.harness.subjects.metric_catalogue import families

PAGE = (Path(__file__).parents[3] / "docs/metrics.md").read_text()


def rows() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """name -> (type, labels, meaning) of the table."""
    table = PAGE.split("<!-- metrics -->")[1].split("<!-- /metrics -->")[0]
    cells = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", table, re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), about) for name, kind, labels, about in cells}


def test_the_table_is_what_the_code_declares(tmp_path: Path) -> None:
    assert rows() == {name: (family.kind, family.labels, family.about) for name, family in families(tmp_path).items()}


def test_reasons_are_listed() -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith("| `reason` |"))
    assert tuple(re.findall(r"`(\w+)`", line))[1:] == metrics.REASONS
