"""Waits double up to a cap, spread by jitter, and begin anew after a success."""

import pytest

from shared.runtime.backoff import Backoff

BOUNDS = (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (0.5, 1.0), (0.75, 1.25)])
def test_waits_double_up_to_a_cap_within_their_jitter(lowest: float, highest: float) -> None:
    waits: list[list[float]] = []
    for _ in range(500):
        backoff = Backoff(0.1, 1.0, (lowest, highest))
        waits.append([backoff.next_s() for _ in BOUNDS])
    for number, bound in enumerate(BOUNDS):
        of = [one[number] / bound for one in waits]
        assert lowest <= min(of) < lowest + 0.1
        assert highest - 0.1 < max(of) <= highest


def test_without_jitter_waits_are_exact() -> None:
    backoff = Backoff(0.1, 1.0, (1.0, 1.0))
    assert [backoff.next_s() for _ in BOUNDS] == list(BOUNDS)
    assert backoff.failures == len(BOUNDS)
    assert [backoff.after(failures) for failures in (0, 3, 10_000)] == [0.1, 0.8, 1.0]


def test_after_a_success_waits_begin_anew() -> None:
    backoff = Backoff(0.1, 10.0)
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.failures == 0
    assert backoff.next_s() <= 0.1
