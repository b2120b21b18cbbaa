"""Statistics of product events, asked of the real engine and compared with what Python makes of the same events."""

import csv
import io
import json
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.segments.condition import condition
from ingest.segments.parser import LENGTH_MOST
from ingest.segments.syntax import Node, write
from ingest.statistics.events import ERROR, FIELDS
from ingest.statistics.exports import FILES
from shared.events.rows import COLUMNS, Packer, placed
from shared.events.rows import Event as SentEvent
from shared.events.table import EVENTS, TABLE
from shared.migrations.migrate_clickhouse import migrate
from shared.settings import Settings
from shared.stores.clickhouse import ClickHouse, connect, connect_without_database
from shared.stores.postgres import statement
from tests.harness.process import free_port
from tests.harness.subjects import analytics
from tests.harness.subjects.analytics import RECEIVED, Event, asking, store
from tests.harness.subjects.segments import documents, matches, nodes, words

pytestmark = pytest.mark.every_engine

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RANGE = {"from": "2026-03-01", "to": "2026-03-03"}
#: Examples of a comparison with the model; each of them is some statements of the engine.
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
async def clickhouse(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    """A migrated database of this file."""
    name = f"tallybook_events_{os.getpid()}_{time.time_ns()}"
    one = Settings(clickhouse_url=f"{clickhouse_url}/{name}")
    await migrate(one)
    async with connect(one) as client:
        yield client
    async with connect_without_database(one) as client:
        await client.execute(f"DROP DATABASE {name} SYNC")


@pytest.fixture
async def empty(clickhouse: ClickHouse) -> ClickHouse:
    """No events, and no merges that nobody asked for."""
    await clear(clickhouse)
    return clickhouse


async def clear(clickhouse: ClickHouse) -> None:
    await clickhouse.execute(f"TRUNCATE TABLE {TABLE}")
    await clickhouse.execute(f"SYSTEM STOP MERGES {TABLE}")


async def merge(clickhouse: ClickHouse) -> None:
    await clickhouse.execute(f"SYSTEM START MERGES {TABLE}")
    await clickhouse.execute(f"OPTIMIZE TABLE {TABLE} FINAL")


async def asked(clickhouse: ClickHouse | None, path: str, accept: str = "", **parameters: Any) -> httpx2.Response:
    async with asking(clickhouse) as client:
        return await client.get(f"/stats/{path}", params=parameters, headers={"accept": accept} if accept else {})


#: Properties of which an older engine reads nothing, and what becomes of them.
LARGE = [
    ({"amount": 5, "country": "UA"}, '{"amount":5,"country":"UA"}'),
    ({"country": "UA", "wei": 2**64}, '{"country":"UA","wei":"18446744073709551616"}'),
    ({"a": [{"b": -(2**63) - 1}], "country": "UA"}, '{"a":[{"b":"-9223372036854775809"}],"country":"UA"}'),
    ({"country": "UA", "wei": int("9" * 300)}, f'{{"country":"UA","wei":"{"9" * 300}"}}'),
    ({"country": "UA", "wei": 2**64 - 1}, '{"country":"UA","wei":18446744073709551615}'),
]


async def check_large(clickhouse: ClickHouse) -> None:
    stored = await clickhouse.query(f"SELECT properties FROM {EVENTS} ORDER BY event_id")
    assert [text for [text] in stored] == [text for _, text in LARGE]
    for segment, count in (
        ("properties.country:UA", 5),
        ("not properties.country:UA", 0),
        ('properties.wei:"18446744073709551616"', 1),
        ("properties.wei>=18446744073709551615", 1),
    ):
        assert (await users(clickhouse, segment=segment))[0] == count, segment


async def test_an_integer_beyond_64_bits_hides_nothing_of_its_event(empty: ClickHouse) -> None:
    packer = Packer(Settings(), int(RECEIVED.timestamp() * 1000))
    events = [
        SentEvent(UUID(int=number), NOON, f"u{number}", "buy", properties)
        for number, (properties, _) in enumerate(LARGE, 1)
    ]
    rows = placed([packer.row(event) for event in events], 0, 1, 0)
    await empty.insert(TABLE, b"".join(rows), "large", "RowBinary", COLUMNS)
    await check_large(empty)


async def test_an_integer_beyond_64_bits_that_was_stored_before_hides_nothing_either(empty: ClickHouse) -> None:
    events = [
        Event(number, NOON, f"u{number}", properties=properties) for number, (properties, _) in enumerate(LARGE, 1)
    ]
    rows = [event.row | {"properties": msgspec.json.encode(event.properties).decode()} for event in events]
    await empty.insert(TABLE, b"\n".join(map(msgspec.json.encode, rows)), "stored-before")
    await empty.execute(f"SYSTEM START MERGES {TABLE}")
    for _ in range(2):
        for command in statement("shared/migrations/clickhouse/0005_integers.sql").split(";\n"):
            if command.strip():
                await empty.execute(command.replace("mutations_sync = 0", "mutations_sync = 2"))
    await check_large(empty)


async def users(clickhouse: ClickHouse, **parameters: Any) -> list[int]:
    answer = await asked(clickhouse, "dau", **RANGE | parameters)
    assert answer.status_code == 200, answer.text
    return [day["users"] for day in answer.json()["days"]]


# -- events by chance --------------------------------------------------------------------------------------------------

#: Around a change of clocks in Berlin (2026-03-29, 01:00 UTC).
FIRST = datetime(2026, 3, 20, tzinfo=UTC)
moments = st.integers(0, 18 * 86_400_000).map(lambda ms: FIRST + timedelta(milliseconds=ms))
types = st.sampled_from(["view", "buy", "Ä"])
some_events = st.builds(
    Event,
    number=st.integers(1, 12),
    occurred_at=moments,
    user_id=st.sampled_from(["a", "b", "c", "d"]),
    event_type=types,
    properties=st.just({}),
    delay_s=st.just(0),
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu"])


def repeated(events: list[Event]) -> list[Event]:
    """The gate to the table lets an id in once, so what is there again says the same
    (`shared/events/insert_gate.py`)."""
    first: dict[int, Event] = {}
    return [first.setdefault(event.number, event) for event in events]


histories = st.lists(st.lists(some_events, max_size=8), min_size=1, max_size=4)


def all_of(batches: list[list[Event]]) -> tuple[list[list[Event]], list[Event]]:
    """The batches as they can be, and all their events."""
    flat = repeated([event for batch in batches for event in batch])
    sizes = [len(batch) for batch in batches]
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return [flat[end - size : end] for size, end in zip(sizes, ends, strict=True)], flat


@EXAMPLES
@given(histories, zones, st.integers(0, 17), st.integers(0, 17), st.booleans())
async def test_daily_users_and_top_events_are_those_of_the_model_before_and_after_merges(
    clickhouse: ClickHouse, drawn: list[list[Event]], zone: str, skipped: int, days: int, is_merged: bool
) -> None:
    batches, events = all_of(drawn)
    await clear(clickhouse)
    await store(clickhouse, *batches)
    if is_merged:
        await merge(clickhouse)
    first = FIRST.date() + timedelta(days=skipped)
    last = first + timedelta(days=days)
    answer = (await asked(clickhouse, "dau", **{"from": first, "to": last, "tz": zone})).json()
    assert [(day["date"], day["users"]) for day in answer["days"]] == analytics.dau(events, first, last, zone)
    in_range = [event for event in analytics.counted(events) if first <= analytics.day_of(event, zone) <= last]
    whole = len({event.user_id for event in in_range})
    assert answer["users"] == whole
    for step in ("hour", "day"):
        answer = (await asked(clickhouse, "events", **{"from": first, "to": last, "tz": zone, "step": step})).json()
        found = {one["timestamp"]: (one["count"], one["users"]) for one in answer["stats"]}
        assert found == analytics.series(in_range, zone, step)
        assert answer["total"] == {"count": len(in_range), "users": whole}
    answer = (await asked(clickhouse, "top-events", **{"from": first, "to": last, "tz": zone, "limit": 2})).json()
    found = [(one["event_type"], one["count"]) for one in answer["events"]]
    assert found == analytics.top(events, first, last, zone, 2)
    shorter = {"against_from": first, "against_to": first}
    answer = (
        await asked(clickhouse, "top-events", **{"from": first, "to": last, "tz": zone, "limit": 2}, **shorter)
    ).json()
    before = dict(analytics.top(events, first, first, zone, 1000))
    assert [one["before"] for one in answer["events"]] == [before.get(name, 0) for name, _ in found]


@EXAMPLES
@given(
    histories,
    zones,
    st.integers(-3, 10),
    st.integers(1, 20),
    st.sampled_from(["day", "week"]),
    st.sampled_from(["", "buy"]),
    st.booleans(),
)
async def test_retention_is_that_of_the_model_before_and_after_merges(
    clickhouse: ClickHouse,
    drawn: list[list[Event]],
    zone: str,
    skipped: int,
    windows: int,
    window: str,
    event_type: str,
    is_merged: bool,
) -> None:
    batches, events = all_of(drawn)
    await clear(clickhouse)
    await store(clickhouse, *batches)
    if is_merged:
        await merge(clickhouse)
    start = FIRST.date() + timedelta(days=skipped)
    more = {"event_type": event_type} if event_type else {}
    answer = await asked(
        clickhouse, "retention", **{"start_date": start, "windows": windows, "window": window, "tz": zone} | more
    )
    expected = analytics.retention(
        events,
        start,
        windows,
        {"day": 1, "week": 7}[window],
        zone,
        lambda event: event.event_type == (event_type or event.event_type),
    )
    cohorts = answer.json()["cohorts"]
    assert [cohort["users"] for cohort in cohorts] == expected
    assert [cohort["size"] for cohort in cohorts] == [users[0] for users in expected]


@EXAMPLES
@given(
    st.lists(nodes().filter(lambda node: len(write(node)) <= LENGTH_MOST), min_size=1, max_size=12),
    st.lists(st.tuples(types | words, words, documents()), min_size=1, max_size=12),
)
async def test_a_segment_holds_the_events_that_python_says(
    clickhouse: ClickHouse, segments: list[Node], drawn: list[tuple[str, str, dict[str, Any]]]
) -> None:
    events = [Event(number, NOON, user, kind, properties) for number, (kind, user, properties) in enumerate(drawn)]
    await clear(clickhouse)
    await store(clickhouse, events)
    for node in segments:
        sql, parameters = condition(node, FIELDS)
        found = await clickhouse.query(f"SELECT event_id FROM {EVENTS} WHERE {sql}", parameters)
        expected = {
            event.number
            for event in events
            if matches(
                node, {"user_id": event.user_id, "event_type": event.event_type, "properties": dict(event.properties)}
            )
        }
        assert {UUID(str(one)).int for [one] in found} == expected, write(node)


# -- daily users -------------------------------------------------------------------------------------------------------


async def test_days_without_users_are_there(empty: ClickHouse) -> None:
    await store(empty, [Event(1, NOON, "a"), Event(2, NOON, "a"), Event(3, NOON + timedelta(days=2), "b")])
    answer = await asked(empty, "dau", **RANGE)
    assert answer.json() == {
        "from": "2026-03-01",
        "to": "2026-03-03",
        "tz": "UTC",
        "error": 0.0,
        "users": 2,
        "days": [
            {"date": "2026-03-01", "users": 1},
            {"date": "2026-03-02", "users": 0},
            {"date": "2026-03-03", "users": 1},
        ],
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_a_row_that_is_there_again_counts_once_before_and_after_merges(empty: ClickHouse) -> None:
    await store(empty, *[[Event(1, NOON, "a", "buy"), Event(2, NOON, "a", "buy")]] * 3)
    for _ in ("before", "after"):
        assert await users(empty) == [1, 0, 0]
        answer = await asked(empty, "top-events", **RANGE)
        assert answer.json()["events"] == [{"event_type": "buy", "count": 2}]
        cohorts = (await asked(empty, "retention", start_date="2026-03-01", windows=1)).json()["cohorts"]
        assert cohorts == [{"start": "2026-03-01", "size": 1, "users": [1], "rates": [1.0]}]
        await merge(empty)


async def test_a_segment_chooses_events_and_is_answered_in_its_shortest_form(empty: ClickHouse) -> None:
    await store(
        empty,
        [
            Event(1, NOON, "a", "buy", {"country": "UA", "amount": 10}),
            Event(2, NOON, "b", "buy", {"country": "UA", "amount": 9.5}),
            Event(3, NOON, "c", "buy", {"country": "DE", "amount": "10"}),
            Event(4, NOON, "d", "view"),
        ],
    )
    assert await users(empty, segment="event_type:buy and properties.country:UA") == [2, 0, 0]
    assert await users(empty, segment="properties.amount>=10") == [1, 0, 0]
    assert await users(empty, segment="properties.amount:10") == [2, 0, 0]
    assert await users(empty, segment='properties.amount:"10"') == [1, 0, 0]
    assert await users(empty, segment="not properties.country:UA") == [2, 0, 0]
    answer = await asked(empty, "top-events", **RANGE, segment="((event_type = buy))and(not user_id:a)")
    assert answer.json()["segment"] == "event_type:buy and not user_id:a"
    assert answer.json()["events"] == [{"event_type": "buy", "count": 2}]


async def test_estimates_stay_below_the_error_that_they_state(empty: ClickHouse) -> None:
    await empty.execute(
        f"INSERT INTO {TABLE} (event_date, occurred_at, event_id, user_id, event_type) "
        "SELECT '2026-03-01', '2026-03-01 12:00:00', generateUUIDv4(), toString(number), 'view' FROM numbers(300000)"
    )
    assert await users(empty) == [300_000, 0, 0]
    answer = (await asked(empty, "dau", **RANGE, approx="true")).json()
    assert answer["error"] == ERROR
    assert answer["days"][0]["users"] == pytest.approx(300_000, rel=ERROR)
    zoned = (await asked(empty, "dau", **RANGE, approx="true", tz="Europe/Kyiv")).json()
    assert zoned["days"][0]["users"] == answer["days"][0]["users"]


@pytest.mark.parametrize("media", FILES)
async def test_a_file_of_estimates_states_their_error_in_a_header(empty: ClickHouse, media: str) -> None:
    await store(empty, [Event(1, NOON, "a")])
    for more, error in (({"approx": "true"}, ERROR), ({"approx": "false"}, 0.0), ({}, 0.0)):
        answer = await asked(empty, "dau", media, **RANGE | more)
        assert answer.headers["content-type"].partition(";")[0] == media
        assert float(answer.headers["x-relative-error"]) == error


# -- retention ---------------------------------------------------------------------------------------------------------


async def test_the_worked_example_of_the_docs(empty: ClickHouse) -> None:
    days = {
        "ann": "0224 0303",
        "bob": "0302 0304 0309",
        "cem": "0303 0316",
        "dee": "0309 0311 0317",
        "eve": "0308 0309",
    }
    moments = [
        (user, datetime.strptime(f"2026{day}+0000", "%Y%m%d%z")) for user, all_ in days.items() for day in all_.split()
    ]
    await store(empty, [Event(number, moment, user) for number, (user, moment) in enumerate(moments)])
    answer = await asked(empty, "retention", start_date="2026-03-02")
    assert answer.json() == {
        "start_date": "2026-03-02",
        "window": "week",
        "tz": "UTC",
        "cohorts": [
            {"start": "2026-03-02", "size": 3, "users": [3, 2, 1], "rates": [1.0, 0.666667, 0.333333]},
            {"start": "2026-03-09", "size": 1, "users": [1, 1], "rates": [1.0, 1.0]},
            {"start": "2026-03-16", "size": 0, "users": [0], "rates": [None]},
        ],
    }


# -- suggestions -------------------------------------------------------------------------------------------------------


async def suggested(clickhouse: ClickHouse, **parameters: str) -> dict[str, Any]:
    async with asking(clickhouse) as client:
        found: dict[str, Any] = (await client.get("/events/fields", params=parameters)).raise_for_status().json()
    return found


async def test_fields_are_suggested_as_a_segment_writes_them_and_no_value_of_few_people(empty: ClickHouse) -> None:
    now = datetime.now(UTC)
    common = {"country": "UA", "paid": True, "unit price": 12.5, "cart": {"step": "a b"}, "list": [1], "none": None}
    events = [Event(n, now, f"u{n}", "buy", common | {"email": f"u{n}@x.example"}) for n in range(1, 6)]
    # Five events of one user are no five users; and old ones are no part of the sample.
    events += [Event(n, now, "u1", "view", {"page": "/x"}) for n in range(6, 11)]
    events += [Event(n, now - timedelta(days=40), f"u{n}", "old", {"old": "1"}) for n in range(11, 17)]
    await store(empty, events)
    found = await suggested(empty)
    assert found["sampled"] == 10
    assert {one["field"]: (one["events"], one["values"]) for one in found["fields"]} == {
        "event_type": (10, ["buy"]),
        "properties.country": (5, ["UA"]),
        "properties.paid": (5, ["true"]),
        'properties."unit price"': (5, ["12.5"]),
        "properties.cart.step": (5, ['"a b"']),
        "properties.email": (5, []),
        "properties.page": (5, []),
    }
    for one in found["fields"]:  # each suggestion is a segment, and finds its events
        for value in one["values"]:
            answer = await asked(
                empty,
                "top-events",
                **{"from": now.date(), "to": now.date()},
                segment=f"{one['field']}:{value}",
            )
            assert answer.json()["events"][0]["count"] == 5
    assert [one["field"] for one in (await suggested(empty, q="CART"))["fields"]] == ["properties.cart.step"]
    assert (await suggested(empty, event_type="view"))["sampled"] == 5
    nothing = await suggested(empty, event_type="' OR 1 --")
    assert (nothing["sampled"], nothing["fields"]) == (0, [])


@pytest.mark.parametrize(
    ("parameters", "status", "fault"),
    [
        ({"q": ""}, 422, "q"),
        ({"q": "x" * 101}, 422, "q"),
        ({"event_type": "x" * 65}, 422, "event_type"),
        ({"x": "1"}, 400, "x"),
    ],
)
async def test_l6_what_cannot_be_suggested_is_refused(parameters: dict[str, str], status: int, fault: str) -> None:
    async with asking(None) as client:
        answer = await client.get("/events/fields", params=parameters)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (status, fault)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "parameters", "columns"),
    [
        ("dau", RANGE, ["date", "users"]),
        ("top-events", RANGE, ["event_type", "count"]),
        (
            "top-events",
            RANGE | {"against_from": "2026-03-01", "against_to": "2026-03-01"},
            ["event_type", "count", "before"],
        ),
        ("retention", {"start_date": "2026-03-01"}, ["cohort", "window", "size", "users", "rate"]),
    ],
)
async def test_every_table_is_a_file_for_who_asks(
    empty: ClickHouse, path: str, parameters: dict[str, str], columns: list[str]
) -> None:
    await store(empty, [Event(1, NOON, "a", "=1+1"), Event(2, NOON, "b", 'b"\n')])
    answer = await asked(empty, path, "text/csv", **parameters)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    table = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert table[0] == columns
    lines = await asked(empty, path, "application/x-ndjson", **parameters)
    assert lines.headers["content-type"] == "application/x-ndjson"
    objects = [json.loads(line) for line in lines.text.splitlines()]
    assert [list(one) for one in objects] == [columns] * (len(table) - 1)
    parquet = await asked(empty, path, "application/vnd.apache.parquet", **parameters)
    assert parquet.headers["content-type"] == "application/vnd.apache.parquet"
    assert parquet.headers["content-disposition"].endswith('.parquet"')
    assert (parquet.content[:4], parquet.content[-4:]) == (b"PAR1", b"PAR1")
    read = await empty.query("SELECT * FROM format(Parquet, unhex({hex:String}))", {"hex": parquet.content.hex()})
    assert [dict(zip(columns, map(_plain, row), strict=True)) for row in read] == objects


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, date) else value.decode() if isinstance(value, bytes) else value


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "parameters", "status", "fault"),
    [
        ("dau", {}, 400, "from"),
        ("dau", {"from": "2026-03-01"}, 400, "to"),
        ("dau", RANGE | {"from": "2026-02-30"}, 400, "from"),
        ("dau", RANGE | {"from": "2026-03-01T00:00:00Z"}, 400, "from"),
        ("dau", RANGE | {"to": "2026-02-28"}, 422, "to"),
        ("dau", RANGE | {"to": "2030-01-01"}, 422, "to"),
        ("dau", RANGE | {"from": "1969-01-01"}, 422, "from"),
        ("dau", RANGE | {"from": "2200-01-01", "to": "2200-01-01"}, 422, "from"),
        ("dau", RANGE | {"tz": "Mars/Olympus"}, 422, "tz"),
        ("dau", RANGE | {"tz": "UTC', 1"}, 422, "tz"),
        ("dau", RANGE | {"approx": "yes"}, 422, "approx"),
        ("dau", RANGE | {"segment": ""}, 400, "segment"),
        ("dau", RANGE | {"segment": "event_type:buy or"}, 400, "segment"),
        ("dau", RANGE | {"segment": "log_offset:1"}, 422, "segment"),
        ("dau", RANGE | {"more": "1"}, 400, "more"),
        ("top-events", RANGE | {"limit": "0"}, 422, "limit"),
        ("top-events", RANGE | {"limit": "1001"}, 422, "limit"),
        ("top-events", RANGE | {"against_from": "2026-03-01"}, 400, "against_to"),
        ("top-events", RANGE | {"against_from": "2026-03-02", "against_to": "2026-03-01"}, 422, "against_to"),
        ("top-events", RANGE | {"against_from": "2020-01-01", "against_to": "2026-03-01"}, 422, "against_to"),
        ("retention", {}, 400, "start_date"),
        ("retention", {"start_date": "2026-03-01", "windows": "61"}, 422, "windows"),
        ("retention", {"start_date": "2026-03-01", "window": "month"}, 422, "window"),
        ("retention", {"start_date": "2026-03-01", "event_type": "x" * 65}, 422, "event_type"),
    ],
)
async def test_what_cannot_be_answered_is_said_before_clickhouse_is_asked(
    path: str, parameters: dict[str, str], status: int, fault: str
) -> None:
    answer = await asked(None, path, **parameters)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["parameter"] == fault


