"""Write addresses as ClickHouse keeps them: 16 bytes, those of IPv4 among those of IPv6."""

import socket
from functools import lru_cache

#: What stands before an address of IPv4, and what stands for none.
_MAPPED, NO_ADDRESS = bytes(10) + b"\xff\xff", bytes(16)
#: Addresses whose bytes are remembered: clients come again.
_REMEMBERED = 16_384


@lru_cache(_REMEMBERED)
def packed(text: str) -> bytes:
    """Return the 16 bytes of an address. Raises ValueError for what is neither IPv4 nor IPv6."""
    for family, before in ((socket.AF_INET, _MAPPED), (socket.AF_INET6, b"")):
        try:
            return before + socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
    raise ValueError("this is no address of IPv4 or IPv6")


def written(data: bytes) -> str:
    """Return an address of 16 bytes as a text."""
    if data.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, data[12:])
    return socket.inet_ntop(socket.AF_INET6, data)
