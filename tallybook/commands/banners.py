"""`tallybook banners`: register banners, which is needed where TALLYBOOK_BANNERS=registered."""

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from tallybook.commands.database import say_all, with_database, written
from tallybook.options import DATA_DIR, JSON_LINES

if TYPE_CHECKING:
    from tallybook.imports.list_file import ListFile
    from tallybook.registries.banners import Banner


@click.group()
def banners() -> None:
    """Register banners. Only registered ones count where TALLYBOOK_BANNERS=registered.

    \b
    Examples:
      tallybook banners add 42 --name "Spring sale"
      tallybook banners import banners.csv
    """


@banners.command()
@DATA_DIR
@click.argument("ids", nargs=-1, required=True)
@click.option("--name", default="", help="A name for people.")
def add(ids: tuple[str, ...], name: str, data_dir: str | None) -> None:
    """Register banners. They count within seconds."""
    from tallybook.registries import banners as banner_table

    rows = [(_id(text), name) for text in ids]
    click.echo(f"added or renamed: {written(lambda connection: banner_table.add(connection, rows), data_dir)}")


@banners.command()
@DATA_DIR
@click.argument("ids", nargs=-1, required=True)
def remove(ids: tuple[str, ...], data_dir: str | None) -> None:
    """Remove banners. Their clicks no longer count; earlier counts stay."""
    from tallybook.registries import banners as banner_table

    numbers = [_id(text) for text in ids]
    removed = with_database(lambda connection: banner_table.remove(connection, numbers), data_dir)
    click.echo(f"removed: {removed}")


@banners.command("list")
@DATA_DIR
@JSON_LINES
def listed(as_json: bool, data_dir: str | None) -> None:
    """List the registered banners by id, with a tab before the name."""
    from tallybook.registries import banners as banner_table

    say_all(banner_table.listed, 0, partial(_line, as_json=as_json), data_dir)


def _line(banner: "Banner", *, as_json: bool) -> str:
    if not as_json:
        return f"{banner.banner_id}\t{banner.name}"
    created_at = banner.created_at.isoformat()
    return json.dumps({"bannerId": banner.banner_id, "name": banner.name, "createdAt": created_at})


@banners.command("import")
@DATA_DIR
@click.argument("file")
def import_(file: str, data_dir: str | None) -> None:
    """Register the banners of a CSV file, all or none: id and name, or as its heading says. `-` is stdin."""
    from tallybook.imports.list_file import ListFile
    from tallybook.registries import banners as banner_table

    with ListFile(file, (("id", "banner_id", "bannerid"), "name"), _is_id) as rows:
        try:
            changed = with_database(lambda connection: banner_table.add(connection, _rows(rows)), data_dir)
        except ValueError as error:
            raise rows.fault(str(error)) from None
    click.echo(f"added or renamed: {changed}")


def _rows(file: "ListFile") -> Iterator[tuple[int, str]]:
    from shared.counting.lane import banner_id

    for text, name in file:
        try:
            yield banner_id(text), (name or "").strip()
        except ValueError:
            raise file.fault(f"{text[:100]!r} is no banner id") from None


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _id(text: str) -> int:
    from shared.counting.lane import banner_id

    try:
        return banner_id(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no banner id: write a whole number") from None
