"""Random ids of events, from the randomness of the system, which is asked for many at once: a call for each would be a
third of what publishing costs a processor."""

import os
from uuid import UUID

#: Ids for which the system is asked at once.
_AT_ONCE = 256
#: Bytes that no id was made of yet. `pop` of a list is one step, whatever other threads do.
_unused: list[bytes] = []


def random_id() -> UUID:
    """A new UUID of version 4."""
    try:
        some = _unused.pop()
    except IndexError:
        block = os.urandom(16 * _AT_ONCE)
        _unused.extend(block[at : at + 16] for at in range(16, len(block), 16))
        some = block[:16]
    return UUID(bytes=some, version=4)


if hasattr(os, "register_at_fork"):  # what a child inherits, its parent and its siblings have as well
    os.register_at_fork(after_in_child=_unused.clear)
