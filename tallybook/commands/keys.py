"""`tallybook keys`: create, list and revoke API keys."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, get_args

import click

from shared.api_keys import PREFIX, KeyScope, parsed
from tallybook.commands.database import say_all, with_database, written
from tallybook.options import DATA_DIR, JSON_LINES, moment
from tallybook.output import printable

if TYPE_CHECKING:
    from tallybook.registries.api_keys import Row


@click.group()
def keys() -> None:
    """Create, list and revoke API keys of the HTTP interface (docs/keys.md).

    \b
    Examples:
      tallybook keys create "warehouse import" --scope events:write --expires 90d
      tallybook keys list
      tallybook keys revoke k3v7q2mzt4xa
    """


@keys.command()
@DATA_DIR
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(get_args(KeyScope)), help="Repeatable."
)
@click.option("--expires", metavar="WHEN", help="90d, 12h, or an ISO 8601 time with zone; never when not given.")
def create(name: str, scopes: tuple[str, ...], expires: str | None, data_dir: str | None) -> None:
    """Create a key and print it once: tallybook keeps only its hash."""
    from tallybook.registries import api_keys

    until = None if expires is None else moment(expires)
    key = written(lambda connection: api_keys.create(connection, name, scopes, until), data_dir)
    click.echo(f"{key.prefix}: keep the key, it is not shown again", err=True)
    click.echo(key.text)


@keys.command("list")
@DATA_DIR
@JSON_LINES
def listed(as_json: bool, data_dir: str | None) -> None:
    """List prefix, state, scopes, expiry, last use (both to the minute) and name of every key, separated by tabs."""
    from tallybook.registries import api_keys

    say_all(api_keys.listed, "", partial(_line, as_json=as_json), data_dir)


def _line(row: "Row", *, as_json: bool) -> str:
    is_expired = row.expires_at is not None and row.expires_at <= datetime.now(UTC)
    state = "revoked" if row.revoked_at is not None else "expired" if is_expired else "active"
    if not as_json:
        name = printable(row.name)  # of an older row
        return "\t".join(
            (row.prefix, state, ",".join(row.scopes), _minute(row.expires_at), _minute(row.last_used_at), name)
        )
    times = {
        "createdAt": row.created_at,
        "expiresAt": row.expires_at,
        "revokedAt": row.revoked_at,
        "lastUsedAt": row.last_used_at,
    }
    shown = {name: None if time is None else time.astimezone(UTC).isoformat() for name, time in times.items()}
    return json.dumps({"prefix": row.prefix, "name": row.name, "state": state, "scopes": row.scopes, **shown})


def _minute(time: datetime | None) -> str:
    return "never" if time is None else f"{time.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


@keys.command()
@DATA_DIR
@click.argument("prefix")
def revoke(prefix: str, data_dir: str | None) -> None:
    """Revoke a key for good. Workers refuse it within about a second, and its row stays."""
    from tallybook.registries import api_keys

    key = parsed(prefix)
    wanted = prefix if key is None else key.prefix
    if not PREFIX.fullmatch(wanted):
        raise click.BadParameter("a prefix has 12 characters of a-z and 2-7; `tallybook keys list` shows it")
    if not with_database(lambda connection: api_keys.revoke(connection, wanted), data_dir):
        raise click.BadParameter(f"there is no key {wanted}")
    click.echo(wanted)
