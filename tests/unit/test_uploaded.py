"""What an upload holds: each item is read and judged by itself, whatever its neighbours are."""

import json

from ingest.uploaded import Result, Uploaded
from shared.settings import Settings
from tests.events import event


def results(body: bytes, *, is_lines: bool = False) -> list[Result | None]:
    """What is known of each item before anything is stored; None of what can be taken."""
    return Uploaded(Settings(), body, is_lines=is_lines).results


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
