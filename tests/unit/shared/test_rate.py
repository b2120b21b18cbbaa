"""The interval of a rate, by the property that defines it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.counting.rate import Z, interval


@given(st.integers(1, 10**9).flatmap(lambda shown: st.tuples(st.integers(0, shown), st.just(shown))))
def test_the_ends_are_where_the_score_test_has_exactly_its_quantile(counts: tuple[int, int]) -> None:
    """|p - q| = z * sqrt(q (1 - q) / n) for both ends q (Wilson, 1927)."""
    clicks, shown = counts
    share = clicks / shown
    low, high = interval(clicks, shown)
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    for end in (low, high):
        assert math.isclose((share - end) ** 2, Z**2 * end * (1 - end) / shown, rel_tol=1e-6, abs_tol=1e-15)


def test_an_interval_of_known_counts() -> None:
    assert interval(12, 610) == pytest.approx((0.0113, 0.0341), abs=5e-5)
    assert interval(0, 10)[0] == 0.0
    assert interval(10, 10)[1] == 1.0
    assert {interval(0, shown)[0] for shown in range(1, 1000)} == {0.0}
