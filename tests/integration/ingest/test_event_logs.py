"""`GET /logs` of the real service: every event once, page by page, whatever comes meanwhile; and who may ask."""

import csv
import io
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from aggregator.outbox.relay import AS_WRITTEN
from ingest.http.openapi import routes
from ingest.http.problems import HANDLERS
from ingest.segments.parser import LENGTH_MOST, parse
from ingest.segments.syntax import Node, write
from ingest.statistics import event_logs, operations
from ingest.statistics import events as event_statistics
from shared.settings import Settings
from shared.stores import clickhouse
from shared.stores.clickhouse import ClickHouse
from shared.stores.postgres import create_pool
from tests.harness.subjects.outbox import Stage
from tests.harness.subjects.segments import documents, matches, nodes
from tests.harness.subjects.tracking import tracking

pytestmark = pytest.mark.every_engine

SECOND = 1_000_000
#: 2026-03-01T12:00:00Z
NOON = 1_772_366_400 * SECOND
RANGE = {"from": "2026-03-01", "to": "2026-03-02"}
#: Examples of a comparison with the model; each of them is some statements of the engine.
EXAMPLES = hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@asynccontextmanager
async def serving(tables: ClickHouse | None, settings: Settings | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """The route with its error handlers, in this process."""
    app = Starlette(routes=routes(operations.OPERATIONS), exception_handlers=HANDLERS)

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"clickhouse": tables, "settings": settings or Settings()}}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(with_state), base_url="http://here") as client:
        yield client


@pytest.fixture
async def service(tables: ClickHouse) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(tables) as client:
        yield client


def event(number: int, micros: int = NOON, event_type: str = "paid", environment: str = "test", **context: Any) -> Any:
    """A row. Ids go up and down, so that they are in no order that time has."""
    row = {"event_id": str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)), "event_type": event_type}
    row |= {"event_date_time": f"{micros // SECOND}.{micros % SECOND:06}", "environment": environment}
    row |= {"event_context": {"number": number, **context}, "metadata_version": 1, "context": {"log": {"n": number}}}
    return row | {"outbox": str(UUID(int=1)), "outbox_xid": 1, "outbox_id": number}


async def store(tables: ClickHouse, token: str, *events: Any) -> None:
    """One insert."""
    await tables.insert("event_log", b"\n".join(msgspec.json.encode(one) for one in events), token, more=AS_WRITTEN)


async def asked(service: httpx2.AsyncClient, accept: str = "application/json", **params: object) -> httpx2.Response:
    params = {"from" if name == "since" else name: value for name, value in {**RANGE, **params}.items()}
    return await service.get("/logs", params={k: str(v) for k, v in params.items()}, headers={"accept": accept})


async def numbers(service: httpx2.AsyncClient, **params: object) -> list[int]:
    """The events of all pages, by their numbers."""
    answer = await asked(service, **params)
    found = [one["event_context"]["number"] for one in answer.json()["events"]]
    while "next" in answer.json():
        assert answer.links["next"]["url"].startswith("/logs?")
        answer = await service.get(answer.links["next"]["url"])
        found += [one["event_context"]["number"] for one in answer.json()["events"]]
    return found


