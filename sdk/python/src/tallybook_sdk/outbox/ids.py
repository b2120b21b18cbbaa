"""Make random event ids in blocks: a system call for each would be a large part of the cost of publishing."""

import os
from uuid import UUID

#: Ids of a block.
_AT_ONCE = 128
#: Ids in stock. `list.pop` is atomic, so threads need no lock.
_unused: list[UUID] = []


def random_id() -> UUID:
    """Return a new UUID of version 4."""
    try:
        return _unused.pop()
    except IndexError:
        block = os.urandom(16 * _AT_ONCE)
        ids = [UUID(bytes=block[at : at + 16], version=4) for at in range(0, len(block), 16)]
        _unused.extend(ids[1:])
        return ids[0]


if hasattr(os, "register_at_fork"):  # parent and child would hand out the same ids
    os.register_at_fork(after_in_child=_unused.clear)
