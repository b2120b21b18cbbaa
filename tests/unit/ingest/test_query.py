"""Parameters of a query are known, given once, and read without surprises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from ingest.http.query import flag, integer, query, quoted
from shared.errors import Invalid, Malformed


def request(text: bytes) -> Request:
    return Request({"type": "http", "query_string": text, "headers": []})


def test_parameters_are_a_mapping() -> None:
    assert query(request(b"a=1&b=%2B+x&c="), ["a", "b", "c"]) == {"a": "1", "b": "+ x", "c": ""}


def test_l5_a_repeated_parameter_is_malformed() -> None:
    with pytest.raises(Malformed, match="more than once") as caught:
        query(request(b"a=1&a=1"), ["a"])
    assert caught.value.errors[0]["parameter"] == "a"


def test_an_unknown_parameter_is_told_the_known_ones() -> None:
    with pytest.raises(Malformed, match="It takes a, b"):
        query(request(b"A=1"), ["b", "a"])


@given(st.binary(max_size=200))
def test_no_query_is_more_than_malformed(text: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        query(request(b"unknown=1&" + text), [])
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), ("1000", 1000)])
def test_integers_are_read(text: str, value: int) -> None:
    assert integer({"n": text}, "n", 0, 1000, 5) == value


@pytest.mark.parametrize(
    "text", ["", "01", "+1", "-1", " 1", "1 ", "1_0", "１", "1.0", "1e2", "0x1", "1\n", "9" * 5000]
)
def test_i3_what_is_no_plain_decimal_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match="decimal integer"):
        integer({"n": text}, "n", 0, 1000, 5)


def test_integers_out_of_bounds_are_invalid_and_told_the_bounds() -> None:
    with pytest.raises(Invalid, match="from 0 to 1,000"):
        integer({"n": "1001"}, "n", 0, 1000, 5)


def test_flags_are_true_false_or_not_given() -> None:
    assert [flag({"f": "true"}, "f"), flag({"f": "false"}, "f"), flag({}, "f")] == [True, False, False]
    for text in ("", "1", "TRUE", "yes"):
        with pytest.raises(Invalid, match="true, false"):
            flag({"f": text}, "f")


@given(st.text())
def test_o8_what_an_error_repeats_is_short_and_printable(text: str) -> None:
    shown = quoted(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 10 * 45
