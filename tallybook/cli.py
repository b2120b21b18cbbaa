"""The command line. Heavy imports are inside the commands, so that `--help` answers at once."""

import asyncio
import csv
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from shared.settings import Settings, SettingsError, load
from tallybook.exits import Exit, Stop

_DATA_DIR = click.option("--data-dir", metavar="DIR", help="Folder of lanes, sockets and embedded servers.")


class _Group(click.Group):
    """Turns what a command cannot do into one sentence and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SettingsError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(Exit.SETTINGS)
        except Stop as stop:
            click.echo(f"error: {stop}", err=True)
            sys.exit(stop.code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tallybook")
def main() -> None:
    """Counts clicks, each exactly once.

    \b
    tallybook up                     everything on this machine, with embedded servers
    tallybook ingest                 the HTTP service alone
    tallybook aggregate              the background service alone
    tallybook check                  is everything as it has to be?

    Every setting is a variable, TALLYBOOK_<NAME>; docs/configuration.md lists them. Exit codes stand in
    docs/operate.md.
    """


def _configured(process: str, **flags: Any) -> Settings:
    from shared.logging import configure

    settings = load(**flags)
    configure(settings, process)
    return settings


def _supervise(services: list[str], **flags: Any) -> None:
    from tallybook.supervisor import Supervisor

    Supervisor(_configured("supervisor", **flags), services).run()


@main.command()
@_DATA_DIR
@click.option("--host", help="Address to bind.")
@click.option("--port", type=int, help="Port to bind.")
@click.option("--workers", type=int, help="Ingest workers; one per core by default.")
def up(**flags: Any) -> None:
    """Run everything: servers that no URL is set for, the HTTP service and the aggregator.

    \b
    Example:
      tallybook up --port 8080 --data-dir ./data
    """
    _supervise(["ingest", "aggregator"], **flags)


@main.command()
@_DATA_DIR
@click.option("--host", help="Address to bind.")
@click.option("--port", type=int, help="Port to bind.")
@click.option("--workers", type=int, help="Worker processes; one per core by default.")
def ingest(**flags: Any) -> None:
    """Run the HTTP service alone.

    \b
    Example:
      TALLYBOOK_REDIS_URL=redis://cache TALLYBOOK_DATABASE_URL=postgresql://db/clicks tallybook ingest
    """
    _supervise(["ingest"], **flags)


@main.command()
@_DATA_DIR
def aggregate(**flags: Any) -> None:
    """Run the background service alone: closed minutes into Postgres. Any number may run."""
    _supervise(["aggregator"], **flags)


@main.command()
@_DATA_DIR
def migrate(**flags: Any) -> None:
    """Bring the schema of Postgres forward. Safe to repeat and to race."""
    from shared.migrate import SchemaError, migrate

    settings = _reached(_configured("migrate", **flags))
    try:
        applied = asyncio.run(migrate(settings.database_url or ""))
    except SchemaError as error:
        raise Stop(Exit.FOREIGN_DATA, str(error)) from None
    except OSError as error:
        raise Stop(Exit.UNREACHABLE, f"Postgres does not answer ({error}): check TALLYBOOK_DATABASE_URL.") from None
    click.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do")


@main.command()
@_DATA_DIR
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(as_json: bool, **flags: Any) -> None:
    """Look at the settings and at every server they name: versions, durability, schema."""
    from tallybook.check import examine

    findings, code = asyncio.run(examine(_reached(_configured("check", **flags))))
    if as_json:
        click.echo(json.dumps({"exit": code.name, "findings": [finding._asdict() for finding in findings]}, indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.level:8} {finding.store:9} {finding.message}")
    sys.exit(code)


@main.command()
@_DATA_DIR
def env(**flags: Any) -> None:
    """Print the addresses of the running stack as shell exports.

    \b
    Example:
      eval "$(tallybook env)"; psql "$TALLYBOOK_DATABASE_URL"
    """
    from tallybook.folder import DataFolder
    from tallybook.supervisor import exports

    click.echo("\n".join(exports(DataFolder(load(**flags).data_dir))))


def _reached(settings: Settings) -> Settings:
    """The settings with the URLs of the stack that runs on the data folder, where none are set."""
    import msgspec

    from tallybook.folder import DataFolder

    folder = DataFolder(settings.data_dir)
    stack = folder.read("stack.json") if folder.is_taken() else {}
    redis_url = settings.redis_url or stack.get("redis_url")
    database_url = settings.database_url or stack.get("database_url")
    if database_url is None or redis_url is None:
        raise Stop(
            Exit.NOT_RUNNING,
            f"No stack runs on {folder.path}: start one, or set TALLYBOOK_REDIS_URL and _DATABASE_URL.",
        )
    return msgspec.structs.replace(settings, redis_url=redis_url, database_url=database_url)


# -- banners -----------------------------------------------------------------------------------------------------------


@main.group()
def banners() -> None:
    """The banners that count where TALLYBOOK_BANNERS=registered."""


def _with_database(work: Callable[[Any], Awaitable[Any]], data_dir: str | None) -> Any:
    import asyncpg

    async def run() -> Any:
        try:
            connection = await asyncpg.connect(_reached(load(data_dir=data_dir)).database_url, timeout=5)
        except OSError as error:
            raise Stop(Exit.UNREACHABLE, f"Postgres does not answer ({error}).") from None
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def _id(text: str) -> int:
    from shared.counting.lane import banner_id

    try:
        return banner_id(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no banner id") from None


@banners.command()
@_DATA_DIR
@click.argument("ids", nargs=-1, required=True)
@click.option("--name", default="", help="A name for people.")
def add(ids: tuple[str, ...], name: str, data_dir: str | None) -> None:
    """Register banners; they count within seconds."""
    from shared import banner_table

    rows = [(_id(text), name) for text in ids]
    click.echo(f"added {_with_database(lambda c: banner_table.add(c, rows), data_dir)}")


@banners.command()
@_DATA_DIR
@click.argument("ids", nargs=-1, required=True)
def remove(ids: tuple[str, ...], data_dir: str | None) -> None:
    """Let banners count no more. What they have is kept."""
    from shared import banner_table

    numbers = [_id(text) for text in ids]
    click.echo(f"removed {_with_database(lambda c: banner_table.remove(c, numbers), data_dir)}")


@banners.command("list")
@_DATA_DIR
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--after", default=0, help="Begin after this id.")
@click.option("--limit", default=1000, help="Banners to show.")
def listed(as_json: bool, after: int, limit: int, data_dir: str | None) -> None:
    """Show the registered banners."""
    from shared import banner_table

    for number, name, created_at in _with_database(lambda c: banner_table.listed(c, after, limit), data_dir):
        if as_json:
            click.echo(json.dumps({"bannerId": number, "name": name, "createdAt": created_at.isoformat()}))
        else:
            click.echo(f"{number}\t{name}")


@banners.command("import")
@_DATA_DIR
@click.argument("file", type=click.File("r"))
def import_(file: Any, data_dir: str | None) -> None:
    """Register the banners of a CSV file with the columns id and name; `-` reads standard input."""
    from shared import banner_table

    rows = [(_id(row[0]), row[1] if len(row) > 1 else "") for row in csv.reader(file) if row and row[0] != "id"]
    click.echo(f"added {_with_database(lambda c: banner_table.add(c, rows), data_dir)}")
