"""Define the interface of every target."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from generator.traffic.traffic import Message
from shared.runtime.backoff import Backoff


class Patience(NamedTuple):
    """The waits of a sender between retries, in seconds."""

    first_wait_s: float = 0.1
    longest_wait_s: float = 10.0
    #: Until a message is given up with an unknown outcome; 0 is never.
    give_up_s: float = 0.0

    def backoff(self) -> Backoff:
        """Return the waits of one message, with full jitter."""
        return Backoff(self.first_wait_s, self.longest_wait_s, jitter=(0.0, 1.0))


class TargetUnusable(Exception):
    """The target is away or unfit. The message says what to do."""


class Sender(Protocol):
    """Send messages to one target and note their outcome in the ledger."""

    #: Messages that were posted and are not settled yet.
    in_flight: int
    #: How often something was sent again.
    retries: int

    async def open(self) -> dict[int, int]:
        """Connect. Return the ends of the partitions, if the target has any. Raises TargetUnusable."""
        ...

    def post(self, messages: Sequence[Message], way: str) -> "asyncio.Future[None]":
        """Send messages, in order within a way and partition. The future ends when all are settled; it never fails."""
        ...

    async def missing(self, messages: Sequence[Message], ends: dict[int, int], ways: dict[str, str]) -> list[Message]:
        """Return those messages of unknown outcome that have to be sent again, and note the others.

        Raises TargetUnusable."""
        ...

    async def close(self) -> None:
        """Drop connections. What is in flight may or may not arrive."""
        ...
