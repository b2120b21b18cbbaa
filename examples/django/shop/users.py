"""Create users and publish that they exist."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction

from tallybook_sdk.outbox.django import publish


@dataclass
class UserCreated:
    """The event `user_created`."""

    user_id: int
    email: str


def create_user(email: str) -> User:
    """Create a user and publish the event, or do neither."""
    with transaction.atomic():
        user = User.objects.create_user(username=email, email=email)
        publish(UserCreated(user.id, user.email))
    return user
