"""The outbox as a Django app: add `tallybook_sdk.outbox.django` to INSTALLED_APPS, run `migrate`, and publish inside
`transaction.atomic`.

    with transaction.atomic():
        user = User.objects.create(...)
        publish(UserCreated(id=user.id))
"""

from uuid import UUID

from tallybook_sdk.outbox import publishing


def publish(*events: object, using: str | None = None) -> list[UUID]:
    """As `tallybook_sdk.outbox.publish`, on the connection of this thread to the database `using`."""
    from django.db import DEFAULT_DB_ALIAS, connections

    return publishing.publish(connections[using or DEFAULT_DB_ALIAS], *events)
