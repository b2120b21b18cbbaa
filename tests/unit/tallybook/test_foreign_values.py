"""Values of other programs become those of events, and no value is guessed."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallybook.imports.foreign_values import ForeignValues, type_name

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
ID = "01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e"


def made(moment: str, **options: str) -> str:
    """What becomes of a time."""
    return ForeignValues(**options).row((ID, moment, "u", "view", ""))[1]


def read(text: str) -> datetime:
    """It as an event's."""
    return msgspec.convert(text, datetime)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-04T12:00:00Z",
        "2026-03-04 12:00:00+00",  # Postgres
        "2026-03-04 17:30:00+05:30",
        "2026-03-04 17:30:00+0530",
        "2026-03-04 12:00:00.000000+00",
        "2026-03-04 12:00:00 UTC",  # BigQuery
        "2026-03-04 12:00:00.000000 UTC",
        "2026-03-04 14:00:00.000 +0200",  # Snowflake
        "2026-03-04 12:00:00.000 +0000 UTC",  # Go
        "2026-03-04t12:00:00z",
        " 2026-03-04 12:00:00,000Z ",
        "1772625600",  # Mixpanel
        "1772625600.000",
        "1772625600000",
        "1772625600000000",
        "1772625600000000000",
    ],
)
def test_a_time_as_databases_and_products_export_it_is_that_time(text: str) -> None:
    assert read(made(text)) == NOON


def test_a_fraction_is_kept_as_it_was_written() -> None:
    assert made("2026-03-04 12:00:00.1234567+00") == "2026-03-04T12:00:00.1234567+00:00"
    assert made("1772625600.25") == "2026-03-04T12:00:00.25Z"
    assert made("1772625600007") == "2026-03-04T12:00:00.007Z"
    assert made("1772625600000009.5") == "2026-03-04T12:00:00.0000095Z"


def test_a_time_without_a_zone_is_of_the_zone_that_was_named_and_of_none_otherwise() -> None:
    for text in ("2026-03-04 14:00:00", "2026-03-04T14:00:00"):
        assert read(made(text, zone="Europe/Kyiv")) == NOON
        assert made(text) == text
        assert "--zone" in (ForeignValues().why("occurred_at", text) or "")
    assert made("2026-03-04 12:00:00.5", zone="UTC") == "2026-03-04T12:00:00.5Z"
    assert read(made("2026-10-25 02:30:00", zone="Europe/Berlin")).hour == 0  # the first of two
    assert read(made("2026-03-04 12:00:00 UTC", zone="Europe/Kyiv")) == NOON


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-03-04",
        "04/03/2026 12:00:00",
        "2026-03-04 12:00:00 CET",
        "1.7726256E9",
        "17726256",
        "-1772625600",
        "1" * 21,
        "infinity",
        "2026-03-04 12:00:00+5",
        "٢٠٢٦-03-04 12:00:00Z",
    ],
)
def test_what_is_no_clear_time_stays_as_it_is_and_has_a_reason(text: str) -> None:
    assert made(text, zone="UTC") == text
    assert ForeignValues().why("occurred_at", text)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("purchase", "purchase"),
        ("a.b:c-d_", "a.b:c-d_"),
        ("$pageview", "pageview"),
        ("$$_autocapture", "autocapture"),
        ("Order Completed", "Order_Completed"),
        ("  Sign  up! ", "Sign_up"),
        ("[Amplitude] Page Viewed", "Amplitude_Page_Viewed"),
        ("Café / thé", "Cafe_the"),
        ("Замовлення 5", "Замовлення 5"),
        ("!?", "!?"),
    ],
)
def test_names_of_types_follow_the_rule_of_the_docs(name: str, wanted: str) -> None:
    foreign = ForeignValues()
    assert foreign.row((ID, "", "u", name, ""))[3] == wanted
    assert foreign.renamed == ({} if name == wanted else {name: wanted})


@given(st.text())
def test_the_rule_makes_a_name_or_leaves_it(name: str) -> None:
    once = type_name(name)
    assert once == name or type_name(once) == once


def test_ids_that_are_no_uuids_become_the_same_uuids_each_time_and_only_when_asked() -> None:
    def identity(text: str, **options: str) -> str:
        return ForeignValues(**options).row((text, "", "u", "view", ""))[0]

    assert identity("node-17") == "node-17"
    first = identity("node-17", ids="segment")
    assert UUID(first).version == 5
    assert identity("node-17", ids="segment") == first
    assert len({first, identity("node-18", ids="segment"), identity("node-17", ids="mixpanel")}) == 3
    assert identity("", ids="segment") == ""
    for text in (ID, ID.replace("-", ""), f"{{{ID}}}", f" {ID} "):
        assert identity(text, ids="segment") == ID


@pytest.mark.parametrize("text", ["", r"\N", "NULL", "null", " null "])
def test_no_properties_in_any_spelling_are_none(text: str) -> None:
    assert ForeignValues().row((ID, "", "u", "view", text))[4] == ""
