"""The real service does what the vectors say, and the client's numbers are the service's."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallybook_sdk import AsyncClient, Click, Client, Event, calls, models
from tests.harness.subjects.events import EventStage
from tests.harness.subjects.vectors import is_like, made, text, vectors

_NOW = datetime.now(UTC).replace(microsecond=0)
TEXTS = {"$now": text(_NOW), "$earlier": text(_NOW - timedelta(hours=1))}


@pytest.fixture
def url(module_stage: EventStage) -> str:
    """The address of the service."""
    return f"http://127.0.0.1:{module_stage.service.port}"


def on_the_wire(vector: dict[str, Any]) -> Any:
    """The item of a vector, with an id of this run."""
    item = made(vector["wire"], TEXTS)
    return {
        name: vector["name"].replace(" ", "-")[:100] if one == {"$any": "id"} else one for name, one in item.items()
    }


@pytest.mark.parametrize("vector", [one for one in vectors("items") if "wire" in one], ids=lambda one: one["name"])
async def test_the_service_takes_an_item_or_refuses_it(module_stage: EventStage, vector: dict[str, Any]) -> None:
    item = on_the_wire(vector)
    http = module_stage.service.http
    if "event" in vector["call"]:
        answer = await http.post("/events", json=[item])
        assert answer.status_code == 202, answer.text
        [result] = answer.json()["results"]
        assert result.get("code") or result["status"] in ("accepted", "duplicate", "conflict")
        found = result.get("code") or "accepted"
    else:
        answer = await http.post("/stats", json=[item, {"bannerId": 1}])
        assert answer.status_code == 200, answer.text
        found = next((fault["code"] for fault in answer.json()["errors"]), "accepted")
    assert found == vector["service"]


@pytest.mark.parametrize(
    "vector", [one for one in vectors("answers") if one.get("service")], ids=lambda one: one["name"]
)
async def test_the_service_gives_an_answer_as_it_stands(module_stage: EventStage, vector: dict[str, Any]) -> None:
    path = "/stats" if vector["route"] == "clicks" else "/events"
    answer = await module_stage.service.http.post(path, json=made(vector["items"], TEXTS))
    assert answer.status_code == vector["answer"]["status"]
    assert is_like(answer.json(), vector["answer"]["body"]), answer.text


@pytest.mark.parametrize("vector", vectors("reads"), ids=lambda one: f"{one['call']} {one['path']}")
async def test_the_service_answers_a_read(module_stage: EventStage, vector: dict[str, Any]) -> None:
    args, kwargs = made(vector.get("args", []), {}), made(vector.get("kwargs", {}), {})
    call = getattr(calls, vector["call"])(*args, **kwargs)
    answer = await module_stage.service.http.get(call.path)
    assert answer.status_code in (200, *call.also), answer.text
    assert type(call.decoded(answer.content)) is call.answer


async def test_what_a_client_records_is_what_the_service_counts(module_stage: EventStage, url: str) -> None:
    def work() -> list[str]:
        with Client(url) as tally:
            names = [tally.event("purchase", user_id=n, properties={"price": n / 2}) for n in range(30)]
            tally.clicks({9001: 3, 9002: 1})
            tally.click(9001)
            tally.clicks([Click(9001, 2, id="order-17"), Click(9001, 2, id="order-17")])
            tally.click(0)
            assert tally.flush()
            report = tally.report()
            assert (report.stored, report.duplicate, report.rejected) == (37, 2, {"invalid": 1})
            assert (report.difference, report.pending, report.state) == (0, 0, "ok")
            assert tally.stats(9001).total == 6
            counted = tally.series([9001, 9002])
            assert (counted.total, [one.banner_id for one in counted.banners]) == (7, [9001, 9002])
            assert tally.top().banners[0].banner_id > 0
            assert tally.ready().checks["redis"] == "ok"
            assert tally.accounting().difference == 0
            limits = tally.limits()
            assert (limits.clicks, limits.events) == (models.ClickLimits(), models.EventLimits())
            assert abs(report.clock_offset_s) < 2
            return names

    names = await asyncio.to_thread(work)
    await module_stage.settle()
    rows = await module_stage.rows()
    assert {name: rows[name][1:3] for name in names} == {name: (str(n), "purchase") for n, name in enumerate(names)}


async def test_an_async_client_does_the_same(module_stage: EventStage, url: str) -> None:
    async with AsyncClient(url) as tally:
        tally.clicks({9101: 5})
        assert await tally.flush()
        assert (await tally.stats(9101)).total == 5
        today = datetime.now(UTC).date()
        await tally.dau(today, today)
        entries = [entry async for entry in tally.logs(since=_NOW - timedelta(hours=1), until=_NOW)]
        assert entries == []


async def test_an_upload_has_a_result_for_each_event(module_stage: EventStage, url: str) -> None:
    names = [f"{n:08}-0000-4000-8000-000000000000" for n in range(1500)]
    events = [Event("import", name, {"n": 1}, id=name, at=_NOW) for name in names]
    bad = Event("no spaces please", 1)

    def work() -> None:
        with Client(url) as tally:
            results = tally.upload([*events, bad])
            assert [one.status for one in results] == ["accepted"] * 1500 + ["rejected"]
            assert {one.status for one in tally.upload(events)} == {"duplicate"}

    await asyncio.to_thread(work)
    assert json.loads(calls.upload(b"[]").body or b"") == []
