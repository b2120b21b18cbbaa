"""Events before they are rows: what is taken, what is refused, and that nothing that is sent breaks the reader."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.events.upload import Uploaded, unpacked
from shared.errors import TallybookError
from shared.events.rows import FUTURE_S, ID, Cut, Event, Packer, Unfit, blocks, named, placed, rows_of
from shared.settings import Settings

SETTINGS = Settings()
NOW_MS = 1_795_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def made(**fields: Any) -> Event:
    """An event of now."""
    return Event(**{"event_id": uuid.UUID(int=7), "occurred_at": NOW, "user_id": "u", "event_type": "view"} | fields)


def row(event: Event) -> bytes:
    """Its row."""
    return Packer(SETTINGS, NOW_MS).row(event)


def uuid_of(identity: bytes) -> uuid.UUID:
    """An id as ClickHouse keeps it: two halves, each of them little-endian."""
    return uuid.UUID(bytes=identity[7::-1] + identity[:7:-1])


def parts(data: bytes) -> tuple[int, int, uuid.UUID, str, str, dict[str, Any], int]:
    """A row read as ClickHouse reads RowBinary."""
    texts, at = [], 26
    for _ in range(3):
        length = shift = 0
        while True:
            byte = data[at]
            at, length, shift = at + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        texts.append(data[at : at + length].decode())
        at += length
    assert len(data) == at + 8
    day, ms = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:10], "little", signed=True)
    return day, ms, uuid_of(data[ID]), texts[0], texts[1], json.loads(texts[2]), int.from_bytes(data[at:], "little")


@given(
    st.uuids(),
    st.datetimes(datetime(2022, 1, 1), datetime(2026, 11, 1)),  # noqa: DTZ001 - the zone is put to it
    st.integers(-14 * 60, 14 * 60),
    st.text(min_size=1, max_size=128),
    st.dictionaries(st.text(max_size=8), json_values, max_size=5),
)
def test_a_row_says_what_the_event_said(
    event_id: uuid.UUID, moment: datetime, zone: int, user: str, properties: dict[str, Any]
) -> None:
    at = moment.replace(tzinfo=timezone(timedelta(minutes=zone)))
    try:
        found = parts(row(made(event_id=event_id, occurred_at=at, user_id=user, properties=properties)))
    except Unfit as unfit:
        assert unfit.code in ("too_deep", "too_many", "too_large")  # noqa: PT017 - either way is right
        return
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ms = (at - epoch) // timedelta(milliseconds=1)
    assert found == (ms // 86_400_000, ms, event_id, user, "view", properties, NOW_MS)
    assert found[0] == (at.astimezone(UTC).date() - epoch.date()).days


def test_a_name_is_the_same_whenever_and_in_whatever_order_the_content_comes() -> None:
    one = row(made(properties={"a": 1, "b": {"c": 2, "d": 3}}))
    later = Packer(SETTINGS, NOW_MS + 5).row(made(properties={"b": {"d": 3, "c": 2}, "a": 1}))
    assert one != later
    assert named(one) == named(later)
    for change in (
        {"user_id": "x"},
        {"event_type": "x"},
        {"properties": {"a": 2}},
        {"occurred_at": NOW - timedelta(milliseconds=1)},
    ):
        assert named(row(made(**change))) != named(row(made()))
    assert named(one)[:16] == one[ID]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"occurred_at": NOW - timedelta(days=SETTINGS.event_past_days, milliseconds=1)}, "too_old"),
        ({"occurred_at": NOW + timedelta(seconds=FUTURE_S, milliseconds=1)}, "in_future"),
        ({"event_type": "view\n"}, "invalid"),
        ({"properties": {"a": {"b": {"c": {"d": {}}}}}}, "too_deep"),
        ({"properties": {"a": [[[[]]]]}}, "too_deep"),
        ({"properties": {"a": list(range(64))}}, "too_many"),
        ({"properties": dict.fromkeys(map(str, range(65)))}, "too_many"),
        ({"properties": {"a": "x" * 8192}}, "too_large"),
    ],
)
def test_bounds(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Unfit) as unfit:
        row(made(**fields))
    assert unfit.value.code == code


def test_what_lies_on_a_bound_is_taken() -> None:
    for days, seconds in ((SETTINGS.event_past_days, 0), (0, -FUTURE_S)):
        row(made(occurred_at=NOW - timedelta(days=days, seconds=seconds)))
    row(made(properties={"a": {"b": {"c": {"d": 1}}}}))
    row(made(properties={"a": list(range(63))}))
    row(made(properties={"a": "x" * (8192 - 8)}))


@given(
    st.lists(st.tuples(st.uuids(), st.text(min_size=1, max_size=20)), min_size=1, max_size=30),
    st.integers(1, 9),
    st.integers(1, 300),
)
def test_blocks_hold_the_rows_in_order(events: list[tuple[uuid.UUID, str]], rows_max: int, bytes_max: int) -> None:
    rows = [row(made(event_id=one, user_id=user)) for one, user in events]
    made_of = list(blocks(rows, Cut(rows_max, bytes_max)))
    assert [one for _, block in made_of for one in rows_of(block)] == rows
    for key, block in made_of:
        held = rows_of(block)
        assert key == held[0][ID]
        assert len(held) == 1 or (len(held) <= rows_max and sum(map(len, held)) <= bytes_max)


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_block_is_refused(noise: bytes, at: int, change: int) -> None:
    block = bytearray(next(blocks([row(made()), row(made(user_id="v"))], Cut(10, 1000)))[1])
    block[at % len(block)] ^= change
    for one in (noise, bytes(block), bytes(block[:-1])):
        with pytest.raises(ValueError, match="block"):
            rows_of(one)


def test_places_follow_the_rows() -> None:
    assert placed([b"a", b"b"], 1, 2, 3) == [
        b"a\x01\x00" + b"\x02" + b"\x00" * 7 + b"\x03\x00\x00\x00",
        b"b\x01\x00" + b"\x02" + b"\x00" * 7 + b"\x04\x00\x00\x00",
    ]


# -- bodies ------------------------------------------------------------------------------------------------------------

almost = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.uuids().map(str) | json_values,
        "occurred_at": st.just(datetime.fromtimestamp(time.time(), UTC).isoformat()) | json_values,
        "user_id": st.text(max_size=130) | json_values,
        "event_type": st.sampled_from(["view", "a b", ""]) | json_values,
        "properties": json_values,
        "more": json_values,
    },
)


@given(st.binary(max_size=300) | st.lists(almost | json_values, max_size=6).map(msgspec.json.encode), st.booleans())
def test_whatever_comes_has_results_or_is_refused(body: bytes, is_lines: bool) -> None:
    try:
        upload = Uploaded(SETTINGS, body, is_lines=is_lines)
    except TallybookError as error:
        assert error.status in (400, 422)  # noqa: PT017 - either way is right
        return
    taken = set(upload.places)
    assert len(upload.rows) == len(upload.names) == len(taken) == len(upload.places)
    for place, result in enumerate(upload.results):
        assert (result is None) == (place in taken)
    assert len({name[:16] for name in upload.names}) == len(upload.names)


@given(st.binary(max_size=200))
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(TallybookError):
        unpacked(body, 1000)
