"""`tallybook users`: export or erase everything of one user."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tallybook.commands.database import settings_of
from tallybook.exits import Exit, Stop
from tallybook.options import DATA_DIR, JSON, YES
from tallybook.output import say

if TYPE_CHECKING:
    from shared.stores.clickhouse import ClickHouse
    from shared.stores.postgres import Pool

_T = TypeVar("_T")


@click.group()
def users() -> None:
    """Export or erase one user: product events, page views, hits by the id of the cookie, dead letters.

    \b
    Examples:
      tallybook users export 4711 > 4711.ndjson
      tallybook users erase 4711
    """


@users.command()
@DATA_DIR
@click.argument("user")
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), default="ndjson", show_default=True)
def export(user: str, form: str, data_dir: str | None) -> None:
    """Write every row of the user to stdout, with the name of its table, in the order of time.

    In CSV an apostrophe precedes texts that a spreadsheet would run as formulas. Rows of processing_errors are dead
    letters.
    """
    from ingest.statistics import csv
    from shared.privacy import erasure

    async def work(clickhouse: "ClickHouse", pool: "Pool") -> int:
        columns = ["table", *await erasure.columns(clickhouse)]
        if form == "csv":
            say(",".join(columns))
        rows = 0
        async for table, found in erasure.exported(clickhouse, pool, user):
            row = {"table": table, **found}
            if form == "csv":
                say(",".join(csv.cell(_text(row.get(column))) for column in columns))
            else:
                say(json.dumps(row, ensure_ascii=False))
            rows += 1
        return rows

    _check(user)
    click.echo(f"rows: {_with_stores(work, data_dir)}", err=True)


@users.command()
@DATA_DIR
@click.argument("user")
@YES
@JSON
def erase(user: str, is_sure: bool, as_json: bool, data_dir: str | None) -> None:
    """Erase everything of the user for good, then check that nothing is left.

    Rows that come back, from the record log or by an import, are erased again within about an hour.
    """
    from shared.privacy import erasure

    _check(user)
    if not is_sure:
        click.confirm(f"Erase everything of user {user!r}?", abort=True, err=True)
    erased = _with_stores(lambda clickhouse, pool: erasure.erase(clickhouse, pool, user), data_dir)
    if as_json:
        click.echo(json.dumps({"erased": erased, "left": 0}))
    else:
        click.echo(", ".join(f"{name}: {rows}" for name, rows in erased.items()) + "; left: 0")


def _text(value: Any) -> str:
    """Return a value as JSON text, without quotes."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check(user: str) -> None:
    from shared.privacy import erasure

    try:
        erasure.check(user)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _with_stores(work: "Callable[[ClickHouse, Any], Awaitable[_T]]", data_dir: str | None) -> _T:
    """Do the work with the stores of the settings, or of the running stack. Raises Stop."""
    from shared.privacy.erasure import NotErased
    from shared.stores.clickhouse import CLICKHOUSE_ERRORS, connect
    from shared.stores.postgres import POSTGRES_ERRORS, create_pool

    settings = settings_of(data_dir)
    if settings.clickhouse_url is None:
        raise Stop(Exit.NOT_RUNNING, "There is no ClickHouse: set TALLYBOOK_CLICKHOUSE_URL.")

    async def run() -> _T:
        async with connect(settings) as clickhouse, create_pool(settings) as pool:
            return await work(clickhouse, pool)

    try:
        return asyncio.run(run())
    except NotErased as error:
        raise Stop(Exit.FAILED, f"Not everything is erased: {error}. Run the same command again.") from None
    except (*POSTGRES_ERRORS, *CLICKHOUSE_ERRORS) as error:
        raise Stop(Exit.UNREACHABLE, f"A store fails ({type(error).__name__}): run the same command later.") from None
