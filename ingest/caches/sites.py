"""Cache the sites in each worker, and find the one that a request comes from.

Nothing is looked up for a request: whatever origins are invented, Postgres does not notice. A new site is known within
about a second.
"""

import re
from typing import Any

import msgspec
import structlog

from ingest.caches.cached_table import CachedTable, Table
from shared.collect.sites import SUBDOMAINS, Site, SiteSettings
from shared.errors import UnknownSite
from shared.stores.postgres import Pool, statement

_TABLE = Table(
    name="sites",
    version="SELECT version FROM sites_version",
    page=statement("ingest/caches/sites.page.sql"),
    before="",
    look_up=statement("ingest/caches/sites.look_up.sql"),
)
#: An origin of a page: scheme, host and port (RFC 6454, section 6.1), as browsers write it.
_ORIGIN = re.compile(r"https?://([a-z0-9_.-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
#: What a browser sends where a page has no origin that it may tell.
_NULL = "null"

log = structlog.get_logger()


class Sites(CachedTable[str, Site | None]):
    """Cache the sites in one worker."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, _TABLE, _made)
        self._of_hosts: dict[str, Site] = {}

    async def _load(self) -> tuple[int, dict[str, Site | None]]:
        version, values = await super()._load()
        self._of_hosts = {host: site for site in values.values() if site is not None for host in site.hosts}
        return version, values

    def of(self, origin: str | None, name: str | None) -> Site:
        """Return the site of a request: by the host of its origin, which has to be the one that it names, if it names
        one.

        Raise UnknownSite, and PostgresUnavailable while the table was never read.
        """
        if not self.is_loaded():
            raise self._away()
        if origin == _NULL:
            site = None if name is None else self.known(name)
            if site is None or not site.settings.null_origin:
                raise UnknownSite("Pages without an origin have to name a site that takes them (`--null-origin`).")
            return site
        found = _ORIGIN.fullmatch(origin or "")
        site = None if found is None else self._of_host(found[1])
        if site is None or name not in (None, site.name):
            raise UnknownSite
        return site

    def _of_host(self, host: str) -> Site | None:
        """Return the site of a host: by its name, else by the nearest domain above it whose subdomains are one's."""
        site = self._of_hosts.get(host)
        while site is None and "." in host:
            host = host.partition(".")[2]
            site = self._of_hosts.get(SUBDOMAINS + host)
        return site


def _made(row: Any) -> Site | None:
    """Return the site of a row; None, and a line in the log, where its settings are none."""
    try:
        settings = msgspec.json.decode(row["settings"], type=SiteSettings)
    except msgspec.ValidationError as error:
        log.error("site_settings_invalid", site=row["site"], reason=str(error)[:200])
        return None
    return Site(row["site"], row["timezone"], settings, tuple(row["hosts"]))
