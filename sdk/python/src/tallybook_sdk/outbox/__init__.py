"""Publish events in the application's own transaction. Each committed event reaches ClickHouse once.

    with connection.transaction():
        ...                                                the work
        publish(connection, UserCreated(id=user.id))       and its event

`docs/outbox.md` is the guide.
"""

from pathlib import Path

from tallybook_sdk.outbox.carried import carrying
from tallybook_sdk.outbox.errors import InvalidEvent, NotInTransaction, OutboxError, OutboxMissing, UnknownConnection
from tallybook_sdk.outbox.event import Event
from tallybook_sdk.outbox.publishing import publish, publish_async

__all__ = [
    "Event",
    "InvalidEvent",
    "NotInTransaction",
    "OutboxError",
    "OutboxMissing",
    "UnknownConnection",
    "carrying",
    "publish",
    "publish_async",
    "schema",
]


def schema() -> str:
    """Return the SQL that makes the outbox. Repeating it is safe. `python -m tallybook_sdk.outbox` prints it."""
    return (Path(__file__).parent / "schema.sql").read_text()
