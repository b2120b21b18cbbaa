"""The errors of publishing.

OutboxError
|-- InvalidEvent          the event cannot become a row: change the code that makes it
|-- NotInTransaction      the event would stay if the application's work is undone
|-- OutboxMissing         the database has no outbox yet
`-- UnknownConnection     no adapter fits the object
"""


class OutboxError(Exception):
    """The event was not published."""


class InvalidEvent(OutboxError):
    """The event is invalid; the message says why."""


class NotInTransaction(OutboxError):
    """The connection has no open transaction: publish inside the one whose work the event describes."""


class OutboxMissing(OutboxError):
    """The table tallybook_outbox is missing: apply schema.sql (`python -m tallybook_sdk.outbox`), or migrations of the
    Django app tallybook_sdk.outbox.django."""


class UnknownConnection(OutboxError):
    """The connection is none of asyncpg, psycopg 3, SQLAlchemy or Django."""
