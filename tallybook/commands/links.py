"""`tallybook links`: make and change redirect links, which count a click and lead on."""

import json
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from shared.collect.link import is_slug
from shared.settings import load
from tallybook.commands.database import say_all, with_database, written
from tallybook.exits import Exit, Stop
from tallybook.options import DATA_DIR, JSON_LINES, moment

if TYPE_CHECKING:
    from tallybook.registries.links import Stored

_QUERY = click.Choice(("keep", "append", "override"))
#: What a word stands for where `links set` takes a limit away.
_NEVER = "never"


@click.group()
def links() -> None:
    """Make redirect links: GET /r/SLUG counts a click of a banner and leads on.

    \b
    Examples:
      tallybook links add spring --banner 42 --url https://shop.example/sale --query append --click-id --expires 90d
      tallybook links set spring --url https://shop.example/summer
      tallybook links import links.csv
      tallybook links qr spring --base https://t.example > spring.svg
    """


@links.command()
@DATA_DIR
@click.argument("slug")
@click.option("--banner", required=True, metavar="ID", help="The banner whose clicks it counts.")
@click.option("--url", required=True, help="Where it leads: http:// or https://, in ASCII.")
@click.option(
    "--query", type=_QUERY, default="keep", help="What becomes of utm_* that a visitor sends (keep: nothing)."
)
@click.option("--pass", "passing", multiple=True, metavar="NAME", help="Passes a parameter like utm_*. Repeatable.")
@click.option("--click-id", is_flag=True, help="Add tbid=BANNER.ID to the destination, new with each click.")
@click.option("--expires", metavar="WHEN", help="90d, 12h, or an ISO 8601 time with zone; never when not given.")
@click.option("--max-clicks", type=int, metavar="N", help="People that it leads on; any number when not given.")
def add(slug: str, data_dir: str | None, **given: Any) -> None:
    """Add a link and print its slug."""
    from shared.collect.link import LinkRow
    from tallybook.registries import links as link_table

    hosts = load(data_dir=data_dir).link_hosts
    row = LinkRow(
        slug=slug,
        banner_id=_banner(given["banner"]),
        url=given["url"],
        query=given["query"],
        pass_=given["passing"],
        click_id=given["click_id"],
        expires_at=None if given["expires"] is None else moment(given["expires"]),
        max_clicks=given["max_clicks"],
    )
    if not written(lambda connection: link_table.add(connection, row, hosts), data_dir):
        raise click.BadParameter(f"{slug} is there already; change it with `tallybook links set`")
    click.echo(slug)


@links.command("set")
@DATA_DIR
@click.argument("slug")
@click.option("--banner", metavar="ID", help="The banner whose clicks it counts from now on.")
@click.option("--url", help="Where it leads.")
@click.option("--query", type=_QUERY, help="What becomes of utm_* that a visitor sends.")
@click.option("--pass", "passing", multiple=True, metavar="NAME", help="These parameters pass, and no others.")
@click.option("--click-id/--no-click-id", default=None, help="Add tbid=BANNER.ID to the destination.")
@click.option("--expires", metavar="WHEN", help="90d, 12h, an ISO 8601 time with zone, or never.")
@click.option("--max-clicks", metavar="N", help="People that it leads on in all, or never for no limit.")
@click.option("--active/--inactive", default=None, help="Switch it on or off.")
def set_(slug: str, data_dir: str | None, **given: Any) -> None:
    """Change what is given of a link, and leave the rest."""
    from tallybook.registries import links as link_table

    hosts = load(data_dir=data_dir).link_hosts
    changes = {name: given[name] for name in ("url", "query", "click_id", "active") if given[name] is not None}
    if given["banner"] is not None:
        changes["banner_id"] = _banner(given["banner"])
    if given["passing"]:
        changes["pass_"] = given["passing"]
    if given["expires"] is not None:
        changes["expires_at"] = None if given["expires"] == _NEVER else moment(given["expires"])
    if given["max_clicks"] is not None:
        changes["max_clicks"] = None if given["max_clicks"] == _NEVER else _number(given["max_clicks"])
    if not changes:
        raise click.UsageError("Nothing is to be changed: give an option.")
    if not written(lambda connection: link_table.change(connection, slug, changes, hosts), data_dir):
        raise click.BadParameter(f"there is no link {slug}; add it with `tallybook links add`")
    click.echo(slug)


@links.command("list")
@DATA_DIR
@JSON_LINES
def listed(as_json: bool, data_dir: str | None) -> None:
    """List slug, state, banner and destination of every link, separated by tabs."""
    from tallybook.registries import links as link_table

    say_all(link_table.listed, "", partial(_line, as_json=as_json), data_dir)


def _line(row: "Stored", *, as_json: bool) -> str:
    is_expired = row.expires_at is not None and row.expires_at <= datetime.now(row.expires_at.tzinfo)
    state = "inactive" if not row.active else "expired" if is_expired else "active"
    if not as_json:
        return f"{row.slug}\t{state}\t{row.banner_id}\t{row.url}"
    return json.dumps(
        {
            "slug": row.slug,
            "state": state,
            "bannerId": row.banner_id,
            "url": row.url,
            "query": row.query,
            "pass": row.pass_,
            "clickId": row.click_id,
            "expiresAt": None if row.expires_at is None else row.expires_at.isoformat(),
            "maxClicks": row.max_clicks,
            "createdAt": row.created_at.isoformat(),
            "updatedAt": row.updated_at.isoformat(),
        }
    )


@links.command("import")
@DATA_DIR
@click.argument("file")
def import_(file: str, data_dir: str | None) -> None:
    """Add or change the links of a CSV file, all or none. `-` is stdin.

    Its heading names the columns: slug, banner and url, and any of query, pass (names with commas), click_id, expires,
    max_clicks and active.
    """
    from tallybook.imports.link_file import LinkFile
    from tallybook.registries import links as link_table

    hosts = load(data_dir=data_dir).link_hosts
    with LinkFile(file) as rows:
        try:
            changed = with_database(lambda connection: link_table.put(connection, rows, hosts), data_dir)
        except ValueError as error:
            raise rows.fault(str(error)) from None
    click.echo(f"added or changed: {changed}")


@links.command()
@click.argument("slug")
@click.option("--base", required=True, metavar="URL", help="Where this service is reached: https://t.example")
def qr(slug: str, base: str) -> None:
    """Print the QR code of a link as SVG."""
    from io import BytesIO

    from shared.destination import Destination

    try:
        import segno
    except ImportError:
        raise Stop(Exit.SETTINGS, "QR codes need segno: pip install 'tallybook[qr]'.") from None
    if not is_slug(slug):
        raise click.BadParameter(f"{slug[:100]!r} is no slug")
    try:
        Destination.of(base)
    except ValueError as error:
        raise click.BadParameter(f"{base[:100]!r} is no address: {error}") from None
    picture = BytesIO()
    segno.make(f"{base.rstrip('/')}/r/{slug}", error="m").save(picture, kind="svg", scale=4)
    click.echo(picture.getvalue().decode())


def _banner(text: str) -> int:
    from shared.counting.lane import banner_id

    try:
        return banner_id(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no banner id: write a whole number") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise click.BadParameter(f"{text[:100]!r} is no number of clicks: write a whole number, or {_NEVER}")
    return int(text)
