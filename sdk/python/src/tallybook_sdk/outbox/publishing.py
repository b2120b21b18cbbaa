"""Publish with one INSERT in the caller's open transaction, by the driver that holds it.

An adapter finds the driver's cursor and checks for an open transaction. All adapters send the same statement and rows.
Nothing here begins, commits or rolls back.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from tallybook_sdk.outbox.errors import NotInTransaction, OutboxMissing, UnknownConnection
from tallybook_sdk.outbox.event import Row, rows_of

#: The code of Postgres for a table that is not there.
_UNDEFINED_TABLE = "42P01"
#: INTRANS and INERROR of psycopg.pq.TransactionStatus.
_IN_TRANSACTION = (2, 3)


class _Statements(NamedTuple):
    """The INSERT statements, with the placeholders of a driver."""

    #: One event with defaults: parsing times and JSON is slow in Postgres.
    short: str = (
        "INSERT INTO tallybook_outbox (event_id, event_type, environment, event_context)"
        " VALUES ({}, {}, {}, {}::{json})"
    )
    long: str = (
        "INSERT INTO tallybook_outbox"
        " (event_id, event_type, environment, event_context, event_date_time, metadata_version, context)"
        " VALUES ({}, {}, {}, {}::{json}, coalesce({}::text::timestamptz, clock_timestamp()), {}, {}::{json})"
    )
    #: Several events; ids follow the order of the rows.
    many: str = (
        "INSERT INTO tallybook_outbox"
        " (event_id, event_type, environment, event_context, event_date_time, metadata_version, context)"
        " SELECT a, b, c, d::json, coalesce(e::timestamptz, clock_timestamp()), f, g::json"
        " FROM unnest({}::uuid[], {}::text[], {}::text[], {}::text[], {}::text[], {}::bigint[], {}::text[])"
        " WITH ORDINALITY AS event (a, b, c, d, e, f, g, place) ORDER BY place"
    )


#: `text::json`: an application may have set a codec for JSON in asyncpg.
_NUMBERED = _Statements(*(one.format(*(f"${n}" for n in range(1, 8)), json="text::json") for one in _Statements()))
_FORMATTED = _Statements(*(one.format(*["%s"] * 7, json="json") for one in _Statements()))
#: The values that the short statement leaves to the table.
_DEFAULTS = (None, 1, "{}")

#: Called with the rows of every successful call, for `tallybook_sdk.outbox.pytest_plugin`.
listeners: list[Callable[[list[Row]], None]] = []


def publish(connection: Any, *events: object) -> list[UUID]:
    """Write events into the connection's open transaction and return their ids. They exist if it commits.

    Takes a `psycopg.Connection`, a `Connection`, `Session` or `scoped_session` of SQLAlchemy over psycopg, and a
    connection of Django.
    Raises one of OutboxError, and whatever the driver raises.
    """
    with _span(len(events)):
        rows = rows_of(events)  # in the span, so that it is the parent of what comes of them
        if rows:
            try:
                _adapter(type(connection), False)(connection, *_call(rows, _FORMATTED))  # type: ignore[arg-type]
            except Exception as error:
                _explain(error)
                raise
    return _told(rows)


async def publish_async(connection: Any, *events: object) -> list[UUID]:
    """Publish as `publish` does, with asyncpg, `psycopg.AsyncConnection`, and `AsyncConnection`, `AsyncSession` or
    `async_scoped_session` of SQLAlchemy over asyncpg or psycopg."""
    with _span(len(events)):
        rows = rows_of(events)
        if rows:
            try:
                adapter = _adapter(type(connection), True)  # type: ignore[arg-type]
                await adapter(connection, *_call(rows, _NUMBERED if adapter is _asyncpg else _FORMATTED))
            except Exception as error:
                _explain(error)
                raise
    return _told(rows)


def _call(rows: list[Row], statements: _Statements) -> tuple[str, tuple[Any, ...]]:
    """Return the statement for the rows and its arguments."""
    if len(rows) > 1:
        return statements.many, tuple(list(column) for column in zip(*rows, strict=True))
    return (statements.short, rows[0][:4]) if rows[0][4:] == _DEFAULTS else (statements.long, rows[0])


def _told(rows: list[Row]) -> list[UUID]:
    for listener in listeners:
        listener(rows)
    return [row.event_id for row in rows]


# -- adapters ----------------------------------------------------------------------------------------------------------


def _django(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    _need_postgres(connection.vendor, f"the database {connection.alias!r}")
    _need(connection.in_atomic_block, "open transaction.atomic() around it")
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)


def _psycopg(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    from psycopg import Cursor

    _need(_is_open(connection), "open connection.transaction() around it")
    Cursor(connection).execute(statement, arguments)  # the application may have set another cursor_factory


def _psycopg_async(connection: Any, statement: str, arguments: tuple[Any, ...]) -> Awaitable[Any]:
    from psycopg import AsyncCursor

    _need(_is_open(connection), "open connection.transaction() around it")
    return AsyncCursor(connection).execute(statement, arguments)


def _asyncpg(connection: Any, statement: str, arguments: tuple[Any, ...]) -> Awaitable[Any]:
    _need(connection.is_in_transaction(), "open connection.transaction() around it")
    return connection.execute(statement, *arguments)  # type: ignore[no-any-return]


def _sqlalchemy(connection: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    connection = connection.connection() if hasattr(connection, "get_bind") else connection  # of a Session
    _need_postgres(connection.dialect.name, f"the database of {connection.engine!r}")
    is_open = not getattr(connection.connection.dbapi_connection, "autocommit", False)
    _need(is_open, "use a connection whose isolation level is not AUTOCOMMIT")
    if connection.dialect.paramstyle.startswith("numeric"):  # asyncpg
        statement = _NUMBERED[_FORMATTED.index(statement)]
    connection.exec_driver_sql(statement, arguments)


def _sqlalchemy_async(connection: Any, statement: str, arguments: tuple[Any, ...]) -> Awaitable[Any]:
    return connection.run_sync(_sqlalchemy, statement, arguments)  # type: ignore[no-any-return]


def _scoped(registry: Any, statement: str, arguments: tuple[Any, ...]) -> None:
    _sqlalchemy(registry(), statement, arguments)


def _scoped_async(registry: Any, statement: str, arguments: tuple[Any, ...]) -> Awaitable[Any]:
    return _sqlalchemy_async(registry(), statement, arguments)


def _is_open(connection: Any) -> bool:
    """Return whether psycopg is in a transaction, or begins one with the next statement.

    In a pipeline the reply to BEGIN may be outstanding, and ACTIVE means any statement. So open blocks count, too.
    """
    if not connection.autocommit or connection._num_transactions:
        return True
    return connection.info.transaction_status in _IN_TRANSACTION


#: (top-level module, class) of a connection or of a class that it inherits from.
_SYNC: dict[tuple[str, str], Callable[..., Any]] = {
    ("django", "BaseDatabaseWrapper"): _django,
    ("psycopg", "Connection"): _psycopg,
    ("sqlalchemy", "Connection"): _sqlalchemy,
    ("sqlalchemy", "Session"): _sqlalchemy,
    ("sqlalchemy", "scoped_session"): _scoped,
}
_ASYNC: dict[tuple[str, str], Callable[..., Any]] = {
    ("asyncpg", "Connection"): _asyncpg,
    ("asyncpg", "PoolConnectionProxy"): _asyncpg,
    ("psycopg", "AsyncConnection"): _psycopg_async,
    ("sqlalchemy", "AsyncConnection"): _sqlalchemy_async,
    ("sqlalchemy", "AsyncSession"): _sqlalchemy_async,
    ("sqlalchemy", "async_scoped_session"): _scoped_async,
}


@lru_cache(maxsize=64)
def _adapter(kind: type, is_async: bool) -> Callable[..., Any]:
    """Return the adapter of a connection by the names of its classes, so that no unused driver is imported."""
    if kind.__name__ == "ConnectionProxy":  # django.db.connection, a proxy for the thread's own
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


def _need_postgres(vendor: str, what: str) -> None:
    if vendor != "postgresql":
        raise UnknownConnection(f"{what} is {vendor}; the outbox is a table of Postgres")


def _explain(error: Exception) -> None:
    """Raise OutboxMissing if the table is missing."""
    links = (error, error.__cause__, getattr(error, "orig", None))
    if any(getattr(one, "sqlstate", None) == _UNDEFINED_TABLE for one in links):
        raise OutboxMissing(OutboxMissing.__doc__) from error


_NO_SPAN = nullcontext()


def _span(events: int) -> Any:
    """Return a span of Sentry if the application traces the current work with it."""
    if "sentry_sdk" not in sys.modules:
        return _NO_SPAN
    import sentry_sdk

    if sentry_sdk.get_current_span() is None:
        return _NO_SPAN
    span = sentry_sdk.start_span(op="queue.publish", name="tallybook_outbox")
    span.set_data("messaging.destination.name", "tallybook_outbox")
    span.set_data("messaging.batch.message_count", events)
    return span
