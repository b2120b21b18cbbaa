"""Read and write the cookie `user_id`: one random UUID per browser, and nothing else.

New ids are of version 7. A valid id of version 7 or 4 is kept and its age renewed; any other is replaced. The header
is written by hand: `http.cookies` of Python 3.11 does not know Partitioned (CHIPS), without which browsers drop the
cookie of a third party.
"""

from shared.settings import Settings
from shared.settings.cookie import cookie_attributes
from shared.uuid7 import is_random

NAME = "user_id"
_NAME = NAME.encode()


def user_id(cookies: bytes) -> str | None:
    """Return the first valid id of a Cookie header. Its other cookies may hold any bytes."""
    for pair in cookies.split(b";"):
        name, _, value = pair.strip(b" \t").partition(b"=")
        if name == _NAME and is_random(text := value.decode("latin-1")):
            return text
    return None


class Cookie:
    """Write the header by the settings."""

    def __init__(self, settings: Settings) -> None:
        of = cookie_attributes(settings.cookie)
        attributes = [f"Max-Age={of.max_age_s}", "Path=/"]
        if of.domain is not None:
            attributes.append(f"Domain={of.domain}")
        if of.is_secure:
            attributes.append("Secure")
        if of.is_http_only:
            attributes.append("HttpOnly")
        attributes.append(f"SameSite={of.same_site}")
        if of.same_site == "None":
            attributes.append("Partitioned")
        self._attributes = "; ".join(attributes)

    def header(self, user: str) -> str:
        """Return the value of Set-Cookie."""
        return f"{NAME}={user}; {self._attributes}"
