"""A packed hit: what it holds comes back as a text, and what is damaged in it is noticed."""

import json
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import addresses
from shared.events.rows import sized
from shared.hit import id_bytes, is_packed, packed, row_of, text_of

TEXT = st.text(max_size=300)
IDS = st.integers(0, 2**128 - 1)


def hit(epoch_ms: int, ip: str, tracker: int, user: int, event: int, texts: list[str], *, is_bot: bool) -> bytes:
    ids = (id_bytes(UUID(int=one).bytes) for one in (tracker, user))
    written = b"".join(sized(text.encode()) for text in texts)
    return packed(epoch_ms, addresses.packed(ip), *ids, event, written, is_bot=is_bot)


WHOLE = hit(1_796_040_897_581, "203.0.113.9", 1, 2, 3, ["agent " * 40, "https://t.example/?a=b", "ä"], is_bot=True)


@given(
    st.integers(0, 4_000_000_000_000),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    IDS,
    IDS,
    IDS,
    st.lists(TEXT, min_size=3, max_size=3),
    st.booleans(),
)
def test_a_packed_hit_says_what_its_text_says(
    epoch_ms: int,
    ip: IPv4Address | IPv6Address,
    tracker: int,
    user: int,
    event: int,
    texts: list[str],
    is_bot: bool,
) -> None:
    record = hit(epoch_ms, str(ip), tracker, user, event, texts, is_bot=is_bot)
    assert is_packed(record)
    assert row_of(record) == record[1:]
    found = json.loads(text_of(record))
    moment = datetime.strptime(found["date_time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert round(moment.timestamp() * 1000) == epoch_ms
    assert found["date"] == found["date_time"][:10]
    assert [UUID(found[name]).int for name in ("tracker_id", "user_id", "event_id")] == [tracker, user, event]
    assert addresses.packed(found["ip"]) == addresses.packed(str(ip))
    assert [found[name] for name in ("user_agent", "url", "value")] == texts
    assert found["is_bot"] is is_bot


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_hit_that_is_cut_short_is_none(size: int) -> None:
    with pytest.raises(ValueError, match="hit"):
        row_of(WHOLE[:size])
    with pytest.raises(ValueError, match="hit"):
        text_of(WHOLE[:size])


@given(st.binary(max_size=300))
def test_no_bytes_break_anything_else(data: bytes) -> None:
    for record in (data, WHOLE[:1] + data, WHOLE[:92] + data, WHOLE + data[:1] + b"x"):
        try:
            row_of(record)
        except ValueError:
            continue
        try:
            text_of(record)
        except (ValueError, OverflowError):
            continue


def test_the_id_that_a_client_chooses_stands_before_one_that_nobody_knows() -> None:
    """Or it could write an append of its own into a journal, with the texts that it chooses behind it."""
    row = row_of(WHOLE)
    user = row.index(id_bytes(UUID(int=2).bytes))
    assert row[user + 16 : user + 32] == id_bytes(UUID(int=3).bytes)
