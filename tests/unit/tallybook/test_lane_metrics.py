"""The lanes' own figures: sums that only grow, and the age of what waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.counting.lane import Lane
from tallybook.metrics.lanes import LaneCollector


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "lanes"
    path.mkdir()
    return path


@pytest.fixture
def lane(folder: Path) -> Iterator[Lane]:
    made = Lane.acquire(folder, minute_s=60, pages=5, entries=2)
    yield made
    made.close()


def figures(collector: LaneCollector) -> dict[str, float]:
    """name -> value of every sample."""
    return {sample.name: sample.value for family in collector.collect() for sample in family.samples}


def test_a_folder_without_lanes_shows_zeros(tmp_path: Path) -> None:
    shown = figures(LaneCollector(tmp_path / "nowhere"))
    assert set(shown.values()) == {0.0}
    assert len(shown) == 6


def test_accepted_and_drained_clicks_are_summed(folder: Path, lane: Lane) -> None:
    with_second = Lane.acquire(folder, minute_s=60, pages=5, entries=2)
    lane.add("1", 5)
    lane.seal()
    lane.add("1", 2)
    with_second.add("7", 10)
    lane.free(lane.tail)
    shown = figures(LaneCollector(folder))
    with_second.close()
    assert shown["tallybook_clicks_accepted_total"] == 17
    assert shown["tallybook_clicks_drained_total"] == 5
    assert shown["tallybook_lane_clicks"] == 12
    assert shown["tallybook_lanes"] == 2


def test_the_fullest_lane_is_shown(folder: Path, lane: Lane) -> None:
    other = Lane.acquire(folder, minute_s=60, pages=5, entries=2)
    for banner in "1234567":
        lane.add(banner)
    shown = figures(LaneCollector(folder))
    other.close()
    assert shown["tallybook_lane_fill_ratio"] == 3 / 4


def test_totals_never_fall_when_a_lane_file_goes(folder: Path, lane: Lane) -> None:
    collector = LaneCollector(folder)
    lane.add("1", 9)
    assert figures(collector)["tallybook_clicks_accepted_total"] == 9
    lane.path.unlink()
    shown = figures(collector)
    assert shown["tallybook_clicks_accepted_total"] == 9
    assert shown["tallybook_lanes"] == 0
    successor = Lane.acquire(folder, minute_s=60, pages=5, entries=2)
    successor.add("1", 4)
    shown = figures(collector)
    successor.close()
    assert shown["tallybook_clicks_accepted_total"] == 13


def test_the_age_grows_while_nothing_moves_and_starts_again_when_it_does(folder: Path, lane: Lane) -> None:
    clock = Clock()
    collector = LaneCollector(folder, clock)
    lane.add("1")
    lane.seal()
    lane.add("2")
    assert figures(collector)["tallybook_lane_drain_age_seconds"] == 0
    clock.now += 30
    assert figures(collector)["tallybook_lane_drain_age_seconds"] == 30
    lane.free(lane.tail)
    clock.now += 1
    assert figures(collector)["tallybook_lane_drain_age_seconds"] == 0
    clock.now += 5
    assert figures(collector)["tallybook_lane_drain_age_seconds"] == 5


def test_a_lane_without_clicks_has_no_age(folder: Path, lane: Lane) -> None:
    clock = Clock()
    collector = LaneCollector(folder, clock)
    collector.sample()
    clock.now += 100
    assert figures(collector)["tallybook_lane_drain_age_seconds"] == 0
    lane.add("1")
    assert figures(collector)["tallybook_lane_drain_age_seconds"] == 0


def test_files_that_are_no_lanes_are_passed_over(folder: Path, lane: Lane) -> None:
    lane.add("1")
    (folder / "8.lane").write_bytes(b"")
    (folder / "9.lane").write_bytes(b"\xff" * 10_000)
    assert figures(LaneCollector(folder))["tallybook_lanes"] == 1


def test_lanes_that_cannot_be_read_keep_their_figures_and_are_logged_once(
    folder: Path, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = LaneCollector(folder)
    lane.add("1", 3)
    collector.sample()

    def broken(_: object) -> list[object]:
        raise OSError("input/output error")

    with monkeypatch.context() as patch, capture_logs() as lines:
        patch.setattr("shared.counting.fleet.Fleet.views", broken)
        assert figures(collector)["tallybook_clicks_accepted_total"] == 3
        collector.sample()
        assert [line["event"] for line in lines] == ["lanes_unreadable"]
    lane.add("1", 1)
    assert figures(collector)["tallybook_clicks_accepted_total"] == 4
