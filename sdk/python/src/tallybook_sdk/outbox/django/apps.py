"""Register the app with Django."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):  # type: ignore[misc]
    """An app of tables without models: only `publish` and the relay use them."""

    name = "tallybook_sdk.outbox.django"
    label = "tallybook_outbox"
    verbose_name = "Outbox"
