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
    if shutil.which("npm") is None:
        return "npm"
    try:
        go()
    except PeerError:
        return "go"
    return ""


@pytest.fixture
def tools() -> None:
    """wrk, Node and Go, or a loud skip; a failure where TALLYBOOK_TEST_REQUIRE names `bench`."""
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
    command += ["--connections", "100", "--idle-seconds", "1", "--items", "50000"]
    done = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert result["machine"]["date"] == "2026-01-31"
    for table in (result["clicks"]["c64"], result["clicks"]["c256"]):
        sides = {row["side"] for row in table["rows"]}
        assert sides == {"tallybook", "tallybook ack=redis", "gin-memory", "gin-redis", "fiber-memory"}
        for name in ("vs_gin_redis", "vs_gin_memory", "vs_fiber_memory", "ack_redis_vs_gin_redis", "p99_vs_gin_redis"):
            assert table[name] > 0
        for name in ("vs_gin_memory", "cpu_vs_gin_memory", "vs_fiber_memory"):
            assert table["browser"][name] > 0
    for table in (result["hits"]["c64"], result["hits"]["c256"]):
        assert table["vs_node"] > 0
        assert table["cpu_vs_node"] > 0
    for connections in ("c64", "c256"):
        assert result["links"][connections]["vs_clicks"] > 0
        assert result["collect"][connections]["vs_bulk"] > 0
        assert result["collect"][connections]["view_vs_hit"] > 0
    for name in ("health", "day_read", "upload", "click_p99"):
        assert result["others"][name]["vs_granian"] > 0
    assert result["others"]["idle_connection_kb"] >= 0
    assert result["idle"]["cpu_percent"] >= 0
    assert result["idle"]["memory_mb"] > 0
    assert set(result["idle"]["calls_per_s"]) == {"redis", "postgres", "clickhouse"}
    assert result["bulk"]["clicks_per_s"] > 0
    assert result["read"]["vs_bare_query"] > 0
    assert result["flush"]["rows_per_s"] > 0
    assert result["web"]["by_source_vs_bare"] > 0
