"""The number of a cell, and what it says again."""

from hypothesis import given
from hypothesis import strategies as st

from shared.counting import cells

kinds = st.integers(0, 7)
minutes = st.integers(0, 2**cells.MINUTE_BITS - 1)


@given(kinds, minutes)
def test_a_cell_gives_back_its_kind_and_its_minute(kind: int, minute: int) -> None:
    cell = cells.cell(kind, minute)
    assert (cells.kind_of(cell), cells.minute_of(cell)) == (kind, minute)
    assert (cells.kind_of(f"{cell}:0f"), cells.minute_of(f"{cell}:0f")) == (kind, minute)
    assert cell < 2**53


@given(minutes)
def test_the_cell_of_a_click_is_its_minute(minute: int) -> None:
    assert cells.cell(cells.CLICK, minute) == minute


@given(st.tuples(kinds, minutes), st.tuples(kinds, minutes))
def test_cells_of_different_kinds_or_minutes_are_different_and_sorted_by_kind(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (cells.cell(*one) < cells.cell(*other)) == (one < other)
