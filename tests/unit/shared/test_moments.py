"""A time finer than a microsecond is cut: it stays in its second, day and month, whichever way it comes in."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.sink.page_views import view_of
from ingest.clicks.bulk import _CLICK
from ingest.events.upload import Uploaded
from shared.events.columns import columns
from shared.events.rows import Event, Packer, event_of
from shared.moments import TimedDecoder, cut
from shared.record_log.record_log import Position, Record
from shared.settings import Settings
from tests.harness.subjects.events import event
from tests.harness.subjects.pages import view

#: The last moment of a day, in more digits than are kept.
LAST = "2026-10-31T23:59:59.9999999Z"
LAST_MS = int(datetime(2026, 10, 31, 23, 59, 59, 999_000, UTC).timestamp() * 1000)
NOW_MS = LAST_MS + 3_600_000


@pytest.mark.parametrize("text", [LAST, LAST.lower(), LAST.replace("Z", "+00:00"), LAST.replace("Z", "0" * 50 + "9Z")])
@pytest.mark.parametrize("form", ["array", "lines", "one bad item"])
def test_an_event_stays_in_its_day(text: str, form: str) -> None:
    sent = json.dumps(event(occurred_at=text))
    body = {"array": f"[{sent}]", "lines": sent, "one bad item": f"[{sent},1]"}[form]
    upload = Uploaded(Settings(), body.encode(), is_lines=form == "lines")
    assert [event_of(row)["occurred_at"] for row in upload.rows] == ["2026-10-31T23:59:59.999+00:00"]


def test_an_escape_in_a_time_hides_nothing() -> None:
    body = json.dumps([event(occurred_at="HERE")]).replace("HERE", LAST.replace(".", "\\u002e")).encode()
    [row] = Uploaded(Settings(), body, is_lines=False).rows
    assert event_of(row)["occurred_at"] == "2026-10-31T23:59:59.999+00:00"


def test_an_imported_event_stays_in_its_day() -> None:
    fields = (event()["event_id"], LAST, "u", "view", "{}")
    assert columns(Packer(Settings(), NOW_MS), [fields]).moments == [LAST_MS]


def test_a_page_view_stays_in_its_day() -> None:
    value = json.dumps(json.loads(view().value) | {"timestamp": LAST}).encode()
    assert view_of(Record(Position(1, 1), b"", value, NOW_MS))[1] == LAST_MS


def test_a_click_stays_in_its_minute() -> None:
    body = json.dumps([{"bannerId": 1, "timestamp": LAST}, {"bannerId": 2}]).encode()
    [dated, undated] = _CLICK.decode_list(body)
    assert dated.timestamp == datetime(2026, 10, 31, 23, 59, 59, 999_999, UTC)
    assert undated.timestamp is msgspec.UNSET


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.text("0123456789", max_size=12))  # noqa: DTZ001
def test_digits_behind_the_sixth_change_nothing(moment: datetime, rest: str) -> None:
    text = f"{moment.isoformat(timespec='microseconds')}{rest}Z"
    assert msgspec.convert(cut(text), datetime) == moment.replace(tzinfo=UTC)


def test_what_is_not_read_as_a_time_is_left_as_it_is() -> None:
    decoder = TimedDecoder(Event, "occurred_at")
    properties = {"occurred_at": LAST, "half": 0.123456789}
    sent = json.dumps(event(properties=properties)).encode()
    assert decoder.decode(sent).properties == properties
    with pytest.raises(msgspec.ValidationError, match="occurred_at"):
        decoder.decode(json.dumps(event(occurred_at=f"{LAST}x")).encode())
