"""Random ids of events, made many at once: in the middle of a transaction a call of the system and a UUID for each
would be a large part of what publishing costs the application."""

import os
from uuid import UUID

#: Ids that are made at once.
_AT_ONCE = 128
#: Those that no event has yet. `pop` of a list is one step, whatever other threads do.
_unused: list[UUID] = []


def random_id() -> UUID:
    """A new UUID of version 4."""
    try:
        return _unused.pop()
    except IndexError:
        block = os.urandom(16 * _AT_ONCE)
        ids = [UUID(bytes=block[at : at + 16], version=4) for at in range(0, len(block), 16)]
        _unused.extend(ids[1:])
        return ids[0]


if hasattr(os, "register_at_fork"):  # what a child inherits, its parent and its siblings have as well
    os.register_at_fork(after_in_child=_unused.clear)