async def test_a_fault_of_a_segment_names_its_character() -> None:
    answer = await asked(None, "dau", **RANGE, segment="event_type:buy and country:UA")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    [fault] = answer.json()["errors"]
    assert (fault["parameter"], fault["position"]) == ("segment", 19)


async def test_what_looks_like_sql_is_a_value(empty: ClickHouse) -> None:
    await store(empty, [Event(1, NOON, "a", "x') OR 1=1 --")])
    assert await users(empty, segment='event_type:"x\') OR 1=1 --"') == [1, 0, 0]
    assert await users(empty, segment='properties."a\') OR (1=1":1') == [0, 0, 0]
    assert await users(empty, segment='event_type:"{first:Date}"') == [0, 0, 0]


async def test_while_clickhouse_is_away_the_client_is_asked_to_come_back() -> None:
    async with connect(Settings(clickhouse_url=f"http://127.0.0.1:{free_port()}", clickhouse_timeout_s=2.0)) as away:
        for clickhouse in (away, None):
            for path, parameters in [
                ("dau", RANGE),
                ("top-events", RANGE),
                ("retention", {"start_date": "2026-03-01"}),
            ]:
                answer = await asked(clickhouse, path, **parameters)
                assert (answer.status_code, answer.json()["code"]) == (503, "clickhouse_unavailable")
                assert int(answer.headers["retry-after"]) >= 1


