"""Say who calls: a key, or the subject of a token (JWT)."""

from datetime import datetime
from typing import Literal, NamedTuple


class Caller(NamedTuple):
    """Identify a caller. `subject` is the prefix of a key, or the claim `sub` of a token."""

    kind: Literal["key", "jwt"]
    subject: str
    scopes: frozenset[str]
    #: When it ends, if it does.
    expires_at: datetime | None = None

    @property
    def name(self) -> str:
        """The name that limits are kept by."""
        return f"{self.kind} {self.subject}"
