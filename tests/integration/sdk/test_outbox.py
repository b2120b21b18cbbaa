"""Publishing: by every driver, in the transaction of the caller and in no other, with all that travels along."""

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
import textwrap
from collections import UserDict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import psycopg
import pydantic
import pytest
import sentry_sdk
import sqlalchemy
import structlog
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from shared.migrations.migrate_postgres import migrate
from tallybook_sdk.outbox import (
    Event,
    InvalidEvent,
    NotInTransaction,
    OutboxMissing,
    UnknownConnection,
    carrying,
    publish,
    publish_async,
    schema,
)
from tallybook_sdk.outbox.event import process_environment
from tallybook_sdk.outbox.ids import random_id
from tests.harness.process import ROOT
from tests.harness.services import with_database


class UserCreated(msgspec.Struct):
    """As a msgspec Struct."""

    id: int
    email: str = "ada@example.org"


@dataclasses.dataclass
class HTTPRequestFailed:
    """As a dataclass, with a version of its own."""

    metadata_version = 3
    at: datetime
    by: UUID


class PaymentTaken(pydantic.BaseModel):
    """As a pydantic model, with a name of its own."""

    event_type: pydantic.BaseModel | str = pydantic.Field("payment.taken", exclude=True)
    amount: int


class Measured(pydantic.BaseModel):
    """As a pydantic model that writes NaN, which is no JSON."""

    model_config = pydantic.ConfigDict(ser_json_inf_nan="constants")
    part: float


@pytest.fixture(autouse=True)
def of_a_new_process() -> Iterator[None]:
    """The environment is read once."""
    yield
    process_environment.cache_clear()


@pytest.fixture
async def pg(database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def url(database: str, driver: str) -> sqlalchemy.URL:
    """For SQLAlchemy, which reads no URL of libpq."""
    made = sqlalchemy.make_url(database.replace("postgresql://", f"postgresql+{driver}://"))
    return made


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Write = Callable[[str, bool, list[object]], Any]


@asynccontextmanager
async def disposed(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """The engine, without connections afterwards."""
    try:
        yield engine
    finally:
        await engine.dispose()


def by_psycopg(database: str, commits: bool, events: list[object]) -> None:
    with psycopg.connect(database) as connection:
        publish(connection, *events)
        if not commits:
            connection.rollback()


def by_sqlalchemy(database: str, commits: bool, events: list[object]) -> None:
    engine = sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        publish(connection, *events)
        (connection.commit if commits else connection.rollback)()


def by_scoped_session(database: str, commits: bool, events: list[object]) -> None:
    engine = sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool)
    registry = scoped_session(sessionmaker(engine))
    try:
        publish(registry, *events)
        (registry.commit if commits else registry.rollback)()
    finally:
        registry.remove()


def by_raw_cursors(database: str, commits: bool, events: list[object]) -> None:
    with psycopg.connect(database, cursor_factory=psycopg.RawCursor) as connection:
        publish(connection, *events)
        if not commits:
            connection.rollback()


def by_pipeline(database: str, commits: bool, events: list[object]) -> None:
    with psycopg.connect(database, autocommit=True) as connection, connection.pipeline(), connection.transaction():
        publish(connection, *events)
        if not commits:
            raise psycopg.Rollback


def by_session(database: str, commits: bool, events: list[object]) -> None:
    engine = sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool)
    with Session(engine) as session:
        publish(session, *events)
        (session.commit if commits else session.rollback)()


async def by_asyncpg(database: str, commits: bool, events: list[object]) -> None:
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        transaction = connection.transaction()
        await transaction.start()
        await publish_async(connection, *events)
        await (transaction.commit if commits else transaction.rollback)()


async def by_async_psycopg(database: str, commits: bool, events: list[object]) -> None:
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await publish_async(connection, *events)
        if not commits:
            await connection.rollback()


async def by_async_sqlalchemy(database: str, commits: bool, events: list[object], driver: str = "asyncpg") -> None:
    async with disposed(create_async_engine(url(database, driver))) as engine, engine.connect() as connection:
        await publish_async(connection, *events)
        await (connection.commit if commits else connection.rollback)()