async def test_an_event_arrives_as_it_was_published(
    service: httpx2.AsyncClient, tables: ClickHouse, database: str, clickhouse_settings: Settings
) -> None:
    context = {
        "at": "2026-03-01T12:00:00+02:00",
        "day": "2026-03-01",
        "n": 12345678901234567890,
        "deep": {"a": [1, {}]},
        "mixed": [[True, 1.5], [0, False], ["a", True]],
    }
    async with create_pool(msgspec.structs.replace(clickhouse_settings, database_url=database)) as pool:
        await pool.execute(
            "INSERT INTO tallybook_outbox (event_type, event_date_time, environment, event_context, context, event_id)"
            " VALUES ('paid', '2026-03-01 12:00:00.000001Z', 'test', $1::text::json, $2::text::json, $3)",
            json.dumps(context),
            json.dumps({"log": {"level": "info"}}),
            UUID(int=7),
        )
        await Stage(database, pool, tables).relayed()
    assert (await asked(service, since="2026-03-01T12:00:00.000001Z", to="2026-03-01T12:00:00.000002Z")).json() == {
        "from": "2026-03-01T12:00:00.000001Z",
        "to": "2026-03-01T12:00:00.000002Z",
        "events": [
            {
                "event_id": str(UUID(int=7)),
                "event_type": "paid",
                "event_date_time": "2026-03-01T12:00:00.000001Z",
                "environment": "test",
                "metadata_version": 1,
                "event_context": context,
                "context": {"log": {"level": "info"}},
            }
        ],
    }
    assert (await asked(service, since="2026-03-01T12:00:00.000002Z")).json()["events"] == []
    assert (await asked(service, to="2026-03-01T12:00:00.000001Z")).json()["events"] == []


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_pages_hold_every_event_once_in_the_order_of_time(
    service: httpx2.AsyncClient, tables: ClickHouse, limit: int
) -> None:
    chance = random.Random(limit)
    times = {number: NOON + chance.randrange(6) for number in range(1, 61)}  # many of one moment
    events = [event(number, micros) for number, micros in times.items()]
    await store(tables, "a", *events[:40])
    await store(tables, "b", *events[40:])
    await store(tables, "a batch under a token that was forgotten", *events[30:50])
    newest = await numbers(service, limit=limit)
    assert sorted(newest) == sorted(times)
    assert [times[number] for number in newest] == sorted(times.values(), reverse=True)
    assert await numbers(service, limit=limit, order="asc") == newest[::-1]


async def test_new_events_move_nothing_on_later_pages(service: httpx2.AsyncClient, tables: ClickHouse) -> None:
    await store(tables, "a", *(event(number, NOON + number) for number in range(20)))
    first = (await asked(service, limit=5)).json()
    await store(tables, "b", *(event(100 + number, NOON + 50 + number) for number in range(9)))
    await store(tables, "late", event(200, NOON + 3))
    rest = await numbers(service, limit=5, cursor=first["next"])
    assert [one["event_context"]["number"] for one in first["events"]] + sorted(
        set(rest) - {200}, reverse=True
    ) == list(range(19, -1, -1))
    assert rest.count(200) == 1


async def test_a_page_ends_early_where_its_events_are_large(
    service: httpx2.AsyncClient, tables: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = "x" * 250_000
    await store(tables, "a", *(event(number, NOON + number, text=large) for number in range(40)))
    answer = (await asked(service, limit=1000, order="asc")).json()
    assert 1 < len(answer["events"]) < 40
    assert await numbers(service, limit=1000, order="asc") == list(range(40))
    monkeypatch.setattr(event_logs, "PAGE_BYTES", 1)
    one = event_logs._asked({**RANGE, "order": "asc"})
    assert len(await tables.query(one.sql, one.parameters)) == 1


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"event_type": "paid"}, [1, 2]),
        ({"event_type": "paid", "environment": "production"}, [2]),
        ({"filter": "event_type:refused or event_context.user.id=7"}, [1, 3]),
        ({"filter": "environment:production and not event_context.amount>100"}, [2]),
        ({"filter": 'event_context.amount>10 and context.log.n:"3"'}, []),
        ({"filter": "event_context.amount>10 and context.log.n:3"}, [3]),
        ({"filter": "metadata_version:1 and event_context.is_late:true"}, [2]),
        ({"filter": f"event_id:{event(2)['event_id']}"}, [2]),
        ({"filter": f"event_id:{event(2)['event_id'].upper()}"}, [2]),
        ({"filter": f'event_id!="{event(2)["event_id"].upper()}"'}, [1, 3]),
        ({"filter": 'event_context."odd key":"\' OR 1=1 --"'}, [3]),
        ({"filter": "event_context.nothing!=1"}, [1, 2, 3]),
        ({"event_type": "' OR 1=1 --"}, []),
        ({"since": "2026-03-01T12:00:01Z"}, []),
    ],
)
async def test_events_are_chosen(
    service: httpx2.AsyncClient, tables: ClickHouse, params: dict[str, str], found: list[int]
) -> None:
    odd = {"odd key": "' OR 1=1 --"}
    await store(
        tables,
        "a",
        event(1, NOON, user={"id": 7}),
        event(2, NOON + 1, environment="production", amount=9.5, is_late=True),
        event(3, NOON + 2, "refused", "production", amount=101, **odd),
    )
    assert await numbers(service, order="asc", **params) == found


