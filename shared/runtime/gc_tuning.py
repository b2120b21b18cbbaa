"""Set how often Python looks for cycles of objects."""

import gc

#: Containers made until the young ones are looked at, and rounds until the older ones are. With the default, 700, a
#: third of the time or more of a sink goes into looks at a hundred thousand records that hold no cycle, and a tenth of
#: that of an upload of events.
_YOUNG, _MIDDLE, _OLD = 200_000, 20, 100


def collect_seldom() -> None:
    """Collect less often, for a process that makes many small objects, drops them soon, and makes few cycles."""
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.freeze()
