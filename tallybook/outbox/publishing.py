"""Publishing: one INSERT in the transaction that the caller has open, by whatever driver holds it.

Each adapter knows how to find the driver's cursor and whether it is in a transaction; the statement and the rows are
the same everywhere. Nothing here begins, commits or rolls back.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any
from uuid import UUID

from tallybook.outbox.errors import InvalidEvent, NotInTransaction, OutboxMissing, UnknownConnection
from tallybook.outbox.event import Made, Row, made_of

#: Events of one call. More are several calls in one transaction.
EVENTS_MAX = 10_000

_COLUMNS = "event_id, event_type, event_date_time, environment, event_context, metadata_version, context"
#: Texts, cast in Postgres: a codec that the application has set for json or uuid would change them.
_TYPES = ("text::uuid", "text", "text::timestamptz", "text", "text::json", "bigint", "text::json")
_ARRAYS = ("text[]", "text[]", "text[]", "text[]", "text[]", "bigint[]", "text[]")
#: The code of Postgres for a table that is not there.
_UNDEFINED_TABLE = "42P01"


def _statements(marks: list[str]) -> tuple[str, str]:
    """For one event, and for many in their order: ids are taken as the rows come."""
    values = ", ".join(f"{mark}::{kind}" for mark, kind in zip(marks, _TYPES, strict=True))
    arrays = ", ".join(f"{mark}::{kind}" for mark, kind in zip(marks, _ARRAYS, strict=True))
    return (
        f"INSERT INTO tallybook_outbox ({_COLUMNS}) VALUES ({values})",  # noqa: S608 - nothing of it comes from outside
        f"INSERT INTO tallybook_outbox ({_COLUMNS})"  # noqa: S608
        " SELECT a::uuid, b, c::timestamptz, d, e::json, f, g::json"
        f" FROM unnest({arrays}) WITH ORDINALITY AS event (a, b, c, d, e, f, g, place) ORDER BY place",
    )


_NUMBERED = _statements([f"${number}" for number in range(1, 8)])
_FORMATTED = _statements(["%s"] * 7)

#: Told of every call that Postgres has taken: `tallybook.outbox.pytest_plugin` listens here.
listeners: list[Callable[[list[Row]], None]] = []


def publish(connection: Any, *events: object) -> list[UUID]:
    """Write events into the transaction that the connection has open; they exist if it commits. Answers their ids.

    Takes a `psycopg.Connection`, a `Connection` or `Session` of SQLAlchemy over psycopg, and a connection of Django.
    Raises one of OutboxError, and whatever the driver raises.
    """
    with _span(len(events)), _explained:
        made = _checked(events)  # in the span, so that it is the parent of what comes of them
        if events:
            _adapter(type(connection), False)(connection, *_call(made.rows, _FORMATTED))  # type: ignore[arg-type]
    return _told(made)


async def publish_async(connection: Any, *events: object) -> list[UUID]:
    """As `publish`, for connections of asyncpg, `psycopg.AsyncConnection`, and `AsyncConnection` or `AsyncSession` of
    SQLAlchemy over asyncpg or psycopg."""
    with _span(len(events)), _explained:
        made = _checked(events)
        if events:
            adapter = _adapter(type(connection), True)  # type: ignore[arg-type]
            await adapter(connection, *_call(made.rows, _NUMBERED if adapter is _asyncpg else _FORMATTED))
    return _told(made)


def _checked(events: tuple[object, ...]) -> Made:
    if len(events) > EVENTS_MAX:
        raise InvalidEvent(f"one call publishes {EVENTS_MAX:,} events at most, not {len(events):,}")
    return made_of(events)


def _call(rows: list[Row], statements: tuple[str, str]) -> tuple[str, tuple[Any, ...]]:
    """A statement and its arguments."""
    if len(rows) == 1:
        return statements[0], rows[0]
    return statements[1], tuple(list(column) for column in zip(*rows, strict=True))


def _told(made: Made) -> list[UUID]:
    for listener in listeners:
        listener(made.rows)
    return made.ids


# -- adapters ----------------------------------------------------------------------------------------------------------


def _django(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    _need(connection.in_atomic_block, "open transaction.atomic() around it")
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)


def _psycopg(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    _need(_is_open(connection), "open connection.transaction() around it")
    connection.execute(statement, arguments)


async def _psycopg_async(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    _need(_is_open(connection), "open connection.transaction() around it")
    await connection.execute(statement, arguments)


async def _asyncpg(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    _need(connection.is_in_transaction(), "open connection.transaction() around it")
    await connection.execute(statement, *arguments)


def _sqlalchemy(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    connection = connection.connection() if hasattr(connection, "get_bind") else connection  # of a Session
    is_open = not getattr(connection.connection.dbapi_connection, "autocommit", False)
    _need(is_open, "use a connection whose isolation level is not AUTOCOMMIT")
    if connection.dialect.paramstyle.startswith("numeric"):  # asyncpg
        statement = _NUMBERED[0 if isinstance(arguments[0], str) else 1]
    connection.exec_driver_sql(statement, arguments)


async def _sqlalchemy_async(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    await connection.run_sync(_sqlalchemy, statement, arguments)


def _is_open(connection: Any) -> bool:
    """Whether psycopg is in a transaction, or begins one with the statement."""
    return not connection.autocommit or connection.info.transaction_status != 0  # IDLE


#: (module on top, name of a class) of what a connection is or inherits from.
_SYNC: dict[tuple[str, str], Callable[..., Any]] = {
    ("django", "BaseDatabaseWrapper"): _django,
    ("psycopg", "Connection"): _psycopg,
    ("sqlalchemy", "Connection"): _sqlalchemy,
    ("sqlalchemy", "Session"): _sqlalchemy,
}
_ASYNC: dict[tuple[str, str], Callable[..., Any]] = {
    ("asyncpg", "Connection"): _asyncpg,
    ("asyncpg", "PoolConnectionProxy"): _asyncpg,
    ("psycopg", "AsyncConnection"): _psycopg_async,
    ("sqlalchemy", "AsyncConnection"): _sqlalchemy_async,
    ("sqlalchemy", "AsyncSession"): _sqlalchemy_async,
}


@lru_cache(maxsize=64)
def _adapter(kind: type, is_async: bool) -> Callable[..., Any]:
    """The way into a connection, by what it is: no driver is imported that the application does not use."""
    if kind.__name__ == "ConnectionProxy":  # django.db.connection stands for one of the thread
        return _django
    adapters, other = (_ASYNC, _SYNC) if is_async else (_SYNC, _ASYNC)
    for parent in kind.__mro__:
        of = (parent.__module__.partition(".")[0], parent.__name__)
        if of in adapters:
            return adapters[of]
        if of in other:
            name = "publish" if is_async else "publish_async"
            raise UnknownConnection(f"{kind.__name__} of {of[0]} is for {name}")
    what = f"{kind.__module__}.{kind.__qualname__}"
    raise UnknownConnection(f"{what} is no connection that is known: of asyncpg, psycopg 3, SQLAlchemy or Django")


def _need(is_in_transaction: bool, remedy: str) -> None:
    if not is_in_transaction:
        raise NotInTransaction(f"the event would stay although the work that it tells of is undone: {remedy}")


class _Explained:
    """Says what a missing table means. A class, as it is entered with every call: it costs a third of a generator."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        links = (error, getattr(error, "__cause__", None), getattr(error, "orig", None))
        if error is not None and any(getattr(one, "sqlstate", None) == _UNDEFINED_TABLE for one in links):
            raise OutboxMissing(OutboxMissing.__doc__) from error


_explained = _Explained()
_NO_SPAN = nullcontext()


def _span(events: int) -> Any:
    """A span of Sentry, where the application has it and is in a transaction."""
    if "sentry_sdk" not in sys.modules:
        return _NO_SPAN
    import sentry_sdk

    if sentry_sdk.get_current_span() is None:
        return _NO_SPAN
    span = sentry_sdk.start_span(op="queue.publish", name="tallybook_outbox")
    span.set_data("messaging.destination.name", "tallybook_outbox")
    span.set_data("messaging.batch.message_count", events)
    return span