async def by_async_session(database: str, commits: bool, events: list[object]) -> None:
    async with disposed(create_async_engine(url(database, "psycopg"))) as engine, AsyncSession(engine) as session:
        await publish_async(session, *events)
        await (session.commit if commits else session.rollback)()


async def by_async_scoped_session(database: str, commits: bool, events: list[object]) -> None:
    async with disposed(create_async_engine(url(database, "asyncpg"))) as engine:
        registry = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        try:
            await publish_async(registry, *events)
            await (registry.commit if commits else registry.rollback)()
        finally:
            await registry.remove()


WAYS: list[Any] = [by_psycopg, by_raw_cursors, by_pipeline, by_sqlalchemy, by_session, by_scoped_session]
ASYNC_WAYS: list[Any] = [
    *(by_asyncpg, by_async_psycopg, by_async_sqlalchemy, by_async_session, by_async_scoped_session)
]


async def called(way: Any, *arguments: Any) -> None:
    """Publish in this way."""
    if way in ASYNC_WAYS:
        await way(*arguments)
    else:
        await asyncio.to_thread(way, *arguments)


async def written(pg: Any) -> list[dict[str, Any]]:
    """What lies in the outbox, in order."""
    rows = [dict(row) for row in await pg.fetch("SELECT * FROM tallybook_outbox ORDER BY xid, id")]
    return [{**row, "event_context": json.loads(row["event_context"])} for row in rows]


@pytest.mark.parametrize("way", WAYS + ASYNC_WAYS, ids=lambda way: way.__name__)
async def test_events_are_there_if_the_transaction_commits_and_only_then(pg: Any, database: str, way: Any) -> None:
    for commits in (False, True):
        for events in ([UserCreated(1)], [UserCreated(2), PaymentTaken(amount=3), UserCreated(4)]):
            await called(way, database, commits, events)
    rows = await written(pg)
    assert [row["event_context"].get("id", 3) for row in rows] == [1, 2, 3, 4]
    assert [row["event_type"] for row in rows] == ["user_created", "user_created", "payment.taken", "user_created"]
    assert len({row["xid"] for row in rows}) == 2