# -- events over a range -----------------------------------------------------------------------------------------------


async def test_events_of_a_type_and_a_segment_by_minute_with_the_empty_ones(empty: ClickHouse) -> None:
    at = [NOON + timedelta(seconds=seconds) for seconds in (0, 59.999, 60, 180, 240)]
    events = [Event(n, moment, f"u{n % 2}", "buy" if n < 5 else "view") for n, moment in enumerate(at, 1)]
    await store(empty, events, events[:2])  # a repeat counts once
    params = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:04:00Z", "step": "minute", "event_type": "buy"}
    answer = (await asked(empty, "events", **params, fill="true")).json()
    assert answer == {
        "from": "2026-03-01T12:00:00.000Z",
        "to": "2026-03-01T12:04:00.000Z",
        "step": "minute",
        "tz": "UTC",
        "event_type": "buy",
        "total": {"count": 4, "users": 2},
        "stats": [
            {"count": count, "users": users, "timestamp": f"2026-03-01T12:0{minute}:00Z"}
            for minute, (count, users) in enumerate([(2, 2), (1, 1), (0, 0), (1, 1)])
        ],
    }
    some = (await asked(empty, "events", **params, segment="user_id:u1")).json()
    assert (some["total"], some["segment"]) == ({"count": 2, "users": 1}, "user_id:u1")
    assert [one["timestamp"][11:16] for one in some["stats"]] == ["12:00", "12:01"]
    none = (await asked(empty, "events", **{"from": "2020-01-01", "to": "2020-01-02"})).json()
    assert (none["total"], none["stats"]) == ({"count": 0, "users": 0}, [])


