"""Cursors hold a place and belong to one question; nothing else passes for one."""

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from ingest.http.cursor import CHARACTERS_MAX, digest_of, packed, unpacked
from shared.errors import Malformed


class Place(NamedTuple):
    """A place of two columns."""

    at: datetime
    name: str


Bounded = Annotated[int, Meta(ge=1, le=9)]
DIGEST = digest_of({"q": "a"}, ("q",))

places = st.builds(Place, st.datetimes(timezones=st.just(UTC)), st.text(max_size=40))


@given(places)
def test_a_place_is_read_back(place: Place) -> None:
    text = packed(place, DIGEST)
    assert text.isascii()
    assert unpacked({"cursor": text}, DIGEST, Place) == place


def test_without_a_cursor_there_is_no_place() -> None:
    assert unpacked({"q": "a"}, DIGEST, Place) is None


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_malformed(text: str) -> None:
    with pytest.raises(Malformed, match=r"^cursor is none"):
        unpacked({"cursor": text}, DIGEST, Place)


@pytest.mark.parametrize("place", [0, 10, "1", None, [1], 2**70])
def test_a_place_of_another_kind_is_malformed(place: Any) -> None:
    text = packed(place, DIGEST) if place != 2**70 else "A" * (CHARACTERS_MAX + 4)
    with pytest.raises(Malformed):
        unpacked({"cursor": text}, DIGEST, Bounded)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["=", "A", " ", "\n"])
def test_a_cursor_has_one_spelling(change: str) -> None:
    with pytest.raises(Malformed):
        unpacked({"cursor": packed(5, DIGEST) + change}, DIGEST, int)


def test_a_cursor_of_another_question_says_what_has_to_stay() -> None:
    other = digest_of({"q": "b"}, ("q",))
    assert digest_of({}, ("q",)) not in (DIGEST, other)
    with pytest.raises(Malformed, match=r"another question: q, ids have to stay"):
        unpacked({"cursor": packed(5, other)}, DIGEST, int, ("q", "ids"))
