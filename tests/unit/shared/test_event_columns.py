"""Events as columns: they are what they are as rows, and nothing is taken that no row could be made of."""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.events.columns import UNFIT, columns
from shared.events.rows import DAY_MS, Event, Packer
from shared.settings import Settings

SETTINGS = Settings()
NOW_MS = 1_795_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"

ids = st.uuids().map(str) | st.uuids().map(lambda one: str(one).upper())
times = st.datetimes(datetime(2022, 1, 1), datetime(2026, 11, 1)).map(lambda one: one.isoformat() + "+05:30")  # noqa: DTZ001 - with one
users = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
types = st.sampled_from(["view", "a.b:c-d", "x" * 64])
properties = st.dictionaries(
    st.text(max_size=4),
    st.none()
    | st.integers(-9, 9)
    | st.integers(-(2**80), 2**80)
    | st.text(max_size=9)
    | st.lists(st.dictionaries(st.text(max_size=2), st.none(), max_size=2), max_size=3),
    max_size=5,
).map(json.dumps)
good = st.tuples(ids, times, users, types, properties | st.just(""))

#: Values that no event has, by their column.
BAD: tuple[Sequence[str], ...] = (
    (
        "",
        "no id",
        ID[:-1],
        ID + "0",
        ID[:-1] + " ",
        ID[:-2] + "- ",
        ID[1:] + "-",
        ID.replace("-", "") + "----",
        "\udcff" + ID[1:],
    ),
    ("", "2026-03-01", "2026-03-01T10:00:00", (NOW - timedelta(9999)).isoformat(), (NOW + timedelta(9)).isoformat()),
    ("", "u" * 129, "\udcff"),
    ("", "a b", "view\n", "x" * 65, "\udcff"),
    (
        *("[]", "1", "{", "{}{}", "}{", "\udcff", '{"a": 1e400}', json.dumps({"a": "x" * 8192})),
        *(json.dumps(dict.fromkeys(map(str, range(65)))), json.dumps({"a": {"b": {"c": {"d": {}}}}}), "[" * 5000),
    ),
)
GOOD = (ID, NOW.isoformat(), "u", "view", "{}")


def packer() -> Packer:
    return Packer(SETTINGS, NOW_MS)


def row(fields: Sequence[str]) -> bytes:
    """The row of an event. Raises one of UNFIT."""
    values: list[Any] = [*fields[:4], msgspec.json.decode(fields[4] or "{}", type=dict[str, Any])]
    return packer().row(msgspec.convert(dict(zip(Event.__struct_fields__, values, strict=True)), Event))


@given(st.lists(good, max_size=12))
@example([(*GOOD[:4], ""), (*GOOD[:4], '{"a": {"b": 1}}')])
@example([(*GOOD[:4], '{"b": "[", "a": "{"}')])
def test_columns_are_those_of_the_rows(fields: list[tuple[str, ...]]) -> None:
    made = columns(packer(), fields)
    end = struct.pack("<q", NOW_MS)
    rows = [
        struct.pack("<Hq", moment // DAY_MS, moment) + b"".join(more) + end for moment, *more in zip(*made, strict=True)
    ]
    assert rows == [row(one) for one in fields]
    assert made.at(range(0, len(fields), 2)) == columns(packer(), fields[::2])


@pytest.mark.parametrize(("column", "value"), [(at, value) for at, values in enumerate(BAD) for value in values])
def test_one_event_that_is_unfit_makes_all_of_them_unfit(column: int, value: str) -> None:
    one = (*GOOD[:column], value, *GOOD[column + 1 :])
    for refused in (lambda: row(one), lambda: columns(packer(), [GOOD, one, GOOD])):
        with pytest.raises(UNFIT):
            refused()


@pytest.mark.parametrize("texts", [(ID[:-1], ID + "0"), (ID[:8], ID[8:] + ID), ("", ID + ID)])
def test_ids_are_looked_at_each_for_itself(texts: tuple[str, ...]) -> None:
    fields = [(text, *GOOD[1:]) for text in texts]
    with pytest.raises(UNFIT):
        columns(packer(), fields)


@pytest.mark.parametrize("texts", [('{"a": [1', "2]}"), ("{},{}", ""), ('{"a": {"b": 1}}', "1")])
def test_properties_are_read_each_for_itself(texts: tuple[str, ...]) -> None:
    fields = [(*GOOD[:4], text) for text in texts]
    with pytest.raises(UNFIT):
        columns(packer(), fields)


def test_rows_of_other_lengths_are_unfit() -> None:
    for fields in ([GOOD[:4]], [(*GOOD, "")], [GOOD, GOOD[:4]]):
        with pytest.raises(UNFIT):
            columns(packer(), fields)