async def test_half_hours_of_a_change_of_clocks_are_buckets_of_their_own(empty: ClickHouse) -> None:
    first = datetime(2026, 10, 3, 13, 30, tzinfo=UTC)  # midnight of 4 October on Lord Howe; clocks go 30 minutes ahead
    events = [Event(n, first + timedelta(minutes=15 * n + 1), f"u{n}") for n in range(94)]
    await store(empty, events)
    day = {"from": "2026-10-04", "to": "2026-10-04", "tz": "Australia/Lord_Howe"}
    hours = (await asked(empty, "events", **day, step="hour", fill="true")).json()
    days = (await asked(empty, "events", **day, step="day")).json()
    assert (hours["total"]["count"], days["total"]["count"], len(days["stats"])) == (94, 94, 1)
    assert [one["count"] for one in hours["stats"]] == [4, 4, 2, *[4] * 21]


@pytest.mark.parametrize("media", FILES)
async def test_events_are_a_file_in_every_format(empty: ClickHouse, media: str) -> None:
    await store(empty, [Event(1, NOON), Event(2, NOON, "v")])
    answer = await asked(empty, "events", media, **{"from": "2026-03-01", "to": "2026-03-02"}, fill="true")
    assert answer.status_code == 200
    assert "tallybook-events-day-20260301-20260302." in answer.headers["content-disposition"]
    if media == "text/csv":
        assert answer.text.splitlines() == [
            "timestamp,count,users",
            "2026-03-01T00:00:00Z,2,2",
            "2026-03-02T00:00:00Z,0,0",
        ]
    elif media == "application/x-ndjson":
        assert json.loads(answer.text.splitlines()[0]) == {"timestamp": "2026-03-01T00:00:00Z", "count": 2, "users": 2}
    else:
        assert answer.content[:4] == b"PAR1"


@pytest.mark.parametrize(
    ("params", "code", "parameter"),
    [
        ({"from": "2026-03-01", "to": "2026-03-03", "step": "minute"}, "invalid", "to"),
        ({"from": "2026-03-01", "to": "2026-05-02", "step": "hour"}, "invalid", "to"),
        ({"from": "2020-01-01", "to": "2026-05-02"}, "invalid", "to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "invalid", "to"),
        ({"from": "2026-03-01"}, "malformed", "to"),
        ({"from": "2026-03-01", "to": "2026-03-01", "step": "week"}, "invalid", "step"),
        ({"from": "2026-03-01", "to": "2026-03-01", "tz": "Mars"}, "invalid", "tz"),
        ({"from": "2026-03-01", "to": "2026-03-01", "event_type": "x" * 65}, "invalid", "event_type"),
        ({"from": "2026-03-01", "to": "2026-03-01", "segment": "event_type:"}, "malformed", "segment"),
    ],
)
async def test_l6_what_is_no_series_is_refused_before_anything_is_asked(
    params: dict[str, str], code: str, parameter: str
) -> None:
    answer = await asked(None, "events", **params)
    assert (answer.json()["code"], answer.json()["errors"][0]["parameter"]) == (code, parameter)
