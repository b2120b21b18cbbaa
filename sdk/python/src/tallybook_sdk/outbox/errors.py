"""What publishing can meet.

OutboxError
|-- InvalidEvent          the event can be no row; its code has to be mended
|-- NotInTransaction      the connection is in none: the event would stay although the application's work is undone
|-- OutboxMissing         the database has no outbox yet
`-- UnknownConnection     no adapter knows the object
"""


class OutboxError(Exception):
    """The event was not published."""


class InvalidEvent(OutboxError):
    """The event cannot be published as it is; the message says why."""


class NotInTransaction(OutboxError):
    """Publish inside the transaction whose work the event tells of."""


class OutboxMissing(OutboxError):
    """There is no table tallybook_outbox: apply schema.sql (`python -m tallybook_sdk.outbox`), or the migrations of the
    Django app tallybook_sdk.outbox.django."""


class UnknownConnection(OutboxError):
    """Publish takes connections of asyncpg, psycopg 3, SQLAlchemy and Django."""
