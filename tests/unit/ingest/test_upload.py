"""What an upload holds: each item is read and judged by itself, whatever its neighbours are."""

import gzip
import json
import os
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.events.upload import Result, Uploaded, unpacked
from ingest.http.json_array import LOOKS_MAX, items_of
from shared.errors import Invalid, Malformed, TooLarge
from shared.settings import Settings
from tests.harness.subjects.events import event

#: Texts that are no JSON, and the codes of events that have them as a property.
BAD = {
    b'"\\ud800"': "malformed",
    b"NaN": "malformed",
    b"tru": "malformed",
    b"1.": "malformed",
    b'"\xff"': "malformed",
    b'"a\rb"': "malformed",
    b'"\\x,]"': "malformed",
    b"1e999": "invalid",
    b"[" * 100_000 + b"]" * 100_000: "too_deep",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: "too_deep",
}


def holding(value: bytes) -> bytes:
    """An event whose property has this text."""
    return json.dumps(event(properties={"x": "HERE"})).encode().replace(b'"HERE"', value)


def results(body: bytes, *, is_lines: bool = False) -> list[Result | None]:
    """What is known of each item before anything is stored; None of what can be taken."""
    return Uploaded(Settings(), body, is_lines=is_lines).results


@pytest.mark.parametrize("is_lines", [True, False])
def test_a_mark_before_an_upload_is_skipped_and_wider_encodings_are_one_error(is_lines: bool) -> None:
    whole = json.dumps(event()) + "\n" + json.dumps(event()) if is_lines else json.dumps([event(), event()])
    for text in (whole, whole.replace("view", "not a name", 1)):
        plain, marked = (results(text.encode(form), is_lines=is_lines) for form in ("utf-8", "utf-8-sig"))
        assert plain == marked
        assert len(plain) == 2
    for form in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
        with pytest.raises(Malformed, match="Send UTF-8"):
            results(whole.encode(form), is_lines=is_lines)


def test_no_explanation_has_a_word_of_the_client() -> None:
    """Answers under a key are kept, and what a client made up does not get smaller."""
    name = "x" * 50 + " - at `$.user_id"
    [good, bad] = results(json.dumps([event(), event(**{name: 1})]).encode())
    assert good is None
    assert bad is not None
    assert (bad.code, bad.pointer) == ("invalid", "/1")
    assert "xx" not in bad.detail
    assert "event_id, occurred_at, user_id, event_type, properties" in bad.detail


def test_a_pointer_ends_where_the_place_is_known() -> None:
    body = json.dumps([event(properties={"x": {"y": [0, "HERE"]}})]).replace('"HERE"', "1e999")
    [bad] = results(body.encode())
    assert bad == Result("rejected", "invalid", "/0/properties", "Number out of range")


# -- lines -------------------------------------------------------------------------------------------------------------


def test_what_becomes_of_a_line_does_not_depend_on_the_others() -> None:
    one, other = holding(b"1"), holding(b"2")
    spread = holding(b"4").replace(b", ", b",\n", 1)
    two = one + b" " + other
    for lines, good in [
        ([two], [False]),
        ([two, holding(b"3")], [False, True]),
        ([two, holding(b"NaN")], [False, False]),
        ([holding(b"3"), spread], [True, False, False]),
        ([two, spread, holding(b"3")], [False, False, False, True]),
        ([one + b"\r" + other], [False]),
        ([one + b"\v"], [False]),
        ([b" " + one + b" \r", b"", b" \t", other], [True, True]),
        ([one + b"\r", other + b"\r", b""], [True, True]),
        ([b"", b"\r"], []),
    ]:
        found = results(b"\n".join(lines), is_lines=True)
        assert [result is None for result in found] == good, lines


