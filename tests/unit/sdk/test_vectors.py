"""The SDK for Python does what the vectors say. The service is asked the same in tests/integration/sdk."""

import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import errors as of_service
from tallybook_sdk import calls, errors
from tallybook_sdk.records import Unsendable, click_entry, event_body, event_entry
from tallybook_sdk.sending.answers import Answer, Failure, Paused, Repeat, Settled, Split, verdict
from tallybook_sdk.sending.batch import CLICKS, EVENTS, ROUTES, Batch, Entry, Instant, weight_of
from tallybook_sdk.sending.courier import Courier, Send, Wait
from tallybook_sdk.sending.queue import Bounds, Queue, Store
from tallybook_sdk.sending.spool import Spool
from tests.harness.subjects.vectors import is_like, made, text, vectors

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENTS = {"$now": NOON, "$earlier": NOON - timedelta(hours=1)}
TEXTS = {name: text(moment) for name, moment in MOMENTS.items()}
NOW = Instant(0.0, NOON.timestamp())


def entry_of(call: dict[str, Any]) -> Entry:
    """The record of a vector, as `Client` makes it."""
    [(name, arguments)] = call.items()
    arguments = made(arguments, MOMENTS)
    if name == "event":
        event_type, user_id, properties = (arguments[key] for key in ("type", "user_id", "properties"))
        return event_entry(event_body(arguments["id"], event_type, user_id, properties, arguments["at"], 5 << 20))
    count, id, at = arguments.get("count", 1), arguments.get("id"), arguments.get("at")
    return click_entry(arguments["banner"], count, id, at, arguments.get("kind", ""), NOW.wall, 0.0, 1 << 20)


@pytest.mark.parametrize("vector", vectors("items"), ids=lambda one: one["name"])
def test_a_call_becomes_an_item_on_the_wire(vector: dict[str, Any]) -> None:
    if code := vector.get("rejected"):
        with pytest.raises(Unsendable) as raised:
            entry_of(vector["call"])
        assert raised.value.code == code
        return
    queue = Queue(Bounds(batch_bytes=6 << 20))
    entry = entry_of(vector["call"])
    assert queue.add(entry, NOW.mono) is not None
    batch = queue.cut(entry.route, 0.0, NOW)
    assert batch is not None
    assert (batch.weight, batch.weights()) == (vector.get("weight", 1), [vector.get("weight", 1)])
    [item] = json.loads(batch.body)
    assert is_like(item, made(vector["wire"], TEXTS)), item


def answer_of(found: dict[str, Any]) -> Answer | Failure:
    """What a vector lets come back."""
    if failure := found.get("failure"):
        return Failure(failure != "refused", failure)
    body = (
        json.dumps(made(found["body"], TEXTS)).replace('{"$any": "text"}', '"text"')
        if "body" in found
        else found["text"]
    )
    return Answer(found["status"], found.get("headers", {}), body.encode())


def as_batch(route: str, items: list[Any]) -> Batch:
    """Items of a vector as a batch."""
    of = next(one for one in ROUTES if one.name == route)
    encoded = [json.dumps(made(item, TEXTS)).encode() for item in items]
    return Batch.of(of, 1, encoded, sum(weight_of(item.get("count", 1)) for item in items))


@pytest.mark.parametrize("vector", vectors("answers"), ids=lambda one: one["name"])
def test_an_answer_has_one_meaning(vector: dict[str, Any]) -> None:
    batch = as_batch(vector["route"], vector["items"])
    means = verdict(batch, answer_of(vector["answer"]), NOW)
    match means:
        case Settled():
            weights = batch.weights()
            rejected: dict[str, int] = {}
            for index, code, _, _ in means.rejected:
                rejected[code] = rejected.get(code, 0) + weights[index]
            duplicate = sum(weights[index] for index in means.duplicates)
            stored = sum(weights) - duplicate - sum(rejected.values())
            found = {"stored": stored, "duplicate": duplicate, "rejected": rejected}
            assert {name: one for name, one in found.items() if one} == vector["settled"]
        case Split():
            assert means.code == vector["split"]
        case Paused():
            assert means.state == vector["paused"]
        case Repeat():
            wanted = vector["repeat"]
            assert (means.is_attempt, means.retry_after_s) == (wanted["is_attempt"], wanted.get("retry_after_s"))


