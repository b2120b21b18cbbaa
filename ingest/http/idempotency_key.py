"""The header Idempotency-Key, and the ids of clicks, which are written alike."""

from typing import Annotated

from msgspec import Meta

from ingest.http.openapi import Parameter
from ingest.state import Request
from shared.errors import Malformed

#: Characters of an Idempotency-Key or an item's id, all of them visible ASCII.
KEY_MAX = 128
#: What such a key looks like, for schemas.
KEY_PATTERN = rf"^[!-~]{{1,{KEY_MAX}}}$"


def is_key(text: str) -> bool:
    """Return whether the text may be an Idempotency-Key or an item's id: 1 to 128 visible ASCII characters."""
    return 0 < len(text) <= KEY_MAX and text.isascii() and text.isprintable() and " " not in text


def key_of(request: Request) -> str | None:
    """Return the Idempotency-Key of a request. Raise Malformed for one that is no key, or for several."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not is_key(keys[0]):
        raise Malformed(f"Idempotency-Key has to be given once, as 1 to {KEY_MAX} visible ASCII characters.")
    return keys[0]


def parameter(description: str, example: str) -> Parameter:
    """Return the header as a parameter of an operation."""
    return Parameter(
        "Idempotency-Key", Annotated[str, Meta(pattern=KEY_PATTERN)], description, "header", example=example
    )
