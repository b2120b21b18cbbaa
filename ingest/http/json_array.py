"""Split a JSON array into its items, whatever they are.

msgspec splits it. If msgspec refuses the whole, because an item is no JSON or too deep, commas split it.
"""

import re
from collections.abc import Sequence

import msgspec

#: Looks at brackets and commas: 10,000 events take 40,000, and each level in their properties two more. Each look is
#: some 0.2 us in which the worker serves nobody else.
LOOKS_MAX = 500_000

#: What reading a body that is not JSON can raise.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)

_RAW = msgspec.json.Decoder(list[msgspec.Raw])
#: What msgspec says of two faults.
_TRUNCATED = "Input data was truncated"

_BLANKS = b" \t\r\n"
_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_MARK = rb"([\[{]++)|([\]}]++)|(,)"
#: Up to the next brackets or comma of the array itself, and up to the next brackets within an item.
_OUTER = re.compile(rb'(?:[^"\[\]{},]++|%b)*+(?:%b)' % (_TEXT, _MARK), re.DOTALL)
_INNER = re.compile(rb'(?:[^"\[\]{}]++|%b)*+(?:%b)' % (_TEXT, _MARK), re.DOTALL)


def raw_items(array: bytes, most: int) -> Sequence[bytes | msgspec.Raw]:
    """Return the items, each to be read by itself; more than `most` when there are more.

    Raise ValueError, which says why, for a text that is no array.
    """
    try:
        return _RAW.decode(array)
    except UNREADABLE as error:
        try:
            return items_of(array, most)
        except ValueError:
            raise ValueError(why(error)) from error


def why(error: Exception) -> str:
    """Return what msgspec refused, and at which byte."""
    if isinstance(error, RecursionError):
        return "It has too many levels"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if str(error) == _TRUNCATED:
        return r"it ends too early, or has half of a pair of surrogates (\ud800)"
    return str(error).removeprefix("JSON is malformed: ")


def items_of(array: bytes, most: int) -> list[bytes]:
    """Return the texts of the items; one more than `most` when there are more.

    Raise ValueError for a text that is no array, and for one that would take too many looks.
    """
    text = array.strip(_BLANKS)
    if text[:1] != b"[":
        raise ValueError("it begins with no bracket")
    items: list[bytes] = []
    begin = at = depth = 1
    for _ in range(LOOKS_MAX):
        found = (_OUTER if depth == 1 else _INNER).match(text, at)
        if found is None:
            raise ValueError("it ends within a text or an item")
        opened, closed, comma = found.groups(b"")
        at, depth = found.end(), depth + len(opened) - len(closed)
        if depth > 0 and not comma:
            continue
        item = text[begin : at - 1]
        if not item.strip(_BLANKS):
            raise ValueError("there is nothing between two commas")
        items.append(item)
        begin = at
        if len(items) > most:
            return items
        if depth <= 0:
            if depth < 0 or at < len(text) or text[-1:] != b"]":
                raise ValueError("something stands behind its end")
            return items
    raise ValueError("it has too many brackets")
