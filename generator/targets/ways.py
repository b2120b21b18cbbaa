"""Send one at a time, without waiting, or in batches: a way for each kind of event."""

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from generator.targets.sender import Sender
from generator.traffic.traffic import Message

#: `sync` waits for the acknowledgement of each message, for what must not be lost. `async` goes on, and a callback
#: notes the acknowledgement. `batch` collects, sends, and waits for all of it.
Way = Literal["sync", "async", "batch"]


class BatchLimit(NamedTuple):
    """The limits of a batch: messages, or seconds after its first one, whichever comes first."""

    messages: int = 500
    wait_s: float = 1.0


class Ways:
    """Take messages to a sender, each kind by its way."""

    def __init__(self, sender: Sender, ways: dict[str, str], limit: BatchLimit) -> None:
        """Use `ways`, which has one for every kind."""
        self._sender, self._ways, self._limit = sender, ways, limit
        names = set(ways.values())
        self._only = names.pop() if len(names) == 1 else None
        self._batch: list[Message] = []
        self._first_at = 0.0

    @property
    def waiting(self) -> int:
        """Return the number of messages in the open batch."""
        return len(self._batch)

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages in order, and wait as their ways demand."""
        if self._only == "async":
            self._sender.post(messages, "async")
            return
        for message in messages:
            way = self._ways[message.kind]
            if way == "async":
                self._sender.post([message], way)
            elif way == "sync":
                await self._sender.post([message], way)
            else:
                await self._collect(message)

    async def tick(self) -> None:
        """Send a batch whose time is over. Call it often."""
        if self._batch and time.monotonic() - self._first_at >= self._limit.wait_s:
            await self.flush()

    async def flush(self) -> None:
        """Send the open batch, and wait for it."""
        if self._batch:
            batch, self._batch = self._batch, []
            await self._sender.post(batch, "batch")

    async def _collect(self, message: Message) -> None:
        if not self._batch:
            self._first_at = time.monotonic()
        self._batch.append(message)
        if len(self._batch) >= self._limit.messages:
            await self.flush()
