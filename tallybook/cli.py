"""The command line. Heavy imports are inside the commands, so that `--help` is quick."""

import asyncio
import errno
import json
import sys
from typing import IO, Any

import click
import structlog

from shared.runtime.machine import SUPPORTED
from shared.settings import Settings, SettingsError, load
from tallybook.commands.banners import banners
from tallybook.commands.dlq import dlq
from tallybook.commands.generate import generate
from tallybook.commands.import_events import import_events
from tallybook.commands.keys import keys
from tallybook.commands.links import links
from tallybook.commands.mcp import mcp
from tallybook.commands.outbox import outbox
from tallybook.commands.sites import sites
from tallybook.commands.trackers import trackers
from tallybook.commands.users import users
from tallybook.exits import Exit, Stop
from tallybook.options import DATA_DIR, JSON, configured
from tallybook.output import ReaderGone

#: Commands whose output is a structured log.
_SERVICES = frozenset({"aggregate", "ingest", "migrate", "up"})

log = structlog.get_logger()


def is_for_machines(command: str | None) -> bool:
    """Return whether the command reports its failure as JSON."""
    return command in _SERVICES and load().log_format == "json"


class _Group(click.Group):
    """Turn the failure of a command into one sentence and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SettingsError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(Exit.SETTINGS)
        except ReaderGone:
            raise BrokenPipeError(errno.EPIPE, "stdout") from None  # click ends silently then
        except Stop as stop:
            if is_for_machines(context.invoked_subcommand):
                log.error("start_failed", exit=stop.code.name, reason=str(stop))
            else:
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
    tallybook generate               page views for tests and load
    tallybook check                  examine settings and stores

    Every setting is a variable TALLYBOOK_<NAME>: see docs/configuration.md. Exit codes are in docs/operate.md.
    """


main.add_command(banners)
main.add_command(dlq)
main.add_command(import_events)
main.add_command(generate)
main.add_command(outbox)
main.add_command(keys)
main.add_command(sites)
main.add_command(links)
main.add_command(mcp)
main.add_command(trackers)
main.add_command(users)


def _supervise(services: list[str], **flags: Any) -> None:
    if sys.platform not in SUPPORTED:
        raise Stop(
            Exit.WRONG_PYTHON,
            f"tallybook runs on Linux, and here is {sys.platform}: use containers, `docker compose up --build`.",
        )
    from tallybook.stack.supervisor import Supervisor

    settings = configured("supervisor", **flags)
    if "ingest" in services and settings.jwt_algorithm is not None:
        from ingest.auth.jwt import Tokens

        Tokens(settings)  # else every worker fails in turn
    Supervisor(settings, services).run()


@main.command()
@DATA_DIR
@click.option("--host", help="Address to bind.")
@click.option("--port", type=int, help="Port to bind.")
@click.option("--workers", type=int, help="Ingest workers; one per core by default.")
def up(**flags: Any) -> None:
    """Run the HTTP service, the aggregator, and the servers that no URL is set for.

    \b
    Example:
      tallybook up --port 8080 --data-dir ./data
    """
    _supervise(["ingest", "aggregator"], **flags)


@main.command()
@DATA_DIR
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
@DATA_DIR
def aggregate(**flags: Any) -> None:
    """Run the background service alone. Any number of them may run.

    \b
    Example:
      TALLYBOOK_REDIS_URL=redis://cache TALLYBOOK_DATABASE_URL=postgresql://db/clicks tallybook aggregate
    """
    _supervise(["aggregator"], **flags)


@main.command()
@DATA_DIR
def migrate(**flags: Any) -> None:
    """Migrate the schemas of Postgres and ClickHouse. Safe to repeat and to race."""
    from shared.errors import SchemaError
    from shared.migrations.migrate_postgres import migrate
    from shared.stores.postgres import POSTGRES_ERRORS
    from tallybook.stack.running_stack import reached

    settings = reached(configured("migrate", **flags))
    try:
        applied = asyncio.run(migrate(settings.database_url or ""))
    except SchemaError as error:
        raise Stop(Exit.FOREIGN_DATA, f"{error}: run the version that made it, or a newer one.") from None
    except POSTGRES_ERRORS as error:
        message = f"Postgres fails ({type(error).__name__}): check TALLYBOOK_DATABASE_URL."
        raise Stop(Exit.UNREACHABLE, message) from None
    if settings.clickhouse_url is not None:
        applied += _migrate_clickhouse(settings)
    if settings.log_format == "json":
        log.info("schema_migrated", files=applied)
    else:
        click.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do")


def _migrate_clickhouse(settings: Settings) -> list[str]:
    from shared.errors import SchemaError
    from shared.migrations.migrate_clickhouse import migrate
    from shared.stores.clickhouse_errors import CLICKHOUSE_ERRORS

    try:
        return asyncio.run(migrate(settings))
    except SchemaError as error:
        raise Stop(Exit.FOREIGN_DATA, f"ClickHouse: {error}.") from None
    except CLICKHOUSE_ERRORS as error:
        message = f"ClickHouse fails ({error}): check TALLYBOOK_CLICKHOUSE_URL."
        raise Stop(Exit.UNREACHABLE, message) from None


@main.command()
@DATA_DIR
@JSON
def check(as_json: bool, **flags: Any) -> None:
    """Examine the settings and every server that they name: versions, durability, clocks, schema.

    \b
    Example:
      tallybook check --json
    """
    from shared.counting.fleet import Fleet
    from tallybook.stack.check import examine, verdict
    from tallybook.stack.running_stack import reached

    settings = reached(configured("check", **flags))
    Fleet(settings.lanes_dir).check_shards(settings.shards)
    findings = asyncio.run(examine(settings))
    code = verdict(findings, allow_unsafe=settings.allow_unsafe_redis)
    if as_json:
        click.echo(json.dumps({"exit": code.name, "findings": [finding._asdict() for finding in findings]}, indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.level:11} {finding.store:9} {finding.message}")
    sys.exit(code)


@main.command()
@DATA_DIR
def env(**flags: Any) -> None:
    """Print the addresses of the running stack as shell exports, for tallybook, psql, redis-cli and scripts.

    \b
    Example:
      eval "$(tallybook env)"; psql; $REDISCLI ping
    """
    from tallybook.stack.running_stack import exports

    click.echo("\n".join(exports(load(**flags))))


@main.command()
@DATA_DIR
@click.option("--key-file", type=click.File(), help="File with a key of the scope admin; `-` is stdin.")
def accounting(key_file: IO[str] | None, **flags: Any) -> None:
    """Print where every accepted click and record is: `GET /accounting` of the running service.

    \b
    Examples:
      tallybook accounting | jq .difference
      tallybook accounting | jq '.records[].difference'
    """
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, Request, build_opener

    from tallybook.stack.running_stack import address

    url = f"{address(load(**flags))}/accounting"
    try:
        headers = {} if key_file is None else {"Authorization": f"Bearer {key_file.read().strip()}"}
        direct = build_opener(ProxyHandler({}))  # a proxy would see the key
        with direct.open(Request(url, headers=headers), timeout=30) as answer:  # noqa: S310 - http://, our own address
            click.echo(answer.read())
    except HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise Stop(Exit.FAILED, f"{url} needs a key with the scope admin: give it with --key-file.") from None
        raise Stop(
            Exit.UNREACHABLE, f"{url} answers {error.code}: a store is away; `tallybook check` says which."
        ) from None
    except OSError:
        raise Stop(Exit.NOT_RUNNING, f"{url} does not answer: start the service first, with `tallybook up`.") from None
