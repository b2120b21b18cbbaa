"""Write integers of JSON beyond 64 bits as texts of their digits.

No column of ClickHouse holds such a number. Some releases read it as a text; older ones find in a document that has one
nothing at all, or refuse it. As a text it is the same, to its last digit, to all of them.
"""

import re

_ZEROS = bytes.maketrans(b"123456789", b"000000000")
#: The shortest of them: -9223372036854775809.
_LONG = b"0" * 19
#: A text, or a number: whole ones have nothing behind their digits.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|(-?[0-9]++)(\.[0-9]++)?([eE][-+]?[0-9]++)?', re.DOTALL)
_LEAST, _MOST = -(2**63), 2**64 - 1
#: Digits of a number that has certainly no place in 64 bits: it need not be read, which takes long.
_CERTAIN = 21


def fitted(text: bytes) -> bytes:
    """Return the JSON with such integers in quotation marks; most has none, and costs a look at its digits."""
    if _LONG not in text.translate(_ZEROS):
        return text
    return _TOKEN.sub(_quoted, text)


def fitted_lines(lines: bytes) -> bytes:
    """The same of many documents: texts with long numbers, as ids of traces are, are in few of them."""
    if _LONG not in lines.translate(_ZEROS):
        return lines
    return b"\n".join(map(fitted, lines.split(b"\n")))


def _quoted(found: re.Match[bytes]) -> bytes:
    whole, fraction, exponent = found.groups()
    if whole is None or fraction or exponent:
        return found[0]
    is_large = len(whole) > _CERTAIN or not _LEAST <= int(whole) <= _MOST
    return b'"%b"' % whole if is_large else whole
