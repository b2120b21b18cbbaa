"""Which pages of other origins may read the answer of a hit (CORS), with credentials.

Counting does not depend on it: a pixel and `navigator.sendBeacon` need no permission. The exact origin is answered,
never `*`, which browsers refuse together with credentials.
"""

from collections.abc import Iterable, Mapping

#: Seconds for which a browser may believe a preflight.
_BELIEVED_S = 600


class Origins:
    """The origins of the settings."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def headers(self, origin: str | None) -> dict[str, str]:
        """What an answer says to a page of this origin."""
        if origin not in self._allowed:
            return {"vary": "Origin"}
        return {
            "vary": "Origin",
            "access-control-allow-origin": origin or "",
            "access-control-allow-credentials": "true",
        }

    def preflight(self, headers: Mapping[str, str]) -> dict[str, str]:
        """What the answer to a preflight says. To other origins it says nothing, and their browsers stop there."""
        allowed = self.headers(headers.get("origin"))
        if len(allowed) == 1 or "access-control-request-method" not in headers:
            return allowed
        return {
            **allowed,
            "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": str(_BELIEVED_S),
        }
