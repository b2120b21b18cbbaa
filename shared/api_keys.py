"""Keys of the HTTP interface: how one looks, and what the table keeps of it.

A key is `tb_<prefix>_<secret>`. The prefix finds the row and may be shown; the secret is 32 random bytes, of which the
table has the SHA-256 alone. A slow hash would protect what people choose; nobody can try out 2^256 values.
"""

import base64
import hmac
import re
import secrets
from hashlib import sha256
from typing import Literal, NamedTuple

#: Scopes of a key. `admin` includes every other one.
KeyScope = Literal["events:write", "clicks:write", "hits:write", "collect:write", "stats:read", "logs:read", "admin"]
ADMIN: KeyScope = "admin"

#: How every key begins, so that scanners of repositories and logs can find one that leaked.
MARK = "tb_"
_PREFIX_BYTES, _SECRET_BYTES = 8, 32
_KEY = re.compile(r"tb_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")
PREFIX = re.compile(r"[a-z2-7]{12}")


class Key(NamedTuple):
    """Hold a key as its holder sends it."""

    prefix: str
    secret: str

    @property
    def text(self) -> str:
        """The whole key."""
        return f"{MARK}{self.prefix}_{self.secret}"

    @property
    def hash(self) -> bytes:
        """What the table keeps of the secret."""
        return sha256(self.secret.encode()).digest()


def new() -> Key:
    """Return a new key."""
    prefix = base64.b32encode(secrets.token_bytes(_PREFIX_BYTES)).decode().lower()[:12]
    return Key(prefix, secrets.token_urlsafe(_SECRET_BYTES))


def parsed(text: str) -> Key | None:
    """Return the key that a text is; None if it is none."""
    found = _KEY.fullmatch(text)
    return None if found is None else Key(found[1], found[2])


def is_equal(key: Key, stored: bytes) -> bool:
    """Return True if the key has this hash. The time that takes does not tell where they differ."""
    return hmac.compare_digest(key.hash, stored)


def allows(scopes: frozenset[str], needed: str) -> bool:
    """Return True if the scopes are enough for what needs this one."""
    return needed in scopes or ADMIN in scopes
