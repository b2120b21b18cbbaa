"""An outbox for events of an application: published in the application's own transaction, in ClickHouse once.

    with connection.transaction():
        ...                                                the work
        publish(connection, UserCreated(id=user.id))       and what it means

Needs msgspec and nothing else. `docs/outbox.md` is the guide.
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
    """The SQL that makes the outbox; it can be repeated. `python -m tallybook_sdk.outbox` prints it."""
    return (Path(__file__).parent / "schema.sql").read_text()
