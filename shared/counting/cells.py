"""The number of a cell: a minute, and the kind of what is counted in it.

    cell = kind * 2**40 + minute        kind = what + 4 if a machine did it        what: 0 click, 1 served, 2 viewable

A cell stands wherever the protocol names a minute: in an entry of a lane, in a keyed click, and before the colon of an
incarnation's id. Cells of kind 0 are the minutes themselves. All cells stay below 2**53, so the doubles of Lua hold
them exactly. The scripts use a cell as a name; only `seal.lua` calculates with it, and takes its minute.
"""

#: Bits of a minute's number. The scale of `seal.lua` is 2**MINUTE_BITS, too.
MINUTE_BITS = 40
_MINUTES = 1 << MINUTE_BITS

#: What a cell counts, of people.
CLICK, SERVED, VIEWABLE = 0, 1, 2
#: Added to these where a machine did it.
MACHINE = 4


def cell(kind: int, minute: int) -> int:
    """Return the cell of a kind, 0 to 7, in a minute, 0 to 2**40 - 1."""
    return kind << MINUTE_BITS | minute


def kind_of(name: int | str) -> int:
    """Return the kind of a cell, or of an incarnation by its id."""
    return _number(name) >> MINUTE_BITS


def minute_of(name: int | str) -> int:
    """Return the minute of a cell, or of an incarnation by its id: its number since the epoch."""
    return _number(name) % _MINUTES


def _number(name: int | str) -> int:
    return name if isinstance(name, int) else int(name.partition(":")[0])