async def test_what_an_object_does_not_say_is_filled_in(pg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYBOOK_ENVIRONMENT", "staging")
    process_environment.cache_clear()
    at = datetime(2026, 11, 21, 10, tzinfo=UTC)
    mine = UUID(int=5)
    async with pg.transaction():
        ids = await publish_async(
            pg,
            HTTPRequestFailed(at, mine),
            Event({"a": {"b": [1, None]}}, "cart.emptied", mine, at, "production", 7),
        )
    first, second = await written(pg)
    assert [first["event_id"], second["event_id"]] == ids
    assert (first["event_type"], first["environment"], first["metadata_version"]) == (
        *("http_request_failed", "staging"),
        3,
    )
    assert first["event_context"] == {"at": "2026-11-21T10:00:00Z", "by": str(mine)}
    assert abs((datetime.now(UTC) - first["event_date_time"]).total_seconds()) < 600
    assert second["event_context"] == {"a": {"b": [1, None]}}
    assert (second["event_type"], second["event_id"], second["event_date_time"]) == ("cart.emptied", mine, at)
    assert (second["environment"], second["metadata_version"]) == ("production", 7)


async def test_the_context_of_the_writer_travels_along(pg: Any) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1", user=UUID(int=1))
    try:
        with carrying({"Traceparent": TRACE, "cookie": "secret"}):
            async with pg.transaction():
                await publish_async(pg, UserCreated(1))
    finally:
        structlog.contextvars.clear_contextvars()
    with carrying({"traceparent": "forged"}):
        async with pg.transaction():
            await publish_async(pg, UserCreated(2))
    first, second = [json.loads(row["context"]) for row in await written(pg)]
    assert first == {"traceparent": TRACE, "log": {"request_id": "r-1", "user": str(UUID(int=1))}}
    assert second == {}


class Mute:
    """What says nothing of itself."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("headers", "carried"),
    [
        ({"baggage": "userId=\xff"}, {}),
        ({"baggage": "userId=\udcff", "sentry-trace": "a\nb"}, {}),
        ({"baggage": b"a=b", 5: "c"}, {}),
        ({"traceparent": TRACE, "tracestate": "a=" + "b" * 600}, {"traceparent": TRACE}),
        ({"traceparent": TRACE, "tracestate": "a=b"}, {"traceparent": TRACE, "tracestate": "a=b"}),
        ({"traceparent": "forged", "tracestate": "a=b", "baggage": "c=d"}, {"baggage": "c=d"}),
    ],
)
async def test_headers_that_cannot_be_carried_are_left_behind(pg: Any, headers: Any, carried: dict[str, str]) -> None:
    with carrying(headers):
        async with pg.transaction():
            await publish_async(pg, UserCreated(1))
    assert json.loads((await written(pg))[0]["context"]) == carried


async def test_log_fields_that_cannot_be_carried_are_left_behind_or_replaced(pg: Any) -> None:
    fields = {"path": "/\udcff", "by": Mute(), "size": 2**70, "part": float("nan"), "n\ud800": UUID(int=1)}
    structlog.contextvars.bind_contextvars(**fields)
    try:
        async with pg.transaction():
            await publish_async(pg, UserCreated(1))
    finally:
        structlog.contextvars.clear_contextvars()
    log = {"path": "/?", "size": 2**70, "part": None, "n?": str(UUID(int=1))}
    assert json.loads((await written(pg))[0]["context"]) == {"log": log}


async def test_a_log_context_that_is_too_large_stays_behind(pg: Any) -> None:
    structlog.contextvars.bind_contextvars(blob="x" * 20_000)
    try:
        with carrying({"traceparent": TRACE}):
            async with pg.transaction():
                await publish_async(pg, UserCreated(1))
    finally:
        structlog.contextvars.clear_contextvars()
    assert json.loads((await written(pg))[0]["context"]) == {"traceparent": TRACE}


async def test_the_trace_of_sentry_travels_along(pg: Any) -> None:
    sent: list[Any] = []
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:1/1",
        traces_sample_rate=1.0,
        default_integrations=False,
        before_send_transaction=lambda event, hint: sent.append(event),
    )
    try:
        with sentry_sdk.start_transaction(op="http.server", name="POST /users") as transaction:
            async with pg.transaction():
                await publish_async(pg, UserCreated(1), UserCreated(2))
    finally:
        sentry_sdk.init()
    carried = json.loads((await written(pg))[0]["context"])
    assert carried["sentry-trace"].startswith(transaction.trace_id)
    assert transaction.trace_id in carried["baggage"]
    (span,) = sent[0]["spans"]
    assert (span["op"], span["data"]["messaging.batch.message_count"]) == ("queue.publish", 2)
    assert carried["sentry-trace"].split("-")[1] == span["span_id"]


async def test_sentry_without_a_dsn_is_off(pg: Any) -> None:
    sentry_sdk.init()
    with sentry_sdk.start_transaction(op="http.server", name="POST /users"):
        async with pg.transaction():
            await publish_async(pg, UserCreated(1))
    assert (await written(pg))[0]["context"] == "{}"


class Name(str):
    """A text of an application's own kind."""

    __slots__ = ()


async def test_values_of_kinds_that_applications_have_are_taken(pg: Any) -> None:
    payload = MappingProxyType(
        {
            "name": Name("ada"),
            "address": ip_address("2001:db8::1"),
            "network": ip_network("10.0.0.0/8"),
            "payment": PaymentTaken(amount=5),
            "more": UserDict(path=PurePosixPath("/a")),
            "raw": msgspec.Raw(b' { "a" : 1 } '),
            "part": float("nan"),
            "large": 2**70,
        }
    )
    async with pg.transaction():
        await publish_async(pg, Event(payload, "x"))
    assert (await written(pg))[0]["event_context"] == {
        "name": "ada",
        "address": "2001:db8::1",
        "network": "10.0.0.0/8",
        "payment": {"amount": 5},
        "more": {"path": "/a"},
        "raw": {"a": 1},
        "part": None,
        "large": 2**70,
    }


# -- errors ------------------------------------------------------------------------------------------------------------


class Node(msgspec.Struct):
    """What can hold itself."""

    of: Any = None


class Raising(UserDict[str, Any]):
    """What raises an error of its own wherever it is asked for something."""

    @property
    def event_type(self) -> str:
        raise LookupError("nobody knows")

    def items(self) -> Any:
        raise LookupError("nobody knows")

    __iter__ = items


class Versioned(msgspec.Struct):
    """What cannot say its version."""

    @property
    def metadata_version(self) -> int:
        raise LookupError("nobody knows")


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Raising(), "event_type of Raising cannot be read: LookupError"),
        (Event(Raising(a=1), "x"), "x cannot be written as JSON: nobody knows"),
        (Versioned(), "metadata_version of Versioned cannot be read"),
        (UserCreated({1: "a", "1": "b"}), "one name twice"),  # type: ignore[arg-type]
        (UserCreated(msgspec.Raw(b'{"a":1,"a":2}')), "one name twice"),  # type: ignore[arg-type]
        ({"a": 1}, "no name of its own"),
        ("user_created", "is no event"),
        (Event([1], event_type="x"), "is no event"),
        (Node(object()), "cannot be written as JSON"),
        (Node("\ud800"), "cannot be written as JSON"),
        (Node("x" * 300_000), "bytes of JSON"),
        (Event({}, event_type="x" * 201), "1 to 200"),
        (Event({}, event_type="a\0"), "1 to 200"),
        (Event({}, "x", environment="e" * 101), "1 to 100"),
        (Event({}, "x", event_date_time=datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001
        (Event({}, "x", event_date_time=datetime(1800, 1, 1, tzinfo=UTC)), "outside 1900"),
        (Event({}, event_type="\ud800"), "1 to 200"),
        (Event({}, "x", environment="\udcff"), "1 to 100"),
        (Event({}, "x", event_date_time="2026-01-01T00:00:00Z"), "has to be a datetime"),  # type: ignore[arg-type]
        (Event({}, "x", event_date_time=date(2026, 1, 1)), "has to be a datetime"),  # type: ignore[arg-type]
        (Event({1: "a", "1": "b"}, "x"), "one name twice"),
        (Node({"deep": [{1: "a", "1": "b"}]}), "one name twice"),
        (Node(msgspec.Raw(b"{bad")), "cannot be written as JSON"),
        (Measured(part=float("nan")), "cannot be written as JSON"),
        (Event({"a": {None: 1}}, "x"), "cannot be written as JSON"),
        (Event({}, "x", metadata_version=-1), "whole number"),
        (Event({}, "x", event_id=str(UUID(int=1))), "has to be a UUID"),  # type: ignore[arg-type]
    ],
)
async def test_an_event_that_could_be_no_row_is_refused_before_anything_is_sent(
    pg: Any, event: object, says: str
) -> None:
    async with pg.transaction():
        with pytest.raises(InvalidEvent, match=says):
            await publish_async(pg, UserCreated(1), event)
        await publish_async(pg, UserCreated(2))  # the transaction is as good as before
    assert len(await written(pg)) == 1


