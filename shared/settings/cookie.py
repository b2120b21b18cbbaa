"""Read the attributes of the cookie `user_id`, in the notation of `Set-Cookie`."""

import re
from typing import NamedTuple

from shared.settings.fields import SettingsError

#: Seconds that browsers keep a cookie at most (RFC 6265bis, 5.5): 400 days.
_MAX_AGE_S = 400 * 86_400
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_SAME_SITE = {"none": "None", "lax": "Lax", "strict": "Strict"}
_KNOWN = {"domain", "httponly", "max-age", "samesite", "secure"}


class CookieAttributes(NamedTuple):
    """Hold what a browser is told of the cookie."""

    max_age_s: int
    #: `None`, `Lax` or `Strict`.
    same_site: str
    is_secure: bool
    is_http_only: bool
    domain: str | None


def cookie_attributes(text: str) -> CookieAttributes:
    """Return the attributes, which come in any order. Raises SettingsError for what browsers would refuse."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, value = (word.strip() for word in part.partition("="))
        if name.lower() not in _KNOWN or name.lower() in found:
            raise _unfit(f"{name} is unknown or comes twice; write Max-Age, SameSite, Secure, HttpOnly and Domain")
        found[name.lower()] = value
    age, same_site, domain = found.get("max-age", ""), found.get("samesite", "").lower(), found.get("domain")
    if not re.fullmatch(r"[1-9]\d{0,8}", age, re.ASCII) or int(age) > _MAX_AGE_S:
        raise _unfit(f"Max-Age has to be 1 to {_MAX_AGE_S} seconds, which is 400 days")
    if same_site not in _SAME_SITE:
        raise _unfit("SameSite has to be None, Lax or Strict")
    if same_site == "none" and "secure" not in found:
        raise _unfit("SameSite=None needs Secure: browsers refuse it else")
    if found.get("secure") or found.get("httponly"):
        raise _unfit("Secure and HttpOnly have no value; leave them out to switch them off")
    if domain is not None and not _DOMAIN.fullmatch(domain):
        raise _unfit("Domain has to be a domain in small letters, as example.org")
    return CookieAttributes(int(age), _SAME_SITE[same_site], "secure" in found, "httponly" in found, domain)


def _unfit(reason: str) -> SettingsError:
    return SettingsError(f"TALLYBOOK_COOKIE: {reason}")
