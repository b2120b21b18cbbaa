"""Every rule of docs/security.md has a test of its id, or says that it is open."""

import re
from pathlib import Path

import pytest

from ingest.app import OPERATIONS

ROOT = Path(__file__).parents[3]
#: Groups of rules, and how many each has.
GROUPS = {"L": 9, "P": 5, "A": 6, "I": 9, "Q": 4, "O": 8, "B": 4, "R": 5, "V": 6, "S": 5, "D": 4}
IDS = [f"{group}{number}" for group, most in GROUPS.items() for number in range(1, most + 1)]
#: Rules of which nothing holds yet. The table says why.
OPEN = {"I9", "O2", "B4", "V3", "V5", "V6"}

RULES = {
    found[1]: (found[2], found[3])
    for found in re.finditer(r"^\| ([A-Z][0-9]) \| (.+) \| (.+) \|$", (ROOT / "docs/security.md").read_text(), re.M)
}
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
TESTS = set(re.findall(r"^(?:async )?def (test_\w+)\(", SOURCES, re.M))


def ids_of(test: str) -> list[str]:
    """The ids at the begin of a test's name: of `test_p1_p5_x`, P1 and P5."""
    found = re.match(r"test_((?:[a-z][0-9]_)*)", test)
    return found[1].upper().rstrip("_").split("_") if found and found[1] else []


def test_the_table_has_every_rule_once_and_in_order() -> None:
    assert list(RULES) == IDS


@pytest.mark.parametrize("rule", IDS)
def test_a_rule_has_a_test_of_its_id_or_is_open(rule: str) -> None:
    text, named = RULES[rule]
    of_rule = {test for test in TESTS if rule in ids_of(test)}
    if rule in OPEN:
        assert (named, of_rule) == ("open", set())
        assert "Open: " in text
    else:
        assert set(re.findall(r"`(test_\w+)`", named)) & of_rule


def test_an_id_in_the_name_of_a_test_is_one_of_a_rule() -> None:
    assert {one for test in TESTS for one in ids_of(test)} <= set(IDS)


# -- rules about what is not there -------------------------------------------------------------------------------------


def test_p2_the_server_reads_no_headers_of_proxies() -> None:
    for path in (ROOT / "ingest").rglob("*.py"):
        assert not re.search(r"granian\.utils|wrap_(asgi|wsgi)_with_proxy_headers", path.read_text()), path


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a4_no_library_that_takes_any_algorithm_is_pinned(name: str) -> None:
    assert not re.search(r"^(python-)?jose\b", (ROOT / name).read_text(), re.M)


def test_a6_no_route_operates_the_service() -> None:
    assert {(one.method, one.path) for one in OPERATIONS if one.method not in ("GET", "OPTIONS")} == {
        ("POST", "/stats"),
        ("POST", "/stats/{bannerId}"),
        ("POST", "/track"),
        ("POST", "/c"),
        ("POST", "/events"),
        ("POST", "/session"),
        ("DELETE", "/session"),
    }


def test_s3_the_framework_is_new_enough_and_serves_no_folder() -> None:
    found = re.search(r"^starlette==(\d+)\.(\d+)\.(\d+)", (ROOT / "requirements.txt").read_text(), re.M)
    assert found is not None
    assert tuple(map(int, found.groups())) >= (1, 3, 1)
    for path in (ROOT / "ingest").rglob("*.py"):
        assert not re.search(r"StaticFiles|FileResponse|\.form\(|debug=True", path.read_text()), path
