"""Sites: the pages that may report to `POST /c`, by the hosts that they come from."""

import re
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

#: A site's name, and a host of it: a name, `*.` before a name for its subdomains, or an IPv6 address in brackets. The
#: tables have the same patterns.
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
HOST_MAX = 255
#: What stands before the name of a host whose subdomains are meant.
SUBDOMAINS = "*."


class SiteSettings(Struct, frozen=True, omit_defaults=True):
    """What the owner of a site decides. The table keeps what is not default."""

    #: Whether visitors of a day are told apart.
    visitors: Literal["daily", "none"] = "daily"
    #: Names of query parameters that stay in the path of a view.
    keep: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=16)] = ()
    #: Whether a page may send `Origin: null`, as sandboxed frames do; then it has to name its site.
    null_origin: bool = False


class Site(NamedTuple):
    """One site."""

    name: str
    timezone: str
    settings: SiteSettings
    hosts: tuple[str, ...]
