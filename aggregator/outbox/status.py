"""Report the status of an outbox: what waits, who relays it, and what is wrong."""

from typing import Any

from msgspec import Struct

from aggregator.outbox.relay import Outbox
from shared.stores.postgres import statement

_CURSOR = statement("aggregator/outbox/status.sql")
_STATE = statement("aggregator/outbox/relay.state.sql")


class Status(Struct, frozen=True, kw_only=True, rename="camel"):
    """An outbox at one moment. Times are in seconds."""

    #: Events that are not in ClickHouse yet, counted up to a million, and the age of the oldest.
    waiting: int
    oldest_s: float
    stored: int
    dead_lettered: int
    #: Dead letters that wait for somebody.
    dead_letters: int
    #: Who holds the cursor; None if nobody does.
    relay: str | None
    epoch: int
    #: Rows of a batch that may be on its way.
    pending: int
    #: Events in the DEFAULT partition.
    astray: int
    #: How long the oldest transaction that has written anything has been open, and the process of its connection.
    held_s: float
    held_by: int | None
    #: Whether the cluster is younger than the outbox: `rebase` it.
    is_younger: bool
    #: What somebody has to mend before anything moves.
    trouble: str | None


async def status(outbox: Outbox) -> Status:
    """Return the status now. Raises POSTGRES_ERRORS."""
    cursor: Any = await outbox.pool.fetchrow(_CURSOR, outbox.name)
    state: Any = await outbox.pool.fetchrow(_STATE, outbox.name)
    return Status(
        waiting=state["waiting"],
        oldest_s=round(state["oldest_s"], 3),
        stored=cursor["stored"],
        dead_lettered=cursor["dead_lettered"],
        dead_letters=state["dead_letters"],
        relay=cursor["owner"] if cursor["is_held"] else None,
        epoch=cursor["epoch"],
        pending=cursor["pending_rows"] or 0,
        astray=state["astray"],
        held_s=round(state["held_s"], 3),
        held_by=state["holder_pid"],
        is_younger=cursor["is_younger"],
        trouble=cursor["trouble"],
    )
