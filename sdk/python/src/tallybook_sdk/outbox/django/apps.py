"""What Django knows the app by."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):  # type: ignore[misc]
    """Tables only: there are no models, as nothing but `publish` and the relay should touch them."""

    name = "tallybook_sdk.outbox.django"
    label = "tallybook_outbox"
    verbose_name = "Outbox"
