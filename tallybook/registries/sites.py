"""Write and list sites: where pages may report from. Workers notice a change within about a second."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import available_timezones

import asyncpg
import msgspec

from shared.collect.sites import HOST, HOST_MAX, NAME, SiteSettings
from shared.stores.postgres import statement

_ADD = "INSERT INTO sites (site, timezone, settings) VALUES ($1, $2, $3::jsonb) ON CONFLICT DO NOTHING"
_SET = "UPDATE sites SET timezone = coalesce($2, timezone), settings = coalesce($3::jsonb, settings) WHERE site = $1"
_SETTINGS = "SELECT settings::text FROM sites WHERE site = $1 FOR UPDATE"
_TAKEN = "SELECT host, site FROM site_hosts WHERE host = ANY($1) AND site <> $2 ORDER BY host LIMIT 1"
_DROP_HOSTS = "DELETE FROM site_hosts WHERE site = $1"
_ADD_HOSTS = "INSERT INTO site_hosts (host, site) SELECT host, $2 FROM unnest($1::text[]) AS host"
_PAGE = statement("tallybook/registries/sites.page.sql")


class Listed(NamedTuple):
    """One site."""

    name: str
    timezone: str
    settings: SiteSettings
    hosts: list[str]
    created_at: datetime


async def add(
    connection: "asyncpg.Connection[asyncpg.Record]",
    name: str,
    hosts: Sequence[str],
    timezone: str,
    settings: SiteSettings,
) -> bool:
    """Add a site with its hosts. Return False if it exists: it stays as it is. Raises ValueError for what does not
    fit."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a site: 1 to 64 of a-z, 0-9, dot and hyphen, a letter or digit first")
    async with connection.transaction():
        if await connection.execute(_ADD, name, _zone(timezone), _written(settings)) != "INSERT 0 1":
            return False
        await _put_hosts(connection, name, hosts)
        return True


async def change(
    connection: "asyncpg.Connection[asyncpg.Record]",
    name: str,
    hosts: Sequence[str] | None = None,
    timezone: str | None = None,
    changes: dict[str, object] | None = None,
) -> bool:
    """Change what is given of a site; `hosts` replace all that it has, `changes` some of its settings. Return False if
    there is no such site. Raises ValueError for what does not fit."""
    async with connection.transaction():
        former = await connection.fetchval(_SETTINGS, name)
        if former is None:
            return False
        written = None
        if changes:
            settings = msgspec.json.decode(former, type=SiteSettings)
            written = _written(msgspec.structs.replace(settings, **changes))
        await connection.execute(_SET, name, None if timezone is None else _zone(timezone), written)
        if hosts is not None:
            await connection.execute(_DROP_HOSTS, name)
            await _put_hosts(connection, name, hosts)
        return True


async def listed(connection: "asyncpg.Connection[asyncpg.Record]", after: str = "", limit: int = 1000) -> list[Listed]:
    """Return at most `limit` sites in the order of their names, from behind the name `after`."""
    return [
        Listed(row[0], row[1], msgspec.json.decode(row[2], type=SiteSettings), row[3], row[4])
        for row in await connection.fetch(_PAGE, after, limit)
    ]


async def _put_hosts(connection: "asyncpg.Connection[asyncpg.Record]", name: str, hosts: Sequence[str]) -> None:
    chosen = sorted({_host(host) for host in hosts})
    if not chosen:
        raise ValueError("a site has at least one host: --host shop.example, or --host '*.shop.example'")
    if taken := await connection.fetchrow(_TAKEN, chosen, name):
        raise ValueError(f"{taken['host']} belongs to the site {taken['site']}")
    await connection.execute(_ADD_HOSTS, chosen, name)


def _host(text: str) -> str:
    host = text.lower()
    if not HOST.fullmatch(host) or len(host) > HOST_MAX:
        raise ValueError(
            f"{text[:100]!r} is no host: it is a name without scheme and port, as shop.example; names beyond ASCII are "
            "written as xn--"
        )
    return host


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name[:100]!r} is no time zone, as Europe/Berlin is one")
    return name


def _written(settings: SiteSettings) -> str:
    """Return the settings as the table has them. Raises ValueError for what a site cannot have."""
    text = msgspec.json.encode(settings)
    try:
        msgspec.json.decode(text, type=SiteSettings)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return text.decode()