async def test_a_class_that_holds_itself_is_refused(pg: Any) -> None:
    node = Node()
    node.of = node
    async with pg.transaction():
        with pytest.raises(InvalidEvent, match="JSON"):
            await publish_async(pg, node)


async def test_outside_of_a_transaction_nothing_is_published(pg: Any, database: str) -> None:
    with pytest.raises(NotInTransaction, match=re.escape("connection.transaction()")):
        await publish_async(pg, UserCreated(1))
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(NotInTransaction):
            publish(connection, UserCreated(1))
        with connection.transaction():
            publish(connection, UserCreated(1))
        with connection.pipeline():  # a statement is on its way, and that is no transaction
            connection.execute("SELECT 1")
            with pytest.raises(NotInTransaction):
                publish(connection, UserCreated(1))
    for engine in (
        sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"),
        sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool).execution_options(
            isolation_level="AUTOCOMMIT"
        ),
    ):
        with engine.connect() as connection, pytest.raises(NotInTransaction, match="AUTOCOMMIT"):
            publish(connection, UserCreated(1))
    assert len(await written(pg)) == 1


# In a pipeline the server says so at its end, out of the hands of `publish`.
@pytest.mark.parametrize(
    "way", [*(way for way in WAYS if way is not by_pipeline), *ASYNC_WAYS], ids=lambda way: way.__name__
)
async def test_a_database_without_an_outbox_says_what_is_missing(postgres_url: str, way: Any) -> None:
    with pytest.raises(OutboxMissing, match=r"schema\.sql"):
        await called(way, postgres_url, True, [UserCreated(1)])


