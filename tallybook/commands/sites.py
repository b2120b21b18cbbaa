"""`tallybook sites`: say which pages may report, and print the tag that makes them do so."""

import html
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from shared.collect.sites import SiteSettings
from shared.settings import Settings, load
from tallybook.commands.database import say_all, written
from tallybook.options import DATA_DIR, JSON_LINES

if TYPE_CHECKING:
    from tallybook.registries.sites import Listed

_HOSTS = click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host of it, or its subdomains as '*.shop.example'. Repeatable.",
)
_VISITORS = click.option(
    "--visitors", type=click.Choice(["daily", "none"]), help="Whether visitors of a day are told apart."
)
_KEEP = click.option(
    "--keep", multiple=True, metavar="NAME", help="A query parameter that stays in the path of a view. Repeatable."
)


@click.group()
def sites() -> None:
    """Say which pages may report to POST /c. Pages of other hosts are refused.

    \b
    Examples:
      tallybook sites add shop --host shop.example --host '*.shop.example' --tz Europe/Berlin
      tallybook sites set shop --visitors none
      tallybook sites list
    """


@sites.command()
@DATA_DIR
@click.argument("name")
@_HOSTS
@click.option("--tz", "timezone", default="UTC", show_default=True, help="The zone in which its days begin.")
@_VISITORS
@_KEEP
@click.option("--null-origin", is_flag=True, help="Take pages without an origin, as sandboxed frames are.")
@click.option("--base", metavar="URL", help="Address of this service as pages reach it, for the tag.")
def add(
    name: str,
    hosts: tuple[str, ...],
    timezone: str,
    visitors: str | None,
    keep: tuple[str, ...],
    null_origin: bool,
    base: str | None,
    data_dir: str | None,
) -> None:
    """Add a site and print the tag for its pages."""
    from tallybook.registries import sites as site_table

    settings = SiteSettings(visitors=visitors or "daily", keep=keep, null_origin=null_origin)  # type: ignore[arg-type]
    if not written(lambda connection: site_table.add(connection, name, hosts, timezone, settings), data_dir):
        raise click.BadParameter(f"{name} is there already; change it with `tallybook sites set`")
    click.echo(_tag(base, load(data_dir=data_dir)))


@sites.command("set")
@DATA_DIR
@click.argument("name")
@_HOSTS
@click.option("--tz", "timezone", help="The zone in which its days begin.")
@_VISITORS
@_KEEP
@click.option("--null-origin/--no-null-origin", default=None, help="Take pages without an origin, or do not.")
def set_(
    name: str,
    hosts: tuple[str, ...],
    timezone: str | None,
    visitors: str | None,
    keep: tuple[str, ...],
    null_origin: bool | None,
    data_dir: str | None,
) -> None:
    """Change a site. `--host` replaces all its hosts, `--keep` all names that it keeps; `--keep ''` keeps none."""
    from tallybook.registries import sites as site_table

    given: dict[str, Any] = {"visitors": visitors, "null_origin": null_origin}
    changes = {field: value for field, value in given.items() if value is not None}
    if keep:
        changes["keep"] = tuple(one for one in keep if one)
    is_there = written(
        lambda connection: site_table.change(connection, name, hosts or None, timezone, changes), data_dir
    )
    if not is_there:
        raise click.BadParameter(f"there is no site {name}; add it with `tallybook sites add`")
    click.echo(name)


@sites.command("list")
@DATA_DIR
@JSON_LINES
def listed(as_json: bool, data_dir: str | None) -> None:
    """List the sites by name, with a tab before the zone and before the hosts."""
    from tallybook.registries import sites as site_table

    say_all(site_table.listed, "", partial(_line, as_json=as_json), data_dir)


def _line(site: "Listed", *, as_json: bool) -> str:
    if not as_json:
        return f"{site.name}\t{site.timezone}\t{' '.join(site.hosts)}"
    settings = site.settings
    return json.dumps(
        {
            "site": site.name,
            "timezone": site.timezone,
            "hosts": site.hosts,
            "visitors": settings.visitors,
            "keep": list(settings.keep),
            "nullOrigin": settings.null_origin,
            "createdAt": site.created_at.isoformat(),
        }
    )


def _tag(base: str | None, settings: Settings) -> str:
    """Return the element that loads the snippet, from the service at `base`."""
    from ingest.snippet import tag

    at = (base or f"http://{settings.host}:{settings.port}").rstrip("/")
    return tag(html.escape(at + (settings.web_prefix or "")))