def is_storable(value: object) -> bool:
    """Say whether a JSON column takes a value: it refuses an array of arrays with a null among them."""
    if isinstance(value, dict):
        return all(map(is_storable, value.values()))
    if not isinstance(value, list):
        return True
    return all(map(is_storable, value)) and not (None in value and any(isinstance(one, list) for one in value))


@EXAMPLES
@given(
    contexts=st.lists(documents().filter(is_storable), min_size=1, max_size=8),
    node=nodes().filter(lambda node: "user_id" not in write(node) and len(write(node)) <= LENGTH_MOST - 200),
)
async def test_a_filter_means_the_same_in_clickhouse_as_in_words(
    tables: ClickHouse, contexts: list[dict[str, Any]], node: Node
) -> None:
    await tables.execute("TRUNCATE TABLE event_log")
    events = [{**event(number), "event_context": context} for number, context in enumerate(contexts)]
    await store(tables, uuid4().hex, *events)
    text = re.sub(r"\bproperties\.", "event_context.", write(node))
    async with serving(tables) as service:
        answer = await asked(service, filter=text, limit=10)
    assert answer.status_code == 200, answer.text
    found = {one["event_id"] for one in answer.json()["events"]}
    as_properties = parse(text.replace("event_context.", "properties."), event_statistics.FIELDS)
    model = [{"event_type": "paid", "properties": context} for context in contexts]
    assert found == {one["event_id"] for one, of in zip(events, model, strict=True) if matches(as_properties, of)}


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_whatever_time_the_outbox_takes_can_be_asked_for(
    service: httpx2.AsyncClient, tables: ClickHouse, order: str
) -> None:
    days = {
        "1900-01-01": ["00:00:00.000000", "00:00:00.000001"],
        "1969-12-31": ["23:59:59.999998", "23:59:59.999999"],
        "1970-01-01": ["00:00:00.000000", "00:00:00.000001"],
        "2299-12-30": ["23:59:59.999999"],
    }
    moments = [(day, f"{day} {time}") for day, times in days.items() for time in times]
    await store(tables, "a", *(event(at) | {"event_date_time": text} for at, (_, text) in enumerate(moments)))
    for day in days:
        expected = [at for at, (of, _) in enumerate(moments) if of == day]
        expected = expected if order == "asc" else expected[::-1]
        assert await numbers(service, order=order, limit=1, since=day, to=day) == expected
    around = {"since": "1969-12-31T23:59:59.999998Z", "to": "1970-01-01"}
    assert sorted(await numbers(service, order=order, limit=1, **around)) == [2, 3, 4, 5]
    around = {"since": "1969-12-31T23:59:59.9999981Z", "to": "1970-01-01T00:00:00Z"}
    assert await numbers(service, **around) == [3]
    answer = (await asked(service, since="1900-01-01", to="1900-01-01T00:00:00.000001Z")).json()
    assert answer["from"] == answer["events"][0]["event_date_time"] == "1900-01-01T00:00:00Z"
    assert await numbers(service, since="2299-12-30", to="2299-12-31") == [6]


async def test_pages_come_as_ndjson_and_csv(service: httpx2.AsyncClient, tables: ClickHouse) -> None:
    await store(tables, "a", *(event(number, NOON + number, f="=1+1") for number in range(3)))
    lines = await asked(service, "application/x-ndjson", limit=2)
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == (await asked(service, limit=2)).json()["events"]
    following = await service.get(lines.links["next"]["url"], headers={"accept": "application/x-ndjson"})
    assert [json.loads(line)["event_context"]["number"] for line in following.text.splitlines()] == [0]
    assert "link" not in following.headers
    [row, *_] = csv.DictReader(io.StringIO((await asked(service, "text/csv")).text, newline=""))
    assert row["event_date_time"] == "2026-03-01T12:00:00.000002Z"
    assert json.loads(row["event_context"]) == {"number": 2, "f": "=1+1"}