async def test_a_connection_that_is_none_is_named(pg: Any, database: str) -> None:
    with pytest.raises(UnknownConnection, match=r"builtins\.object"):
        publish(object(), UserCreated(1))
    with pytest.raises(UnknownConnection, match="publish_async"):
        publish(pg, UserCreated(1))
    with psycopg.connect(database) as connection, pytest.raises(UnknownConnection, match="is for publish"):
        await publish_async(connection, UserCreated(1))
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(UnknownConnection, match=r"sqlite://.* is sqlite; the outbox"):
        publish(connection, UserCreated(1))
    engine.dispose()


def test_a_database_of_another_kind_is_left_alone_by_django_and_named(tmp_path: Path) -> None:
    """Migrations run for every database of a project."""
    program = f"""
import django
from django.conf import settings
lite = {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(tmp_path / "lite")!r}}}
settings.configure(DATABASES={{"default": lite, "lite": lite}}, INSTALLED_APPS=["tallybook_sdk.outbox.django"])
django.setup()
from django.core.management import call_command
from django.db import connections, transaction
from tallybook_sdk.outbox import Event, UnknownConnection
from tallybook_sdk.outbox.django import publish
for target in (None, "zero", None):
    call_command("migrate", *(("tallybook_outbox", target) if target else ()), database="lite", verbosity=0)
print([name for name in connections["lite"].introspection.table_names() if "outbox" in name])
with transaction.atomic(using="lite"):
    try:
        publish(Event({{}}, "x"), using="lite")
    except UnknownConnection as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\nthe database 'lite' is sqlite; the outbox is a table of Postgres\n", done.stderr


async def test_ids_are_random_and_no_two_processes_or_threads_have_the_same() -> None:
    """Those that were drawn in advance are not inherited."""
    program = (
        "import os\n"
        "from tallybook_sdk.outbox.ids import random_id\n"
        "random_id()\n"
        "for _ in range(3):\n"
        "    os.fork()\n"
        "os.write(1, b''.join(random_id().bytes for _ in range(100)))\n"
        "try: os.wait()\n"
        "except ChildProcessError: pass\n"
    )
    written = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", program], cwd=ROOT)
    ids = [UUID(bytes=written[at : at + 16]) for at in range(0, len(written), 16)]
    with ThreadPoolExecutor(4) as threads:
        ids += [one for some in threads.map(lambda _: [random_id() for _ in range(1000)], range(8)) for one in some]
    assert len(set(ids)) == len(ids) == 8 * 100 + 8 * 1000
    assert {one.version for one in ids} == {4}


async def test_no_events_are_no_statement(pg: Any) -> None:
    assert await publish_async(pg) == []
    with pytest.raises(InvalidEvent, match="at most"):
        await publish_async(pg, *[UserCreated(1)] * 10_001)


# -- what it comes with ------------------------------------------------------------------------------------------------


async def test_the_fixture_for_applications_hears_what_is_published(pg: Any, outbox_events: Any) -> None:
    async with pg.transaction():
        await publish_async(pg, UserCreated(1), PaymentTaken(amount=2))
    assert outbox_events.one("user_created").event_context == {"id": 1, "email": "ada@example.org"}
    assert [event.event_context for event in outbox_events.of("payment.taken")] == [{"amount": 2}]
    with pytest.raises(AssertionError, match=re.escape("0 events 'gone' were published; there is user_created, ")):
        outbox_events.one("gone")


#: All that makes an outbox, as text.
_MADE = """
SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) AS made
FROM information_schema.columns WHERE table_name ~ '^tallybook_outbox(_default|_cursor|_dead)?$'
UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename ~ '^tallybook_outbox(_default|_cursor|_dead)?$'
UNION ALL SELECT concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE conrelid::regclass::text ~ '^tallybook_outbox(_default|_cursor|_dead)?$'
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'tallybook_outbox_make_partition'
ORDER BY 1
"""


async def test_the_schema_can_be_applied_again_and_the_service_has_the_same(pg: Any, postgres_url: str) -> None:
    async def made(connection: Any) -> list[str]:
        return [row["made"] for row in await connection.fetch(_MADE)]

    by_service = await made(pg)
    assert len(by_service) > 40
    await pg.execute(schema())
    assert await made(pg) == by_service
    name = f"outbox_alone_{os.getpid()}"
    await pg.execute(f"CREATE DATABASE {name}")
    try:
        alone = await asyncpg.connect(with_database(postgres_url, name))
        await alone.execute(schema())
        assert await made(alone) == by_service
        await alone.close()
    finally:
        await pg.execute(f"DROP DATABASE {name} WITH (FORCE)")
    printed = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-m", "tallybook_sdk.outbox"], cwd=ROOT)
    assert printed.decode() == schema()


async def test_days_and_months_begin_at_midnight_utc_whatever_the_session_has_set(pg: Any) -> None:
    await pg.execute("SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Kolkata'")
    await pg.execute("SELECT tallybook_outbox_make_partition('2031-02-03')")
    await pg.execute("SELECT click_stats_make_partition('2031-02-03T00:00:00Z')")
    await pg.execute("SET datestyle = 'ISO, DMY'; SET timezone = 'UTC'")
    bounds = await pg.fetch(
        "SELECT pg_get_expr(relpartbound, oid) AS bound FROM pg_class"
        " WHERE relname IN ('tallybook_outbox_2031_02_03', 'click_stats_2031_02') ORDER BY relname"
    )
    assert [row["bound"] for row in bounds] == [
        "FOR VALUES FROM ('2031-02-01 00:00:00+00') TO ('2031-03-01 00:00:00+00')",
        "FOR VALUES FROM ('2031-02-03 00:00:00+00') TO ('2031-02-04 00:00:00+00')",
    ]


async def test_a_migration_makes_the_same_days_on_a_server_with_other_settings(postgres_url: str) -> None:
    name = f"outbox_settings_{os.getpid()}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.execute(f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'")
        await admin.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'")
        await migrate(with_database(postgres_url, name))
        one = await asyncpg.connect(with_database(postgres_url, name))
        await one.execute("SET datestyle = 'ISO, DMY'; SET timezone = 'UTC'")
        bounds = await one.fetch(
            "SELECT pg_get_expr(relpartbound, oid) AS bound FROM pg_class"
            " WHERE relkind = 'r' AND relname ~ '^(tallybook_outbox|click_stats)_[0-9]'"
        )
        await one.close()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
    assert len(bounds) > 7
    assert {row["bound"].count(" 00:00:00+00'") for row in bounds} == {2}


async def test_what_is_no_json_cannot_be_written_by_hand_either(pg: Any) -> None:
    for column in ("event_context", "context"):
        with pytest.raises(asyncpg.DataError):
            await pg.execute(
                f"INSERT INTO tallybook_outbox (event_type, environment, {column}) VALUES ('x', 'y', '{{')"
            )


async def test_the_program_of_the_guide_publishes_as_it_stands_there(pg: Any, database: str, tmp_path: Path) -> None:
    guide = (ROOT / "docs/outbox.md").read_text().partition("`app.py`:")[2].partition("\n4. ")[0]
    (tmp_path / "app.py").write_text(textwrap.dedent(guide))
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TALLYBOOK_DATABASE_URL": database}
    await asyncio.to_thread(subprocess.run, [sys.executable, "app.py"], cwd=tmp_path, env=environ, check=True)
    (row,) = await written(pg)
    assert (row["event_type"], row["event_context"]) == ("user_created", {"user_id": 1, "email": "ada@example.org"})
