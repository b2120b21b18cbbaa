"""Users, and what the rest of the company hears of them."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction

from tallybook.outbox.django import publish


@dataclass
class UserCreated:
    """`user_created` in the event log."""

    user_id: int
    email: str


def create_user(email: str) -> User:
    """A user and the event, or neither."""
    with transaction.atomic():
        user = User.objects.create_user(username=email, email=email)
        publish(UserCreated(user.id, user.email))
    return user