@pytest.mark.parametrize(
    ("params", "status", "fault"),
    [
        ({"to": ""}, 400, {"parameter": "to"}),
        ({"since": "2026-03-03"}, 422, {"parameter": "to"}),
        ({"since": "1899-12-31", "to": "1900-01-01"}, 422, {"parameter": "from"}),
        ({"since": "2299-12-31", "to": "2300-01-01T00:00:00Z"}, 422, {"parameter": "to"}),
        ({"since": "2026-01-30"}, 422, {"parameter": "to"}),
        ({"limit": 1001}, 422, {"parameter": "limit"}),
        ({"limit": 0}, 422, {"parameter": "limit"}),
        ({"order": "DESC"}, 422, {"parameter": "order"}),
        ({"event_type": ""}, 422, {"parameter": "event_type"}),
        ({"environment": "x" * 101}, 422, {"parameter": "environment"}),
        ({"filter": "event_type:a and"}, 400, {"parameter": "filter", "position": 16}),
        ({"filter": "event_type:a or user_id:b"}, 422, {"parameter": "filter", "position": 16}),
        ({"filter": "event_context:b"}, 400, {"parameter": "filter", "position": 13}),
        ({"filter": "event_type:a and event_id:4711"}, 422, {"parameter": "filter", "position": 26}),
        ({"filter": f'event_id: "{{{UUID(int=1)}}}"'}, 422, {"parameter": "filter", "position": 10}),
        ({"filter": f"event_id>{UUID(int=1)}"}, 422, {"parameter": "filter", "position": 8}),
        ({"cursor": "x"}, 400, {"parameter": "cursor"}),
        ({"cursor": "ü" * 54}, 400, {"parameter": "cursor"}),
        ({"cursor": "A" * 54}, 400, {"parameter": "cursor"}),
        ({"offset": 3}, 400, {"parameter": "offset"}),
    ],
)
async def test_what_cannot_be_answered_is_named(
    service: httpx2.AsyncClient, params: dict[str, object], status: int, fault: dict[str, object]
) -> None:
    answer = await asked(service, **params)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    [said] = answer.json()["errors"]
    assert said | fault == said


async def test_a_cursor_is_for_its_question_alone(service: httpx2.AsyncClient, tables: ClickHouse) -> None:
    await store(tables, "a", *(event(number, NOON + number) for number in range(3)))
    cursor = (await asked(service, limit=1)).json()["next"]
    assert (await asked(service, limit=2, cursor=cursor)).status_code == 200
    for other in ({"order": "asc"}, {"event_type": "paid"}, {"filter": "event_type:paid"}, {"to": "2026-03-03"}):
        answer = await asked(service, cursor=cursor, **other)
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "cursor")
    for damaged in (cursor[:-1] + ("A" if cursor[-1] != "A" else "B"), "_" + cursor[1:], cursor + "A", cursor[4:]):
        assert (await asked(service, cursor=damaged)).status_code == 400


async def test_without_clickhouse_the_request_is_to_be_repeated() -> None:
    away = Settings(clickhouse_url="http://127.0.0.1:1", clickhouse_timeout_s=2)
    async with clickhouse.connect(away) as tables, serving(tables) as service, serving(None) as without:
        for answer in (await asked(service), await asked(without)):
            assert (answer.status_code, answer.json()["code"]) == (503, "clickhouse_unavailable")
            assert int(answer.headers["retry-after"]) > 0


async def test_the_whole_service_answers(
    tmp_path: Path, redis_url: str, database: str, clickhouse_settings: Settings, tables: ClickHouse
) -> None:
    await store(tables, "a", event(1))
    url = clickhouse_settings.clickhouse_url
    async with tracking(tmp_path, redis_url, database, clickhouse_url=url) as one:
        assert await numbers(one.http) == [1]
