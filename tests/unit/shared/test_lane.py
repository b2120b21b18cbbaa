"""The lane keeps every click it said yes to, whatever happens to its worker."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shared.counting.lane as lane_module
from shared.counting.fleet import Fleet
from shared.counting.lane import BANNER_MAX, Lane, banner_id, paths
from shared.settings import SettingsError
from tests.harness.subjects.lane_kills import MUTANTS, SIZE

ROOT = Path(__file__).parents[3]


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    made = Lane.acquire(tmp_path, **SIZE)
    yield made
    made.close()


def drain(lane: Lane) -> Counter[int]:
    """What the lane holds, taken out the way the drain does."""
    taken: Counter[int] = Counter()
    while lane.tail < lane.head or lane.seal():
        page = lane.page(lane.tail)
        for banner, count in zip(page.banners, page.counts, strict=True):
            taken[banner] += count
        lane.free(lane.tail)
    return taken


def test_a_lane_is_not_taken_with_fewer_shards_than_it_began_with(tmp_path: Path) -> None:
    """Its pages would go to shards that nobody flushes."""
    Lane.acquire(tmp_path, **SIZE, shards=4).close()
    message = (
        f"TALLYBOOK_SHARDS=1 is less than the 4 that lanes in {tmp_path} began with: set it to 4 or more, and never "
        "lower it."
    )
    with pytest.raises(SettingsError, match=re.escape(message)):
        Lane.acquire(tmp_path, **SIZE, shards=1)
    with pytest.raises(SettingsError, match=re.escape(message)):
        Lane.adopt(tmp_path / "0.lane", minute_s=60, shards=1)
    with pytest.raises(SettingsError, match=re.escape(message)):
        Fleet(tmp_path).check_shards(1)
    Fleet(tmp_path).check_shards(4)
    more = Lane.acquire(tmp_path, **SIZE, shards=5)  # it is still there, whole and free
    assert (more.path.name, more.shards) == ("0.lane", 4)
    more.close()


@pytest.mark.parametrize("text", ["1", "42", str(BANNER_MAX)])
def test_canonical_ids_are_banners(text: str) -> None:
    assert banner_id(text) == int(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        "1e3",
        "1.0",
        " 1",
        "1 ",
        "1_0",
        "１２３",
        "²",
        str(BANNER_MAX + 1),
        "9" * 20,
        "a",
        "\0",
    ],
)
def test_i3_anything_but_a_canonical_decimal_is_no_banner(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the client's
        banner_id(text)


def test_clicks_add_up_over_pages(lane: Lane) -> None:
    for banner in ("1", "2", "1", "3", "1"):
        assert lane.add(banner)
    assert lane.accepted() == 5
    assert drain(lane) == {1: 3, 2: 1, 3: 1}
    assert (lane.drained(), lane.pending()) == (5, 0)


def test_a_full_ring_says_no_and_keeps_what_it_has(lane: Lane) -> None:
    accepted = [banner for banner in range(1, 20) if lane.add(str(banner))]
    assert len(accepted) == SIZE["entries"] * SIZE["pages"]
    assert lane.add(str(accepted[-1]))  # it has a slot in the last page
    assert sum(drain(lane).values()) == lane.accepted()


def test_many_clicks_are_taken_all_or_not_at_all(lane: Lane) -> None:
    assert lane.add("1")
    assert not lane.add_all({(7, banner): 2 for banner in range(1, 7)})
    assert lane.accepted() == 1
    assert lane.add_all({(7, banner): 2 for banner in range(1, 6)})
    assert not lane.add_all({(8, 1): 1})
    assert drain(lane) == {1: 3, 2: 2, 3: 2, 4: 2, 5: 2}


def test_the_gate_is_asked_before_a_banner_gets_a_slot(lane: Lane) -> None:
    def refuse(minute: int, banner: int) -> None:
        if banner == 666:
            raise PermissionError

    lane.gate = refuse
    assert lane.add("1")
    with pytest.raises(PermissionError):
        lane.add("666")
    assert lane.accepted() == 1


def test_an_adopted_lane_goes_on_where_its_owner_died(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_click_and_die, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    heir = Lane.acquire(tmp_path, **SIZE)
    assert heir.path.name == "0.lane"
    assert heir.add("9")
    assert drain(heir) == {5: 2, 6: 1, 9: 1}
    heir.close()


def _click_and_die(folder: Path) -> None:
    lane = Lane.acquire(folder, **SIZE)
    for banner in ("5", "6", "5"):
        lane.add(banner)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_held_lane_is_not_adopted(lane: Lane, tmp_path: Path) -> None:
    assert Lane.adopt(lane.path, minute_s=60) is None
    other = Lane.acquire(tmp_path, **SIZE)
    assert other.path != lane.path
    other.close()


def test_a_copy_is_put_aside(lane: Lane, tmp_path: Path) -> None:
    shutil.copy(lane.path, copy := tmp_path / "7.lane")
    assert Lane.adopt(copy, minute_s=60) is None
    assert not copy.exists()
    assert len(list(tmp_path.glob("7.lane.bad-*"))) == 1
    assert lane.path.exists()


def test_a_lane_of_a_host_that_went_down_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_click_and_die, args=(tmp_path,))
    child.start()
    child.join()
    monkeypatch.setattr(lane_module, "boot_id", lambda: (1, 2))
    assert Lane.adopt(tmp_path / "0.lane", minute_s=60) is None
    assert paths(tmp_path) == []
    assert len(list(tmp_path.glob("0.lane.bad-*"))) == 1


def test_a_cleanly_closed_lane_survives_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Lane.acquire(tmp_path, **SIZE)
    first.add("4")
    first.close()
    monkeypatch.setattr(lane_module, "boot_id", lambda: (1, 2))
    heir = Lane.acquire(tmp_path, **SIZE)
    assert drain(heir) == {4: 1}
    heir.close()


def test_views_show_what_the_owner_counts(lane: Lane, tmp_path: Path) -> None:
    lane.add("3")
    (tmp_path / "8.lane").write_bytes(b"no lane at all")
    (view,) = Fleet(tmp_path).views()
    lane.add("3")
    assert (view.accepted(), view.drained(), view.pending()) == (2, 0, 2)
    assert [(seq, page.banners, page.counts) for seq, page in view.waiting()] == [(1, [3], [2])]
    view.close()


def test_a_deleted_file_is_noticed(lane: Lane) -> None:
    assert lane.is_linked()
    lane.path.unlink()
    assert not lane.is_linked()


# -- kill -9 before every bytecode: see tests/harness/subjects/lane_kills.py
# ------------------------------------------------------------


def killed(*mutant: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.harness.subjects.lane_kills", *mutant]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.beside
def test_a_kill_before_any_bytecode_loses_and_doubles_nothing() -> None:
    result = killed()
    assert result["points"] > 1000
    assert not result["faults"]


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_lane_that_stores_in_another_order_is_caught(mutant: str) -> None:
    assert killed(mutant)["faults"]
