"""A page view as a row: a pure function of its record; and when batches of them are cut."""

import json
import math
from ipaddress import IPv6Address

import pytest

from aggregator.sink.batch_policy import RECORDS_MAX, Policy
from aggregator.sink.configured_pipelines import PAGE_VIEWS, configured
from aggregator.sink.page_views import row as row_of
from aggregator.sink.pipelines import Refused
from shared.record_log.record_log import Limit, Position, Record
from shared.settings import Settings
from tests.harness.subjects.pages import DAY_MS, MINUTE_MS, faulty, generate, view

CAME_MS = 1_795_000_000_123


def record(value: bytes, time_ms: int = CAME_MS) -> Record:
    return Record(Position(7, 3), b"key", value, time_ms)


def columns(row: bytes) -> dict[str, object]:
    """A row as ClickHouse reads it: numbers are little-endian, texts have their size before them."""
    sizes = {"ip_address": 16, "duration_ms": 4, "log_seq": 4, "log_partition": 2, "is_bounce": 1}
    found, at = dict[str, object](), 0
    for name in PAGE_VIEWS.columns or ():
        if name in ("page_id", "user_id", "user_agent", "region"):
            size, shift = 0, 0
            while True:
                size |= (row[at] & 127) << shift
                at, shift = at + 1, shift + 7
                if row[at - 1] < 128:
                    break
            found[name] = row[at : at + size].decode()
        else:
            size = sizes.get(name, 8)
            content = row[at : at + size]
            found[name] = IPv6Address(content) if size == 16 else int.from_bytes(content, "little")
        at += size
    assert at == len(row)
    return found


def refusal(value: bytes, time_ms: int = CAME_MS) -> str:
    with pytest.raises(Refused) as caught:
        row_of(2, record(value, time_ms))
    return caught.value.reason


def test_a_row_is_made_of_the_record_alone() -> None:
    one = record(view("/a", "u", CAME_MS - 1, 5, ip_address="::1", spare=1).value)
    row = row_of(2, one)
    assert row == row_of(2, one)
    assert columns(row) == {
        "event_time": CAME_MS - 1,
        "page_id": "/a",
        "user_id": "u",
        "duration_ms": 5,
        "user_agent": "",
        "ip_address": IPv6Address("::1"),
        "region": "",
        "is_bounce": False,
        "processed_time": CAME_MS,
        "log_partition": 2,
        "log_offset": 7,
        "log_seq": 3,
    }


@pytest.mark.parametrize("reason", ["malformed", "columns", "empty_page_id", "negative_duration", "time_out_of_range"])
def test_what_can_be_no_row_says_why(reason: str) -> None:
    assert refusal(faulty(reason, view(ms=CAME_MS)).value) == reason


@pytest.mark.parametrize("ms", [CAME_MS - 30 * DAY_MS - 1, CAME_MS + DAY_MS + 1])
def test_a_time_may_not_be_far_from_when_the_record_came(ms: int) -> None:
    assert refusal(view(ms=ms).value) == "time_out_of_range"
    inside = ms + MINUTE_MS if ms < CAME_MS else ms - MINUTE_MS
    assert row_of(0, record(view(ms=inside).value))


@pytest.mark.parametrize("came_ms", [-1, 0, 5, 4_294_967_296_000])
def test_a_log_whose_time_cannot_be_gives_no_rows(came_ms: int) -> None:
    assert refusal(view(ms=max(came_ms, 0)).value, came_ms) == "time_out_of_range"


def test_a_place_that_no_row_can_name_is_refused() -> None:
    one = record(view(ms=CAME_MS).value)
    with pytest.raises(Refused) as caught:
        row_of(0, one._replace(position=Position(7, 2**32)))
    assert caught.value.reason == "columns"


def test_offsets_and_fractions_of_times_mean_what_they_say() -> None:
    value = view(ms=CAME_MS).value
    text = json.loads(value)["timestamp"]
    for other, wanted in (
        (text.replace("Z", "999Z"), CAME_MS),
        (text.replace("Z", "+00:30"), CAME_MS - 30 * MINUTE_MS),
        (text[:19] + "Z", CAME_MS - 123),
    ):
        row = row_of(0, record(value.replace(text.encode(), other.encode())))
        assert columns(row)["event_time"] == wanted


@pytest.mark.parametrize("text", ["a", "ä" * 64, "頁" * 512, "𝄞" * 512])
def test_texts_of_any_size_are_in_the_row_as_they_were_sent(text: str) -> None:
    found = columns(row_of(0, record(view(text, text, CAME_MS, user_agent=text * 9).value)))
    assert (found["page_id"], found["user_id"], found["user_agent"]) == (text, text, (text * 9)[:1024])


@pytest.mark.parametrize(
    ("text", "wanted"), [("203.0.113.9", "::ffff:203.0.113.9"), ("2001:DB8::1", "2001:db8::1"), ("", "::")]
)
def test_an_address_is_sixteen_bytes(text: str, wanted: str) -> None:
    row = row_of(0, record(view(ms=CAME_MS, ip_address=text).value))
    assert columns(row)["ip_address"] == IPv6Address(wanted)


def test_the_generator_of_the_tests_makes_what_it_says() -> None:
    sent = generate(1, 20_000, CAME_MS)
    assert sent == generate(1, 20_000, CAME_MS)
    kinds = [one.kind for one in sent]
    faults = len(sent) - kinds.count("view") - kinds.count("repeat")
    assert 0.008 < kinds.count("repeat") / len(sent) < 0.012
    assert 0.045 < faults / len(sent) < 0.055
    assert 0.09 < sum(one.is_bounce for one in sent) / kinds.count("view") < 0.11
    for one in sent[:2000]:
        if one.kind in ("view", "repeat"):
            assert row_of(0, record(one.value))
        else:
            assert refusal(one.value) == one.kind


# -- policies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "limit"),
    [
        (Policy("batch", 100, 2.0), Limit(100, 9, math.inf)),
        (Policy("time", 100, 2.0), Limit(RECORDS_MAX, 9, 2.0)),
        (Policy("hybrid", 100, 2.0), Limit(100, 9, 2.0)),
    ],
)
def test_a_policy_is_a_limit_of_the_log(policy: Policy, limit: Limit) -> None:
    assert policy.limit(9) == limit


def test_the_settings_choose_the_policy_the_delivery_and_what_repeats_are() -> None:
    (_, hits), _, (views, policy), _ = configured(Settings(sink_rows=7, sink_wait_s=3.0))
    assert (hits, policy) == (Policy("hybrid", 7, 3.0), Policy("hybrid", 10_000, 3.0))
    assert (views.delivery, views.repeats) == ("exactly_once", None)
    settings = Settings(
        pages_cut="batch",
        pages_batch=100,
        sink_wait_s=2.0,
        pages_delivery="at_least_once",
        pages_drop_repeats=True,
    )
    (hit, _), _, (views, policy), _ = configured(settings)
    assert policy == Policy("batch", 100, 2.0)
    assert views.delivery == "at_least_once"
    assert views.repeats is not None
    assert (hit.delivery, hit.repeats) == ("exactly_once", None)