class Script:
    """A courier under a virtual clock."""

    def __init__(self, vector: dict[str, Any], store: Callable[[Bounds], Store]) -> None:
        self.queue = store(Bounds(**vector.get("bounds", {})))
        self.courier = Courier(self.queue, random=lambda: vector.get("random", 1.0), timeout_s=10.0)
        self.now = NOW
        self.sent: Send | None = None
        self.serials: dict[Any, int] = {}
        self.bodies: dict[Any, bytes] = {}
        self.events = 0

    def record(self, entry: Entry) -> bool:
        if self.queue.add(entry, self.now.mono) is None:
            return False
        self.courier.books(entry.route).recorded += entry.weight
        return True

    def run(self, step: dict[str, Any]) -> None:  # noqa: C901 - one case for each kind of step
        match step:
            case {"event": times}:
                for _ in range(times):
                    self.events += 1
                    body = event_body(f"{self.events:032x}", "purchase", "u-17", None, NOON, 5 << 20)
                    assert self.record(event_entry(body)) is not step.get("is_full", False)
            case {"clicks": counts}:
                for banner, count in counts.items():
                    offset_s = self.courier.offset_s
                    assert self.record(
                        click_entry(int(banner), count, None, None, "", self.now.wall, offset_s, 1 << 20)
                    )
            case {"advance": seconds}:
                self.now = Instant(self.now.mono + seconds, self.now.wall + seconds)
            case {"sleep": seconds}:
                self.now = Instant(self.now.mono, self.now.wall + seconds)
            case {"flush": True}:
                self.serials = self.courier.hurry()
            case {"settled": is_settled}:
                assert self.courier.is_settled(self.serials) is is_settled
            case {"close": True}:
                self.courier.abandon()
            case {"send": route}:
                self.expect_send(route, step)
            case {"answer": answer}:
                assert self.sent is not None
                self.courier.answered(self.sent, answer_of(answer), self.now)
            case {"failure": _}:
                assert self.sent is not None
                self.courier.answered(self.sent, answer_of(step), self.now)
            case {"wait": [least, most]}:
                action = self.courier.next(self.now)
                assert isinstance(action, Wait), action
                assert least - 1e-9 <= action.until - self.now.mono <= most + 1e-9
            case {"idle": True}:
                assert self.courier.next(self.now) is None
            case {"report": wanted}:
                found = msgspec.to_builtins(self.courier.report(self.now))
                close = {n: pytest.approx(one) if isinstance(one, int | float) else one for n, one in wanted.items()}
                assert {name: found[name] for name in wanted} == close
            case _:
                raise AssertionError(f"an unknown step: {step}")
        assert self.courier.report(self.now).difference == 0

    def expect_send(self, route: str, step: dict[str, Any]) -> None:
        action = self.courier.next(self.now)
        assert isinstance(action, Send), action
        self.sent, batch = action, action.batch
        assert (batch.route.name if batch else "limits") == route
        if batch is None:
            return
        items = json.loads(batch.body)
        if "items" in step:
            assert len(items) == step["items"]
        if "counts" in step:
            assert [item.get("count", 1) for item in items] == step["counts"]
        if "timestamps" in step:
            assert [item["timestamp"] for item in items] == step["timestamps"]
        if step.get("is_same"):
            assert batch.body == self.bodies[route]
        self.bodies[route] = batch.body


@pytest.mark.parametrize("vector", vectors("courier"), ids=lambda one: one["name"])
def test_the_courier_follows_the_script(vector: dict[str, Any]) -> None:
    script = Script(vector, Queue)
    for step in vector["steps"]:
        script.run(step)


def is_of_memory(vector: dict[str, Any]) -> bool:
    """A spool is full by bytes alone, and drops nothing at its end."""
    return any("close" in step or "is_full" in step for step in vector["steps"])


@pytest.mark.parametrize(
    "vector", [one for one in vectors("courier") if not is_of_memory(one)], ids=lambda one: one["name"]
)
def test_the_courier_does_the_same_with_a_spool(vector: dict[str, Any], tmp_path: Path) -> None:
    script = Script(vector, partial(Spool, tmp_path / "spool"))
    for step in vector["steps"]:
        script.run(step)
    script.queue.close()
    assert bool(list((tmp_path / "spool").glob("*.db"))) is bool(script.courier.report(script.now).pending)


@pytest.mark.parametrize("vector", vectors("reads"), ids=lambda one: f"{one['call']} {one['path']}")
def test_a_read_is_one_request_and_its_answer_has_a_type(vector: dict[str, Any]) -> None:
    args, kwargs = made(vector.get("args", []), {}), made(vector.get("kwargs", {}), {})
    call = getattr(calls, vector["call"])(*args, **kwargs)
    assert (call.method, call.path) == ("GET", vector["path"])
    assert vector["status"] == 200 or vector["status"] in call.also
    answer = call.decoded(json.dumps(vector["answer"]).encode())
    assert type(answer) is call.answer
    assert msgspec.to_builtins(answer) == vector["answer"]


def test_every_read_has_a_vector() -> None:
    functions = {
        name for name, one in vars(calls).items() if inspect.isfunction(one) and one.__module__ == calls.__name__
    }
    reads = {name for name in functions if not name.startswith("_")} - {"upload", "limits"}
    assert {vector["call"] for vector in vectors("reads")} == reads


@pytest.mark.parametrize("vector", vectors("problems"), ids=lambda one: one["code"])
def test_a_problem_becomes_its_exception(vector: dict[str, Any]) -> None:
    body = json.dumps({"code": vector["code"], "detail": "d", "requestId": "r"}).encode()
    problem = errors.problem_of(vector["status"], {}, body, 0.0)
    assert type(problem) is getattr(errors, vector["exception"])
    assert (problem.code, problem.retryable, problem.request_id) == (vector["code"], vector["retryable"], "r")


def test_the_vectors_know_every_problem_of_the_service() -> None:
    kinds = [one for one in vars(of_service).values() if inspect.isclass(one)]
    kinds = [one for one in kinds if issubclass(one, of_service.TallybookError) and one.status and one.code != "error"]
    known = {(one["code"], one["status"], one["retryable"]) for one in vectors("problems")}
    assert {(one.code, one.status, one.retryable) for one in kinds} == known


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        calls.stats(42, since=datetime(2026, 3, 1))  # noqa: DTZ001 - what the test is about


def test_routes_of_the_vectors_are_those_of_the_sdk() -> None:
    assert {vector["route"] for vector in vectors("answers")} == {CLICKS.name, EVENTS.name}
