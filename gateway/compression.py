"""Unpack bodies in the encodings that clickhouse-connect sends, up to a limit."""

import sys
import zlib
from typing import Any

import lz4.frame

from gateway.failure import Failure, refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """Return the unpacked body. Raises Failure if it is broken or larger than `most` bytes."""
    if encoding in ("", "identity"):
        return body
    try:
        decompressor = _decompressor(encoding)
        data: bytes = decompressor.decompress(body, most + 1)
    except Failure:
        raise
    except Exception as error:  # each library has its own
        raise refusal(271, "CANNOT_DECOMPRESS", f"Cannot decompress the {encoding} body: {error}.") from None
    if len(data) > most:
        raise too_large(most)
    if not decompressor.eof:
        raise refusal(271, "CANNOT_DECOMPRESS", f"Cannot decompress the {encoding} body: it ends too early.")
    return data


def too_large(most: int) -> Failure:
    """Return the failure of a body that is too large."""
    return refusal(307, "TOO_MANY_BYTES", f"The body is larger than {most} bytes.")


def _decompressor(encoding: str) -> Any:
    match encoding:
        case "gzip":
            return zlib.decompressobj(wbits=31)
        case "deflate":
            return zlib.decompressobj()
        case "lz4":
            return lz4.frame.LZ4FrameDecompressor()
        case "zstd":
            return zstd.ZstdDecompressor()
    raise refusal(73, "UNKNOWN_FORMAT", f"Content-Encoding {encoding} is not supported.")
