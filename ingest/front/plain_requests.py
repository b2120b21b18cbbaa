"""Recognise plain requests: whole ones without a body, about which no two parsers disagree.

A buffer is plain when strict patterns match all of it, from its first byte to its last. The front therefore never
decides where a message ends: whatever is not recognised goes to Granian untouched.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

#: A click, or a hit with its query: the bytes that URL parsers accept (WHATWG, "query state"), and UTF-8 below.
_LINE = re.compile(
    rb"(?:POST /stats/(?P<banner>[1-9][0-9]{0,15})"
    rb"|(?P<method>GET|POST) (?P<path>/track|/track\.gif)\?(?P<query>[!$-;=?-~\x80-\xff]{1,8192}+)) HTTP/1\.1\r\n"
)
#: A redirect link, with a query or without. It is looked for where `_LINE` finds none, so clicks do not pay for it.
#: Its groups are the same, and the one of banners is never there.
_LINK = re.compile(
    rb"(?P<banner>(?!))?(?P<method>GET) (?P<path>/r/[A-Za-z0-9][A-Za-z0-9_-]{0,63})"
    rb"(?:\?(?P<query>[!$-;=?-~\x80-\xff]{0,8192}+))? HTTP/1\.1\r\n"
)
#: Header lines as RFC 9112 writes them. Possessive, so that a hostile block costs one pass.
_BLOCK = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)++")
#: Headers that announce a body, another protocol, or a question before the body.
_OTHERS = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"http2-settings", b"trailer", b"te"})
#: Bytes and lines of a header block; hyper refuses more than 100 lines.
_BLOCK_MAX, _LINES_MAX = 8192, 64
#: Header blocks that are remembered, and the bytes of the largest one: browsers and keep-alive clients repeat theirs.
_REMEMBERED, _REMEMBERED_BYTES = 2048, 1024


class Plain(NamedTuple):
    """One plain request. A click has a banner; hits and links have a method, a path and a query."""

    banner: str
    method: str
    path: bytes
    query: bytes
    #: By lower-case name. Shared between requests, so never changed.
    headers: Mapping[bytes, bytes]
    #: Where it begins and ends in its buffer.
    begin: int
    end: int


def clicked(buffer: bytes) -> str:
    """Return the banner of the one click without a key that the buffer is; empty: `recognised` has to look.

    Most buffers are one click whose header block came before, so this is what recognising costs. The banner is any
    text: the lane refuses what is no id.
    """
    if len(buffer) > _REMEMBERED_BYTES:
        return ""
    line, _, rest = buffer.partition(b" HTTP/1.1\r\n")
    return line[12:].decode("latin-1") if line[:12] == b"POST /stats/" and _is_keyless(rest) else ""


def recognised(buffer: bytes) -> list[Plain]:
    """Return the plain requests that the buffer consists of. Empty: at least one byte belongs to something else."""
    found, at = list[Plain](), 0
    while at < len(buffer):
        line = _LINE.match(buffer, at) or _LINK.match(buffer, at)
        if line is None:
            return []
        begin = line.end()
        end = buffer.find(b"\r\n\r\n", begin, begin + _BLOCK_MAX) + 4
        if end < 4:
            return []
        block = buffer[begin : end - 2]
        headers = _remembered(block) if len(block) <= _REMEMBERED_BYTES else _headers(block)
        if headers is None:
            return []
        banner, method, path, query = line.groups()
        if query is not None and not _is_text(query):
            return []
        if banner is not None:
            found.append(Plain(banner.decode(), "POST", b"", b"", headers, at, end))
        else:
            found.append(Plain("", method.decode(), path, query or b"", headers, at, end))
        at = end
    return found


def _is_text(query: bytes) -> bool:
    """Whether hyper would take it: browsers send UTF-8 unescaped at times, anything else is refused."""
    try:
        query.decode()
    except UnicodeDecodeError:
        return False
    return True


def _headers(block: bytes) -> Mapping[bytes, bytes] | None:
    """Return the headers of a block; None when it is malformed, repeats a name, or asks for more than plain requests
    do."""
    if _BLOCK.fullmatch(block) is None:
        return None
    lines = block[:-2].split(b"\r\n", _LINES_MAX)
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip(b" \t")
    if len(headers) != len(lines) or len(lines) > _LINES_MAX or not headers.get(b"host"):
        return None
    if headers.get(b"content-length", b"0") != b"0" or not _OTHERS.isdisjoint(headers):
        return None
    return headers if headers.get(b"connection", b"keep-alive").lower() == b"keep-alive" else None


_remembered = lru_cache(_REMEMBERED)(_headers)


@lru_cache(_REMEMBERED)
def _is_keyless(rest: bytes) -> bool:
    """Return whether this is the header block of one plain request, with its empty line and without a key."""
    headers = _headers(rest[:-2]) if rest.endswith(b"\r\n\r\n") else None
    return headers is not None and b"idempotency-key" not in headers
