"""The comparison of answers with rows: it sees each kind of difference, or passing would prove nothing."""

from typing import Any

import pytest

from loadtest.tools.browser import Answer
from loadtest.tracker import Expected, Row, compared
from shared.uuid7 import uuid7

#: 2026-03-01T00:00:00Z in Unix milliseconds.
NOW = 1_772_323_200_000
FIELDS = {
    "tracker_id": "t",
    "ip": "::ffff:127.0.0.2",
    "user_id": "u",
    "user_agent": "a",
    "url": "http://h/track?id=t&n=7",
    "value": "v",
    "is_bot": False,
}


def answered(status: int = 204, **more: Any) -> dict[int, Expected]:
    """Number 7, with this answer."""
    return {7: Expected(Answer(status, {}, NOW - 5, NOW + 5, 0.01), more.pop("is_hit", True), FIELDS | more)}


def row(epoch_ms: int = NOW, date: str = "2026-03-01", **more: Any) -> Row:
    return (date, epoch_ms, str(uuid7(epoch_ms)), *(FIELDS | more).values())


def test_equal_is_equal() -> None:
    assert compared(answered(), [row()]) == []
    assert compared(answered(404), []) == []
    assert compared(answered(is_hit=False), []) == []


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "url"])
def test_each_field_is_compared(name: str) -> None:
    assert len(compared(answered(**{name: "other"}), [row()])) == 1


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        (answered(), []),
        (answered(), [row(), row()]),
        (answered(url="http://evil/track?id=t&n=7"), [row()]),
        (answered(400), [row()]),
        (answered(is_hit=False), [row()]),
        ({}, [row()]),
        (answered(), [row(NOW - 6, date="2026-02-28")]),
        (answered(), [row(NOW + 6)]),
        (answered(), [row(date="2026-02-28")]),
        (answered(), [("2026-03-01", NOW, str(uuid7(NOW + 1)), *FIELDS.values())]),
    ],
)
def test_each_difference_is_seen(asked: dict[int, Expected], rows: list[Row]) -> None:
    assert compared(asked, rows)


@pytest.mark.parametrize("expected", [Expected(None, True, FIELDS), answered(502)[7], answered(503)[7]])
def test_where_nobody_knows_either_is_right_but_never_twice(expected: Expected) -> None:
    assert compared({7: expected}, []) == []
    assert compared({7: expected}, [row()]) == []
    assert compared({7: expected}, [row(), row()])
