"""Test that users and their events exist together."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from shop.users import UserCreated, create_user
from tallybook_sdk.outbox import NotInTransaction
from tallybook_sdk.outbox.django import publish


def in_the_outbox() -> int:
    """Return how many events lie in the outbox, as the transaction of the test sees it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tallybook_outbox")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
def test_a_new_user_is_told_of(outbox_events):
    user = create_user("ada@example.org")
    event = outbox_events.one("user_created")
    assert event.event_context == {"user_id": user.pk, "email": "ada@example.org"}
    assert in_the_outbox() == 1


@pytest.mark.django_db
def test_a_user_that_is_not_created_is_not_told_of():
    create_user("ada@example.org")
    with pytest.raises(IntegrityError), transaction.atomic():
        create_user("ada@example.org")
    assert (User.objects.count(), in_the_outbox()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_of_a_transaction_is_refused():
    with pytest.raises(NotInTransaction, match=r"transaction\.atomic"):
        publish(UserCreated(1, "ada@example.org"))
    assert in_the_outbox() == 0
