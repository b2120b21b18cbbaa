"""The books balance whatever happens in whatever order."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tallybook_sdk.records import click_entry, event_entry
from tallybook_sdk.sending.answers import Answer, Failure
from tallybook_sdk.sending.batch import Instant
from tallybook_sdk.sending.courier import Courier, Send
from tallybook_sdk.sending.queue import Bounds, Queue, Store
from tallybook_sdk.sending.spool import Spool

STATUSES = (200, 202, 308, 400, 401, 404, 408, 409, 413, 422, 429, 500, 503)
OUTCOMES = ("accepted", "duplicate", "conflict", "rejected")
STEPS = st.one_of(
    st.tuples(st.just("event"), st.integers(1, 5)),
    st.tuples(st.just("click"), st.tuples(st.integers(1, 4), st.integers(1, 9))),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 40.0, 700.0])),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("answer"), st.tuples(st.sampled_from(STATUSES), st.lists(st.sampled_from(OUTCOMES), max_size=4))),
    st.tuples(st.just("failure"), st.booleans()),
)


def answer_to(send: Send, status: int, outcomes: list[str]) -> Answer:
    """An answer of the service that fits what was sent: outcomes are repeated for all items."""
    batch = send.batch
    if batch is None:
        return Answer(404, {}, b"")
    fate = [outcomes[n % len(outcomes)] if outcomes else "accepted" for n in range(batch.items)]
    if status == 202 and batch.route.name == "events":
        return Answer(
            202, {}, json.dumps({**dict.fromkeys(OUTCOMES, 0), "results": [{"status": one} for one in fate]}).encode()
        )
    if status == 200 and batch.route.name == "clicks":
        refused = [n for n, one in enumerate(fate) if one in ("rejected", "conflict")]
        twice = [n for n, one in enumerate(fate) if one == "duplicate"]
        errors = [{"index": n, "pointer": "", "code": "invalid", "detail": ""} for n in refused]
        counted = {"items": batch.items, "accepted": batch.items - len(refused) - len(twice), "duplicates": twice}
        return Answer(200, {}, json.dumps({**counted, "errors": errors}).encode())
    return Answer(status, {}, b'{"code":"malformed"}')


@given(st.lists(STEPS, max_size=60), st.booleans())
def test_the_difference_is_0_at_every_moment(steps: list[tuple[str, Any]], is_closed: bool) -> None:
    check(Queue(Bounds(batch_items=3, max_items=8)), steps, is_closed)


@settings(max_examples=30)
@given(st.lists(STEPS, max_size=40))
def test_the_difference_is_0_with_a_spool(steps: list[tuple[str, Any]]) -> None:
    """And the next process finds what was left."""
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder), Bounds(batch_items=3, max_bytes=1000))
        left = check(spool, steps, False)
        spool.close()
        heir = Spool(Path(folder), Bounds())
        courier = Courier(heir, random=lambda: 0.5, timeout_s=10.0)
        courier.adopt(Instant(0.0, 1e9))
        report = courier.report(Instant(0.0, 1e9))
        assert (report.adopted, report.pending, report.difference) == (left, left, 0)
        heir.close()


def check(queue: Store, steps: list[tuple[str, Any]], is_closed: bool) -> int:
    """Do the steps; return what is pending."""
    courier = Courier(queue, random=lambda: 0.5, timeout_s=10.0)
    now = Instant(0.0, 1e9)
    recorded = 0
    sent: Send | None = None
    for step, value in steps:
        match step, value:
            case "event", times:
                entries = [event_entry(b'{"event_id":1}')] * times
            case "click", (banner, count):
                entries = [click_entry(banner, count, None, None, "", now.wall, 0.0, 1 << 20)]
            case _:
                entries = []
        for entry in entries:
            if queue.add(entry, now.mono) is not None:
                courier.books(entry.route).recorded += entry.weight
                recorded += entry.weight
        if step == "wait":
            now = Instant(now.mono + value, now.wall + value)
        elif step == "flush":
            courier.hurry()
        if sent is None and isinstance(action := courier.next(now), Send):
            sent = action
        elif sent is not None and step in ("answer", "failure"):
            courier.answered(sent, answer_to(sent, *value) if step == "answer" else Failure(value, ""), now)
            sent = None
        report = courier.report(now)
        assert (report.difference, report.recorded) == (0, recorded)
        assert all(one.difference == 0 and one.pending >= 0 for one in report.routes.values())
    if is_closed:
        courier.abandon()
        report = courier.report(now)
        assert (report.difference, report.pending) == (0, 0)
    return courier.report(now).pending


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 400_000)), min_size=1, max_size=30))
def test_clicks_add_up_and_no_item_is_larger_than_the_service_takes(clicks: list[tuple[int, int]]) -> None:
    queue = Queue(Bounds())
    now = Instant(0.0, 1e9)
    for banner, count in clicks:
        assert queue.add(click_entry(banner, count, None, None, "", now.wall, 0.0, 1 << 20), now.mono) is not None
    found: dict[int, int] = {}
    for route in {one.route: one for one in [click_entry(1, 1, None, None, "", 0.0, 0.0, 1 << 20)]}:
        while batch := queue.cut(route, 0.0, now):
            items = json.loads(batch.body)
            assert len({(item["bannerId"], item["id"]) for item in items}) == len(items)
            for item in items:
                assert item.get("count", 1) <= 1_000_000
                found[item["bannerId"]] = found.get(item["bannerId"], 0) + item.get("count", 1)
    wanted: dict[int, int] = {}
    for banner, count in clicks:
        wanted[banner] = wanted.get(banner, 0) + count
    assert found == wanted
