"""Pack many byte strings into one: product events into a record, records into an entry of the record log.

    block    magic (4 bytes), number of strings, CRC-32 of that and the rest, lengths, strings

The magic says what the strings are. A value that begins with it and is damaged is no block.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from zlib import crc32

#: Strings of a block: fewer than so many, so that a number fits into as many bits.
BITS = 14
_END = 1 << BITS
_HEAD = struct.Struct("<4sII")


def packed(magic: bytes, strings: Sequence[bytes]) -> bytes:
    """Return the strings as a block, in order."""
    rest = b"".join((struct.pack(f"<{len(strings)}I", *map(len, strings)), *strings))
    return _HEAD.pack(magic, len(strings), crc32(rest, len(strings))) + rest


def held(magic: bytes, value: bytes) -> int:
    """Return the number of strings in a block, as its head says; 1 for what is no block."""
    if len(value) < _HEAD.size or not value.startswith(magic):
        return 1
    count: int = _HEAD.unpack_from(value)[1]
    return count if 0 < count < _END else 1


def unpacked(magic: bytes, block: bytes) -> list[bytes]:
    """Return the strings of a block. Raises ValueError for what is no block."""
    if len(block) < _HEAD.size or not block.startswith(magic):
        raise ValueError("this is no block")
    _, count, checksum = _HEAD.unpack_from(block)
    if crc32(memoryview(block)[_HEAD.size :], count) != checksum:
        raise ValueError("the block is damaged")
    lengths = struct.unpack_from(f"<{count}I", block, _HEAD.size)
    begins = accumulate(lengths, initial=_HEAD.size + 4 * count)
    return [block[begin:end] for begin, end in pairwise(begins)]
