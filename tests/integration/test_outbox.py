"""Publishing: by every driver, in the transaction of the caller and in no other, with all that travels along."""

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
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
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tallybook.outbox import (
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
from tallybook.outbox.event import process_environment
from tallybook.outbox.ids import random_id
from tests.processes import ROOT

pytest_plugins = ["tallybook.outbox.pytest_plugin"]


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


WAYS: list[Any] = [by_psycopg, by_sqlalchemy, by_session]
ASYNC_WAYS: list[Any] = [by_asyncpg, by_async_psycopg, by_async_sqlalchemy, by_async_session]


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
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    structlog.contextvars.bind_contextvars(request_id="r-1", user=UUID(int=1))
    try:
        with carrying({"Traceparent": trace, "cookie": "secret"}):
            async with pg.transaction():
                await publish_async(pg, UserCreated(1))
    finally:
        structlog.contextvars.clear_contextvars()
    with carrying({"traceparent": "forged"}):
        async with pg.transaction():
            await publish_async(pg, UserCreated(2))
    first, second = [json.loads(row["context"]) for row in await written(pg)]
    assert first == {"traceparent": trace, "log": {"request_id": "r-1", "user": str(UUID(int=1))}}
    assert second == {}


async def test_a_log_context_that_is_too_large_stays_behind(pg: Any) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    structlog.contextvars.bind_contextvars(blob="x" * 20_000)
    try:
        with carrying({"traceparent": trace}):
            async with pg.transaction():
                await publish_async(pg, UserCreated(1))
    finally:
        structlog.contextvars.clear_contextvars()
    assert json.loads((await written(pg))[0]["context"]) == {"traceparent": trace}


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


# -- errors ------------------------------------------------------------------------------------------------------------


class Node(msgspec.Struct):
    """What can hold itself."""

    of: Any = None


@pytest.mark.parametrize(
    ("event", "says"),
    [
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
    for engine in (
        sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"),
        sqlalchemy.create_engine(url(database, "psycopg"), poolclass=sqlalchemy.NullPool).execution_options(
            isolation_level="AUTOCOMMIT"
        ),
    ):
        with engine.connect() as connection, pytest.raises(NotInTransaction, match="AUTOCOMMIT"):
            publish(connection, UserCreated(1))
    assert len(await written(pg)) == 1


@pytest.mark.parametrize("way", [*WAYS, *ASYNC_WAYS], ids=lambda way: way.__name__)
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


async def test_ids_are_random_and_no_two_processes_or_threads_have_the_same() -> None:
    """Those that were drawn in advance are not inherited."""
    program = (
        "import os\n"
        "from tallybook.outbox.ids import random_id\n"
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


async def test_the_schema_can_be_applied_again_and_the_service_has_the_same(pg: Any) -> None:
    await pg.execute(schema())
    assert (ROOT / "shared/migrations/0008_outbox.sql").read_text() == schema()
    printed = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-m", "tallybook.outbox"], cwd=ROOT)
    assert printed.decode() == schema()


async def test_what_is_no_json_cannot_be_written_by_hand_either(pg: Any) -> None:
    for column in ("event_context", "context"):
        with pytest.raises(asyncpg.DataError):
            await pg.execute(
                f"INSERT INTO tallybook_outbox (event_type, environment, {column}) VALUES ('x', 'y', '{{')"
            )


def test_the_library_is_installed_alone(tmp_path: Path) -> None:
    """Its wheel, with msgspec beside it and nothing of the service, publishes."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT / "tallybook/outbox",
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("tallybook_outbox-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'installed')!r}, {str(Path(msgspec.__file__).parents[1])!r}]\n"
        "before = set(sys.modules)\n"
        "import tallybook.outbox as outbox\n"
        "from tallybook.outbox.event import rows_of\n"
        "assert '/installed/' in outbox.__file__\n"
        "print(rows_of((outbox.Event({'a': 1}, 'x'),))[0].event_context)\n"
        "top = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "others = {'asyncpg', 'django', 'psycopg', 'sqlalchemy', 'structlog', 'sentry_sdk', 'shared', 'redis'}\n"
        "print(sorted(top & others))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout == '{"a":1}\n[]\n', done.stderr


async def test_the_program_of_the_guide_publishes_as_it_stands_there(pg: Any, database: str, tmp_path: Path) -> None:
    guide = (ROOT / "docs/outbox.md").read_text().partition("`app.py`:")[2].partition("\n4. ")[0]
    (tmp_path / "app.py").write_text(textwrap.dedent(guide))
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TALLYBOOK_DATABASE_URL": database}
    await asyncio.to_thread(subprocess.run, [sys.executable, "app.py"], cwd=tmp_path, env=environ, check=True)
    (row,) = await written(pg)
    assert (row["event_type"], row["event_context"]) == ("user_created", {"user_id": 1, "email": "ada@example.org"})
