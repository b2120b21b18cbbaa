"""The counter under attack, and the proof that the attack can fail: a short run, and every mutant hunted down."""

import os
import re

import pytest

from tests.chaos.clicks.mutants import MUTANTS
from tests.chaos.clicks.run import CRASH, MUTANT_S, attack, hunt
from tests.chaos.records import run
from tests.harness.process import ROOT

pytestmark = pytest.mark.slow

#: The tests that arm what these runs do not.
ARMED_BY = {
    "migrating": "tests/chaos/clicks/test_start.py",
    "published": "tests/integration/aggregator/test_page_views_kafka.py",
}
ARMED_BY |= dict.fromkeys(
    ("import_noted", "import_sifted", "import_inserted"), "tests/integration/tallybook/test_event_import.py"
)
#: Seconds of attack. `make chaos SECONDS=600` is the long one.
_SECONDS = 30.0


@pytest.fixture
def seed() -> int:
    """Printed with every failure; CHAOS_SEED repeats one."""
    return int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(2)))


@pytest.mark.timeout(_SECONDS + 150)
def test_every_promise_holds_under_every_fault(seed: int) -> None:
    report = attack(_SECONDS, seed)
    told = "\n".join(report.lines())
    print(told)
    assert not report.violations, told
    assert not report.proves_nothing, told


@pytest.mark.timeout(MUTANT_S + 60)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_counter_is_caught(name: str, seed: int) -> None:
    report = hunt(name, seed)
    assert report.is_caught, "\n".join(report.lines())


def test_every_crash_point_is_armed() -> None:
    sources = [
        path for folder in ("shared", "ingest", "aggregator", "tallybook") for path in (ROOT / folder).rglob("*.py")
    ]
    points = {point for path in sources for point in re.findall(r'crash_point\("(\w+)"\)', path.read_text())}
    assert points == CRASH.keys() | run.CRASH.keys() | ARMED_BY.keys()
    for point, test in ARMED_BY.items():
        assert f'"{point}"' in (ROOT / test).read_text() or f"{point}=" in (ROOT / test).read_text()


def test_every_mutant_of_the_protocol_is_there() -> None:
    text = (ROOT / "docs" / "counting.md").read_text()
    section = text.partition("## 7. Mutants")[2].partition("\n## ")[0]
    assert set(re.findall(r"\*\*(.+?)\*\*", " ".join(section.split()))) == set(MUTANTS)
