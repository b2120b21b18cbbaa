"""`tallybook trackers`: add and change trackers. A hit gets the value of its tracker."""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import click

from tallybook.commands.database import say_all, with_database, written
from tallybook.options import DATA_DIR, JSON_LINES

if TYPE_CHECKING:
    from tallybook.imports.list_file import ListFile
    from tallybook.registries.trackers import Tracker


@click.group()
def trackers() -> None:
    """Add and change trackers. Hits of other ids do not count.

    \b
    Examples:
      tallybook trackers add "Spring sale"
      tallybook trackers set 01980a4c-5c1e-7a11-9b1e-3f2a4b5c6d7e "Summer sale"
      tallybook trackers import trackers.csv
    """


@trackers.command()
@DATA_DIR
@click.argument("value")
@click.option("--id", "text", help="Its UUID; a new one when not given.")
def add(value: str, text: str | None, data_dir: str | None) -> None:
    """Add a tracker with this value and print its id."""
    from shared.uuid7 import uuid7
    from tallybook.registries import trackers as tracker_table

    tracker = uuid7(time.time_ns() // 1_000_000) if text is None else _id(text)
    if not written(lambda connection: tracker_table.add(connection, tracker, value), data_dir):
        raise click.BadParameter(f"{tracker} is there already; change it with `tallybook trackers set`")
    click.echo(str(tracker))


@trackers.command("set")
@DATA_DIR
@click.argument("text", metavar="ID")
@click.argument("value")
def set_(text: str, value: str, data_dir: str | None) -> None:
    """Give a tracker a new value. Stored hits keep the old one."""
    from tallybook.registries import trackers as tracker_table

    tracker = _id(text)
    if not written(lambda connection: tracker_table.change(connection, tracker, value), data_dir):
        raise click.BadParameter(f"there is no tracker {tracker}; add it with `tallybook trackers add`")
    click.echo(str(tracker))


@trackers.command("list")
@DATA_DIR
@JSON_LINES
def listed(as_json: bool, data_dir: str | None) -> None:
    """List the trackers by id, with a tab before the value."""
    from shared.uuid7 import NIL
    from tallybook.registries import trackers as tracker_table

    say_all(tracker_table.listed, NIL, partial(_line, as_json=as_json), data_dir)


def _line(tracker: "Tracker", *, as_json: bool) -> str:
    if not as_json:
        return f"{tracker.uuid}\t{tracker.value}"
    times = {"createdAt": tracker.created_at.isoformat(), "updatedAt": tracker.updated_at.isoformat()}
    return json.dumps({"id": str(tracker.uuid), "value": tracker.value, **times})


@trackers.command("import")
@DATA_DIR
@click.argument("file")
def import_(file: str, data_dir: str | None) -> None:
    """Add or change the trackers of a CSV file, all or none: id and value, or as its heading says. `-` is stdin."""
    from tallybook.imports.list_file import ListFile
    from tallybook.registries import trackers as tracker_table

    with ListFile(file, (("id", "uuid", "tracker_id"), "value"), _is_id) as rows:
        try:
            changed = with_database(lambda connection: tracker_table.put(connection, _rows(rows)), data_dir)
        except ValueError as error:
            raise rows.fault(str(error)) from None
    click.echo(f"added or changed: {changed}")


def _rows(file: "ListFile") -> Iterator[tuple[UUID, str]]:
    for text, value in file:
        if not _is_id(text):
            raise file.fault(f"{text[:100]!r} is no UUID")
        if value is None:
            raise file.fault("it has one column; they are id and value")
        yield UUID(text), value


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no UUID; `tallybook trackers list` shows them") from None
