"""Publish from Django: add `tallybook_sdk.outbox.django` to INSTALLED_APPS and run `migrate`.

with transaction.atomic():
    user = User.objects.create(...)
    publish(UserCreated(id=user.id))
"""

from uuid import UUID

from tallybook_sdk.outbox import publishing


def publish(*events: object, using: str | None = None) -> list[UUID]:
    """Publish as `tallybook_sdk.outbox.publish` does, on this thread's connection to the database `using`."""
    from django.db import DEFAULT_DB_ALIAS, connections

    return publishing.publish(connections[using or DEFAULT_DB_ALIAS], *events)
