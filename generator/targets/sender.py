"""What every target is to the generator."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from generator.traffic.traffic import Message


class Patience(NamedTuple):
    """How a sender bears a target that does not answer. Seconds."""

    first_wait_s: float = 0.1
    longest_wait_s: float = 10.0
    #: After which a message is given up, with an outcome that nobody knows; 0 is never.
    give_up_s: float = 0.0


class TargetUnusable(Exception):
    """The target is away, or cannot be what was asked for. The message says what to do."""


class Sender(Protocol):
    """Takes messages to one target and notes in the ledger what became of them."""

    #: Messages that were posted and are not settled yet.
    in_flight: int
    #: How often something was sent again.
    retries: int

    async def open(self) -> dict[int, int]:
        """Connect. Answers where the partitions end now, if the target has such a thing. Raises TargetUnusable."""
        ...

    def post(self, messages: Sequence[Message], way: str) -> "asyncio.Future[None]":
        """Send messages, in order within a way and partition. The future is done when all of them are settled; it
        never fails."""
        ...

    async def missing(self, messages: Sequence[Message], ends: dict[int, int], ways: dict[str, str]) -> list[Message]:
        """Those of the messages, left in doubt by a former life of the run, that have to be sent (again). The others
        are at the target, and noted. Raises TargetUnusable."""
        ...

    async def close(self) -> None:
        """Drop connections. What is in flight may or may not arrive."""
        ...
