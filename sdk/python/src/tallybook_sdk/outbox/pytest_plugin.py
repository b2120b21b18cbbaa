"""Provide the fixture `outbox_events`: the events that the code under test has published.

    def test_a_new_user_is_told(outbox_events, db):
        create_user("ada@example.org")
        assert outbox_events.one("user_created").event_context["email"] == "ada@example.org"

The fixture listens and replaces nothing: the rows are in the database of the test. It also holds events that were
rolled back, because it cannot see the end of a transaction.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tallybook_sdk.outbox import publishing
from tallybook_sdk.outbox.event import Row


class Published(NamedTuple):
    """An event as it was published."""

    event_id: UUID
    event_type: str
    environment: str
    event_context: dict[str, Any]
    #: None: the time of the INSERT.
    event_date_time: str | None
    metadata_version: int
    context: dict[str, Any]


class Events(list[Published]):
    """The events since the beginning of the test, in order."""

    def of(self, event_type: str) -> list[Published]:
        """Return the events of a type."""
        return [one for one in self if one.event_type == event_type]

    def one(self, event_type: str) -> Published:
        """Return the only event of a type. Raises AssertionError, which lists the types that were published."""
        found = self.of(event_type)
        if len(found) != 1:
            there = ", ".join(one.event_type for one in self) or "nothing"
            raise AssertionError(f"{len(found)} events {event_type!r} were published; there is {there}")
        return found[0]


@pytest.fixture
def outbox_events() -> Iterator[Events]:
    """Yield the events that the test publishes."""
    events = Events()

    def listen(rows: list[Row]) -> None:
        events.extend(_published(row) for row in rows)

    publishing.listeners.append(listen)
    yield events
    publishing.listeners.remove(listen)


def _published(row: Row) -> Published:
    read = {"event_context": json.loads(row.event_context), "context": json.loads(row.context)}
    return Published(**{**row._asdict(), **read})
