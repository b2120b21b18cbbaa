"""Cache the redirect links in each worker, their destinations checked and split."""

import math
from functools import lru_cache, partial
from typing import Any, NamedTuple

import structlog

from ingest.caches.cached_table import CachedTable, Table
from shared.collect.link import LinkRow
from shared.destination import BadDestination, Destination
from shared.settings import Settings
from shared.stores.postgres import Pool, statement

_TABLE = Table(
    name="links",
    version="SELECT version FROM links_version",
    page=statement("ingest/caches/links.page.sql"),
    before="",
    look_up=statement("ingest/caches/links.found.sql"),
)
#: Faults that a worker remembers having told.
_TOLD = 1024

log = structlog.get_logger()


class Link(NamedTuple):
    """One link, ready to be followed."""

    slug: str
    #: The banner whose clicks it counts, in canonical decimal and as a number.
    banner: str
    banner_id: int
    #: None when the row has one that no link may have: then the link is gone.
    destination: Destination | None
    #: The destination as the row has it.
    location: str
    query: str
    #: Names of parameters that pass, beside `utm_*`.
    passing: frozenset[bytes]
    has_click_id: bool
    #: Unix time at which it ends; endless when it never does.
    expires_s: float
    #: Clicks of people that it leads on; None for any number.
    max_clicks: int | None
    is_active: bool
    #: Whether it leads on everybody until it expires.
    is_unlimited: bool
    #: Whether everybody is led to the same location.
    is_fixed: bool

    def is_open(self, now_s: float) -> bool:
        """Return whether it leads anywhere at that Unix time, if its clicks are not used up."""
        return self.is_active and self.destination is not None and now_s < self.expires_s


class Links(CachedTable[str, Link]):
    """Cache the links in one worker."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        super().__init__(pool, _TABLE, partial(_made, hosts=settings.link_hosts))


def _made(row: Any, hosts: tuple[str, ...]) -> Link:
    try:
        destination = Destination.of(row["url"], hosts)
    except BadDestination as error:
        destination = None
        _tell(row["slug"], str(error))
    return made(LinkRow(*row), destination)


def made(row: LinkRow, destination: Destination | None) -> Link:
    """Return the link of a row, with its destination, or without one that a link may have."""
    return Link(
        slug=row.slug,
        banner=str(row.banner_id),
        banner_id=row.banner_id,
        destination=destination,
        location="" if destination is None else destination.url,
        query=row.query,
        passing=frozenset(name.encode() for name in row.pass_),
        has_click_id=row.click_id,
        expires_s=math.inf if row.expires_at is None else row.expires_at.timestamp(),
        max_clicks=row.max_clicks,
        is_active=row.active,
        is_unlimited=row.active and destination is not None and row.max_clicks is None,
        is_fixed=row.query == "keep" and not row.click_id,
    )


@lru_cache(_TOLD)
def _tell(slug: str, reason: str) -> None:
    """Log a fault once, although the table is read again and again."""
    log.error("link_refused", slug=slug, reason=reason)
