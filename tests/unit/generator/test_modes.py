"""Paces: how many events there are when, counted over hours of the generator's own clock."""

import math
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from generator.traffic.modes import CURVE, Day, Regular, busyness, made
from generator.traffic.profile import Profile

#: Midnight in UTC.
MIDNIGHT_S = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def due(mode: str, until_s: float, seed: int = 1, begin_s: float = MIDNIGHT_S, **profile: Any) -> list[float]:
    """Instants from `begin_s` on, for so many seconds."""
    pace = made(mode, Profile(**profile), Random(seed), begin_s)
    found, at_s = [], pace.next(begin_s)
    while at_s < begin_s + until_s:
        found.append(at_s)
        at_s = pace.next(at_s)
    return found


@pytest.mark.parametrize("mode", ["regular", "bursts", "night", "max", "day"])
def test_a_pace_moves_on_and_is_the_same_for_the_same_chance(mode: str) -> None:
    instants = due(mode, 300 if mode != "max" else 0.05)
    assert instants == due(mode, 300 if mode != "max" else 0.05)
    assert all(one < other for one, other in pairwise(instants))


def test_regular_follows_the_hours_between_its_two_rates() -> None:
    instants = due("regular", 86_400)
    for hour in range(24):
        begin_s = MIDNIGHT_S + hour * 3600
        count = sum(begin_s <= at_s < begin_s + 3600 for at_s in instants)
        expected = 3600 * (1 + 9 * (CURVE[hour] + CURVE[(hour + 1) % 24]) / 2)
        assert abs(count - expected) <= 5 * math.sqrt(expected), hour


def test_regular_without_the_hours_has_one_rate() -> None:
    count = len(due("regular", 3600, is_diurnal=False, regular_low_per_s=2.0, regular_high_per_s=6.0))
    assert abs(count - 14_400) <= 5 * math.sqrt(14_400)


def test_the_hours_are_those_of_the_zone() -> None:
    evening = datetime(2026, 11, 21, 20, tzinfo=ZoneInfo("America/New_York")).timestamp()
    assert busyness(evening, ZoneInfo("America/New_York")) == 1.0
    assert busyness(evening, ZoneInfo("UTC")) < 0.3
    assert Regular(Profile(zone="America/New_York"), Random(1)).rate(evening) == 10.0


def test_bursts_are_100_to_1000_within_two_seconds_and_nothing_between() -> None:
    instants = due("bursts", 3600)
    sizes = []
    for number in range(60):
        begin_s = MIDNIGHT_S + number * 60
        burst = [at_s for at_s in instants if begin_s <= at_s < begin_s + 60]
        assert all(at_s <= begin_s + 2 for at_s in burst)
        sizes.append(len(burst))
    assert sum(sizes) == len(instants)
    assert 100 <= min(sizes) < 300
    assert 800 < max(sizes) <= 1000


def test_bursts_begin_at_once_and_take_other_bounds() -> None:
    begin_s = MIDNIGHT_S + 17.3
    instants = due("bursts", 29, begin_s=begin_s, burst_low=5, burst_high=5, burst_window_s=1.0, burst_every_s=10.0)
    assert [int((at_s - begin_s) // 10) for at_s in instants] == [0] * 5 + [1] * 5 + [2] * 5
    assert all((at_s - begin_s) % 10 <= 1 for at_s in instants)


def test_night_has_one_in_each_ten_seconds() -> None:
    slots = [int((at_s - MIDNIGHT_S) // 10) for at_s in due("night", 3600)]
    assert slots == list(range(1, 360))


def test_night_is_at_random_moments() -> None:
    parts = [at_s % 10 for at_s in due("night", 36_000)]
    assert abs(sum(parts) / len(parts) - 5) < 5 * 10 / math.sqrt(12 * len(parts))


def test_max_has_a_step_of_its_own() -> None:
    instants = due("max", 0.1, max_step_ms=2.0)
    assert len(instants) in (49, 50)
    assert all(math.isclose(other - one, 0.002, abs_tol=1e-6) for one, other in pairwise(instants))


def test_a_day_takes_each_mode_in_its_time() -> None:
    schedule = "00:00 night, 02:00 regular, 03:00 bursts, 04:00 night"
    instants = due("day", 5 * 3600, schedule=schedule)
    hours = [sum(hour * 3600 <= at_s - MIDNIGHT_S < (hour + 1) * 3600 for at_s in instants) for hour in range(5)]
    assert all(abs(hours[hour] - 360) <= 2 for hour in (0, 1, 4))
    assert 3600 < hours[2] < 36_000
    assert 60 * 100 <= hours[3] <= 60 * 1000


def test_a_schedule_goes_on_over_midnight_in_its_zone() -> None:
    day = Day(Profile(schedule="07:00 regular, 23:00 night", zone="Europe/Berlin"), Random(1))
    berlin = ZoneInfo("Europe/Berlin")
    mode, until_s = day.at(datetime(2026, 11, 21, 1, tzinfo=berlin).timestamp())
    assert (mode, datetime.fromtimestamp(until_s, berlin).hour) == ("night", 7)
    mode, until_s = day.at(datetime(2026, 11, 21, 23, 30, tzinfo=berlin).timestamp())
    assert (mode, datetime.fromtimestamp(until_s, berlin).isoformat()) == ("night", "2026-11-22T07:00:00+01:00")


@pytest.mark.parametrize("date", [(2026, 3, 29), (2026, 10, 25)])
def test_a_day_ends_also_when_the_clocks_change(date: tuple[int, int, int]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    day = Day(Profile(schedule="00:00 night, 02:30 regular, 03:30 bursts", zone=zone.key), Random(1))
    at_s, end_s = datetime(*date, tzinfo=zone).timestamp(), datetime(*date, 12, tzinfo=zone).timestamp()
    modes = []
    while at_s < end_s:
        mode, at_s = day.at(at_s)
        modes.append(mode)
    assert modes[0] == "night"
    assert modes[-1] == "bursts"
    assert len(modes) < 50
