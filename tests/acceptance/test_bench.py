"""The benchmark as a smoke test: it runs, its counts agree, its result has the published form. No figure is judged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.peers.build import PeerError, go

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def _missing() -> str:
    if shutil.which("wrk") is None:
        return "wrk"
    try:
        go()
    except PeerError:
        return "go"
    return ""


@pytest.fixture
def tools() -> None:
    """wrk and Go, or a loud skip; a failure where TALLYBOOK_TEST_REQUIRE names `bench`."""
    if missing := _missing():
        text = f"{missing} is not installed, so the benchmark cannot be tried"
        if "bench" in os.environ.get("TALLYBOOK_TEST_REQUIRE", "").replace(" ", "").split(","):
            pytest.fail(text)
        pytest.skip(text)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tools")
def test_the_benchmark_measures_all_sides_and_finds_every_count_exact(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    command = [sys.executable, "-m", "loadtest.bench", "--rounds", "1", "--seconds", "1", "--date", "2026-01-31"]
    done = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert result["machine"]["date"] == "2026-01-31"
    for table in (result["clicks"]["c64"], result["clicks"]["c256"]):
        sides = {row["side"] for row in table["rows"]}
        assert sides == {"tallybook", "tallybook ack=redis", "gin-memory", "gin-redis"}
        for name in ("vs_gin_redis", "vs_gin_memory", "ack_redis_vs_gin_redis", "p99_vs_gin_redis"):
            assert table[name] > 0
    assert result["bulk"]["clicks_per_s"] > 0
    assert result["read"]["vs_bare_query"] > 0
    assert result["flush"]["rows_per_s"] > 0
