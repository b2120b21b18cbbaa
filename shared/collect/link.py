"""Speak of redirect links: one row of the table `links`, and what it may hold."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Literal, NamedTuple

from shared.counting.lane import BANNER_MAX
from shared.destination import Destination

#: What a slug is; the table has the same pattern.
SLUG_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_SLUG = re.compile(SLUG_PATTERN[1:-1])
#: What becomes of `utm_*` and of the names in `pass`: ignored, added where the destination has none of the name, or put
#: in the place of those of the destination.
QueryRule = Literal["keep", "append", "override"]
#: Names in `pass`, and characters of one.
PASS_MAX, PASS_NAME_MAX = 32, 100
#: Clicks that a link may be limited to: as many as a script of Redis can compare.
CLICKS_MAX = BANNER_MAX
#: The parameter that carries the id of a click to the destination.
CLICK_ID = "tbid"


class LinkRow(NamedTuple):
    """One row of `links` as it is written."""

    slug: str
    banner_id: int
    url: str
    query: str = "keep"
    pass_: tuple[str, ...] = ()
    click_id: bool = False
    expires_at: datetime | None = None
    max_clicks: int | None = None
    active: bool = True


def is_slug(text: str) -> bool:
    """Return whether the text can name a link."""
    return _SLUG.fullmatch(text) is not None


def checked(row: LinkRow, hosts: Collection[str] = ()) -> LinkRow:
    """Return the row. Raises ValueError for one that the table cannot hold, or that leads elsewhere than to `hosts`."""
    if not is_slug(row.slug):
        raise ValueError(f"{row.slug[:100]!r} is no slug: write 1 to 64 letters, digits, - and _")
    if not 1 <= row.banner_id <= BANNER_MAX:
        raise ValueError(f"{row.slug}: {row.banner_id} is no banner id; ids are 1 to {BANNER_MAX}")
    try:
        Destination.of(row.url, hosts)
    except ValueError as error:
        raise ValueError(f"{row.slug}: {row.url[:100]!r} cannot be a destination: {error}") from None
    if row.query not in ("keep", "append", "override"):
        raise ValueError(f"{row.slug}: query is {row.query[:100]!r}; it is keep, append or override")
    if len(row.pass_) > PASS_MAX:
        raise ValueError(f"{row.slug}: more than {PASS_MAX} parameters are passed")
    for name in row.pass_:
        if not 1 <= len(name) <= PASS_NAME_MAX or not name.isprintable() or "," in name or name == CLICK_ID:
            raise ValueError(f"{row.slug}: {name[:100]!r} is no parameter that can be passed")
    if row.max_clicks is not None and not 1 <= row.max_clicks <= CLICKS_MAX:
        raise ValueError(f"{row.slug}: clicks are limited to 1 to {CLICKS_MAX}")
    if row.expires_at is not None and row.expires_at.tzinfo is None:
        raise ValueError(f"{row.slug}: the time at which it expires needs a zone")
    return row
