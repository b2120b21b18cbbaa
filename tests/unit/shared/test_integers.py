"""Integers beyond 64 bits become texts of their digits, and nothing else changes."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.integers import fitted, fitted_lines

scalars = st.none() | st.booleans() | st.text(max_size=30) | st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**70), 2**70) | st.sampled_from([2**64, 2**64 - 1, -(2**63), -(2**63) - 1, 10**200])
looks = st.sampled_from(['":18446744073709551616,"', "\\", '\\"', "18446744073709551616"])
documents = st.recursive(
    scalars | numbers | looks,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | looks, inner, max_size=3),
    max_leaves=8,
)


def expected(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: expected(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [expected(inner) for inner in value]
    is_large = type(value) is int and not -(2**63) <= value <= 2**64 - 1
    return str(value) if is_large else value


@given(documents, st.sampled_from([None, 1]))
def test_what_does_not_fit_is_a_text_and_all_else_is_as_it_was(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert json.loads(fitted(text)) == expected(value)
    assert fitted(fitted(text)) == fitted(text)


def test_numbers_with_a_fraction_or_an_exponent_are_as_they_were() -> None:
    text = b"[123456789012345678901234.5, 123456789012345678901234e5, 0.123456789012345678901234, 1E30]"
    assert fitted(text) == text


@given(st.lists(documents, max_size=4))
def test_lines_are_as_each_of_them(values: list[Any]) -> None:
    texts = [json.dumps(value).encode() for value in values]
    assert fitted_lines(b"\n".join(texts)).split(b"\n") == ([fitted(text) for text in texts] or [b""])
