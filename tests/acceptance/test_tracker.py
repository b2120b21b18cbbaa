"""The real product behind the real nginx: every answer of the tracker is its row in ClickHouse, field by field."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.services import require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_every_answer_of_ten_seconds_is_its_row_in_clickhouse(tmp_path: Path) -> None:
    require("nginx")
    output = tmp_path / "result.json"
    command = [sys.executable, "-m", "loadtest.tracker", "--seconds", "10", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert (result["requests"], result["differences"], result["unanswered"]) == (1000, 0, 0)
    assert result["rows"] == result["counted"] == 950
    assert result["statuses"].keys() == {"200", "204", "400", "404"}
