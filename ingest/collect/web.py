"""Store views, leaves, events and links out.

There is no place for them yet, so each is refused by name: what is not stored is not called counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ingest.collect.items import Fault, WebItem, fault
from ingest.hits.bots import Machine
from ingest.hits.request_facts import Asked
from ingest.state import State
from shared.sites import Site


class Visit(NamedTuple):
    """What is known of a request that brings items."""

    site: Site
    #: Epoch seconds at which it was taken.
    now: float
    machine: Machine
    asked: Asked


async def store(state: State, visit: Visit, items: Sequence[tuple[int, WebItem]]) -> list[Fault]:
    """Store the items and return those that are refused. `items` are at least one, with their places.

    When this returns, all others are in the record log or in the journal of this host.
    """
    why = "This service does not store views, leaves, events and links out"
    return [fault(index, "invalid", "", why) for index, _ in items]
