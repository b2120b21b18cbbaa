"""The record path under attack, over both logs, and the proof that the attack can fail: every mutant is hunted down."""

import os
import re

import pytest

from tests.chaos.records.mutants import RECORD_MUTANTS
from tests.chaos.records.run import LOGS, MUTANT_S, attack, hunt
from tests.harness.process import ROOT

pytestmark = pytest.mark.slow

#: Seconds of attack. `make chaos-records SECONDS=600` is the long one.
_SECONDS = 25.0
#: A fixed one; CHAOS_SEED is another.
_SEED = int(os.environ.get("CHAOS_SEED", "4"))


@pytest.mark.timeout(_SECONDS + 200)
@pytest.mark.parametrize("log", LOGS)
def test_every_record_is_in_one_place_whatever_happens(log: str) -> None:
    report = attack(_SECONDS, _SEED, log)
    told = "\n".join(report.lines())
    print(told)
    assert not report.violations, told
    assert not report.proves_nothing, told


@pytest.mark.timeout(MUTANT_S + 150)
@pytest.mark.parametrize("name", RECORD_MUTANTS)
def test_a_broken_record_path_is_caught(name: str) -> None:
    report = hunt(name, _SEED)
    assert report.is_caught, "\n".join(report.lines())


def test_every_mutant_of_the_record_path_is_described() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text().partition("## Records")[2]
    assert set(re.findall(r"^\| \*\*(.+?)\*\* \|", text, re.MULTILINE)) == set(RECORD_MUTANTS)