def test_lines_as_programs_write_them_are_read_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one takes half as long again."""
    monkeypatch.delattr(Uploaded, "_lines")
    for end in (b"\n", b"\r\n"):
        for last in (b"", end):
            assert results(end.join([holding(b"1"), holding(b"2")]) + last, is_lines=True) == [None, None]
    assert results(holding(b"1"), is_lines=True) == [None]


# -- arrays ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", BAD, ids=lambda value: value[:10].decode("latin1"))
@pytest.mark.parametrize("are_lines", [False, True])
def test_one_that_cannot_be_read_is_rejected_alone(value: bytes, are_lines: bool) -> None:
    items = [holding(b'"a,]}\\""'), holding(value), holding(b"[[],{}]")]
    body = b"\n".join(items) if are_lines else b" [" + b" ,\n".join(items) + b"]\n"
    first, bad, last = results(body, is_lines=are_lines)
    assert (first, last) == (None, None)
    assert bad is not None
    assert (bad.status, bad.code, bad.pointer.startswith("/1")) == ("rejected", BAD[value], True)
    assert bad.detail


def test_what_is_no_array_is_refused_with_the_reason_and_the_place() -> None:
    good = holding(b"1")
    for body, why in [
        (b"[" + good + b"," + good, "it ends too early"),
        (b"[" + good + b"]]", "trailing characters (byte"),
        (good, "Expected `array`, got `object`"),
        (b"\xef\xbb\xbf" * 2 + b"[]", "invalid character (byte 0)"),
        (b"[" * 100_000, "It has too many levels"),
        (b"[NaN,,1]", "invalid character (byte 1)"),
        (b"[NaN,1,]", "invalid character (byte 1)"),
        (b"[NaN,1}", "invalid character (byte 1)"),
        (b"[NaN,1]]", "invalid character (byte 1)"),
        (b'[NaN,"1]', "invalid character (byte 1)"),
        (b"[NaN,[" + b"[]" * LOOKS_MAX + b"]]", "invalid character (byte 1)"),
    ]:
        with pytest.raises(Malformed, match="The body has to be a JSON array of events") as caught:
            Uploaded(Settings(), body, is_lines=False)
        assert f"This one cannot be read: {why}" in caught.value.detail, body[:20]


def test_what_stands_between_two_commas_is_one_item() -> None:
    two = holding(b"1") + b" " + holding(b"2")
    [good, bad] = results(b"[" + holding(b"1") + b"," + two + b"]")
    assert good is None
    assert bad is not None
    assert (bad.code, bad.pointer) == ("malformed", "/1")
    assert bad.detail.startswith("This cannot be read as JSON: trailing characters (byte")


def test_i7_too_many_events_are_refused_however_they_look() -> None:
    for body in (b"[" + b"1," * 10 + b"1]", b"[" + b"NaN," * 1000 + b"1]"):
        with pytest.raises(Invalid, match="This upload has more than the 10 events"):
            Uploaded(Settings(events_max=10), body, is_lines=False)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.sampled_from('a"\\,:[]{} ☃'))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(st.lists(_JSON, min_size=1, max_size=6), st.sampled_from([None, 1]))
def test_an_array_is_taken_apart_as_a_reader_does(values: list[object], indent: int | None) -> None:
    array = json.dumps(values, indent=indent).encode()
    found = [item.strip() for item in items_of(array, 10)]
    assert found == [bytes(item).strip() for item in msgspec.json.decode(array, type=list[msgspec.Raw])]


# -- gzip --------------------------------------------------------------------------------------------------------------


def test_streams_behind_one_another_are_one_body() -> None:
    parts = [os.urandom(size) for size in (0, 1, 65_536, 100_000, 0, 7)]
    body = b"".join(gzip.compress(part, 1) for part in parts)
    assert unpacked(body, 165_544) == b"".join(parts)
    with pytest.raises(TooLarge):
        unpacked(body, 165_543)


def test_l4_the_bound_is_that_of_all_streams_together() -> None:
    with pytest.raises(TooLarge):
        unpacked(gzip.compress(b" " * 1000) * 11, 10_999)
    assert len(unpacked(gzip.compress(b" " * 1000) * 11, 11_000)) == 11_000


@pytest.mark.parametrize("rest", [b"x", b"\0", gzip.compress(b"a", mtime=0)[:-1], b"\x1f\x8b", zlib.compress(b"a")])
def test_l4_what_is_no_whole_stream_is_refused(rest: bytes) -> None:
    for before in (b"", gzip.compress(b"a")):
        with pytest.raises(Malformed):
            unpacked(before + rest, 1000)
    with pytest.raises(Malformed):
        unpacked(b"", 1000)
