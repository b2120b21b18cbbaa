"""Read and write the cookie `user_id`: one random UUID per browser, and nothing else.

New ids are of version 7. A valid id of version 7 or 4 is kept and its age renewed; any other is replaced. The header
is written by hand: `http.cookies` of Python 3.11 does not know Partitioned (CHIPS), without which browsers drop the
cookie of a third party.
"""

from shared.settings import Settings
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
        attributes = [f"Max-Age={settings.cookie_max_age_s}", "Path=/"]
        if settings.cookie_domain is not None:
            attributes.append(f"Domain={settings.cookie_domain}")
        if settings.cookie_secure:
            attributes.append("Secure")
        if settings.cookie_http_only:
            attributes.append("HttpOnly")
        attributes.append(f"SameSite={settings.cookie_same_site.capitalize()}")
        if settings.cookie_same_site == "none":
            attributes.append("Partitioned")
        self._attributes = "; ".join(attributes)

    def header(self, user: str) -> str:
        """Return the value of Set-Cookie."""
        return f"{NAME}={user}; {self._attributes}"
